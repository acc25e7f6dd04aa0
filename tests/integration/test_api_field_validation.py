"""Field validation: Strict refuses unknown and repeated fields, Warn names them, Ignore is mute."""

from __future__ import annotations

import http.client

import pytest

from tests.integration.api_calls import (
    JSON_PATCH,
    MERGE,
    STRATEGIC,
    Collection,
    check_status,
    collection,
    deployment,
    named,
)
from tests.integration.cluster import HOST, Cluster

UNKNOWN = b'{"metadata":{"name":"a","colour":"red"},"data":{"k":"v"},"shape":1}'
DUPLICATE = b'{"metadata":{"name":"a"},"data":{"k":"v","k":"w"}}'
YAML_DUPLICATE = b"metadata: {name: a}\ndata:\n  k: v\n  k: w\n"
REFUSED = 'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '


@pytest.fixture
def config_maps(cluster: Cluster, namespace: str) -> Collection:
    """ConfigMaps of a new namespace."""
    return collection(cluster, namespace, "configmaps")


def send(
    config_maps: Collection,
    body: bytes,
    directive: str,
    content_type: str = "application/json",
    method: str = "POST",
    name: str = "",
) -> tuple[int, list[str], bytes]:
    """Send a body; return code, Warning headers and answer."""
    cluster = config_maps.cluster
    connection = http.client.HTTPConnection(HOST, cluster.plain_port, timeout=20)
    headers = {"Authorization": f"Bearer {cluster.token}", "Content-Type": content_type}
    query = f"?fieldValidation={directive}" if directive else ""
    connection.request(method, config_maps.path + name + query, body, headers)
    with connection.getresponse() as answer:
        warnings = answer.headers.get_all("Warning") or []
        result = answer.status, warnings, answer.read()
    connection.close()
    return result


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        (UNKNOWN, 'unknown field "metadata.colour", unknown field "shape"'),
        (DUPLICATE, 'duplicate field "data.k"'),
    ],
    ids=["unknown", "duplicate"],
)
def test_strict_refuses_and_names_every_field(
    config_maps: Collection, body: bytes, faults: str
) -> None:
    answer = config_maps.cluster.call("POST", f"{config_maps.path}?fieldValidation=Strict", body)
    check_status(answer, 400, "BadRequest", REFUSED + faults)
    assert config_maps.get("a").code == 404


def test_strict_takes_what_is_clean(config_maps: Collection) -> None:
    assert config_maps.create(named("a", data={"k": "v"}), "?fieldValidation=Strict").code == 201


@pytest.mark.parametrize("directive", ["", "Warn"], ids=["by default", "Warn"])
def test_warn_names_every_field_and_takes_the_rest(config_maps: Collection, directive: str) -> None:
    code, warnings, body = send(config_maps, UNKNOWN, directive)
    assert code == 201
    assert warnings == [
        '299 - "unknown field \\"metadata.colour\\""',
        '299 - "unknown field \\"shape\\""',
    ]
    assert b"colour" not in body
    assert b"shape" not in body


def test_warn_names_duplicates_and_the_last_one_counts(config_maps: Collection) -> None:
    code, warnings, _ = send(config_maps, DUPLICATE, "Warn")
    assert (code, warnings) == (201, ['299 - "duplicate field \\"data.k\\""'])
    assert config_maps.get("a").json["data"] == {"k": "w"}


@pytest.mark.parametrize("body", [UNKNOWN, DUPLICATE], ids=["unknown", "duplicate"])
def test_ignore_says_nothing(config_maps: Collection, body: bytes) -> None:
    code, warnings, _ = send(config_maps, body, "Ignore")
    assert (code, warnings) == (201, [])


def test_an_unknown_directive_is_refused(config_maps: Collection) -> None:
    message = (
        'CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "Loud": '
        'supported values: "", "Ignore", "Strict", "Warn"'
    )
    answer = config_maps.create(named("a"), "?fieldValidation=Loud")
    check_status(answer, 422, "Invalid", message)


def test_a_repeated_key_of_yaml_is_a_duplicate_field(config_maps: Collection) -> None:
    code, _, body = send(config_maps, YAML_DUPLICATE, "Strict", "application/yaml")
    assert code == 400
    assert b'key \\"k\\" already set in map' in body


def test_update_is_validated_as_create_is(config_maps: Collection) -> None:
    config_maps.made(named("a"))
    refused = config_maps.cluster.call(
        "PUT", f"{config_maps.path}/a?fieldValidation=Strict", UNKNOWN
    )
    faults = 'unknown field "metadata.colour", unknown field "shape"'
    check_status(refused, 400, "BadRequest", REFUSED + faults)
    code, warnings, _ = send(config_maps, DUPLICATE, "Warn", method="PUT", name="/a")
    assert (code, warnings) == (200, ['299 - "duplicate field \\"data.k\\""'])


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"shape":1}', MERGE),
        (b'{"shape":1}', STRATEGIC),
        (b'[{"op":"add","path":"/shape","value":1}]', JSON_PATCH),
    ],
    ids=["merge", "strategic merge", "json patch"],
)
def test_a_patch_that_brings_an_unknown_field(
    config_maps: Collection, body: bytes, content_type: str
) -> None:
    config_maps.made(named("a"))
    code, _, refused = send(config_maps, body, "Strict", content_type, "PATCH", "/a")
    assert code == 422
    assert b'strict decoding error: unknown field \\"shape\\"' in refused
    code, warnings, _ = send(config_maps, body, "Warn", content_type, "PATCH", "/a")
    assert (code, warnings) == (200, ['299 - "unknown field \\"shape\\""'])
    code, warnings, _ = send(config_maps, body, "Ignore", content_type, "PATCH", "/a")
    assert (code, warnings) == (200, [])


def test_the_path_of_a_deep_field_is_told(cluster: Cluster, namespace: str) -> None:
    obj = deployment("a")
    obj["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Always"
    deployments = collection(cluster, namespace, "deployments", "apps/v1")
    answer = deployments.create(obj, "?fieldValidation=Strict")
    message = (
        'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: '
        'unknown field "spec.template.spec.containers[0].imagePullPolice"'
    )
    check_status(answer, 400, "BadRequest", message)
