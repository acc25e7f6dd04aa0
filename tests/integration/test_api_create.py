"""Rules of create: names, what the server owns, what it refuses, dry run."""

from __future__ import annotations

import re

import pytest

from tests.integration.api_calls import (
    UNKNOWN_UID,
    Collection,
    check_status,
    collection,
    deployment,
    named,
    pod,
)
from tests.integration.cluster import Cluster

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture
def config_maps(cluster: Cluster, namespace: str) -> Collection:
    """ConfigMaps of a new namespace."""
    return collection(cluster, namespace, "configmaps")


def test_create_fills_in_what_the_server_owns(config_maps: Collection, namespace: str) -> None:
    obj = named("a")
    obj["metadata"] |= {
        "uid": UNKNOWN_UID,
        "creationTimestamp": "2001-01-01T00:00:00Z",
        "deletionTimestamp": "2001-01-01T00:00:00Z",
        "deletionGracePeriodSeconds": 3,
        "selfLink": "/here",
        "generation": 7,
    }
    created = config_maps.made(obj)
    metadata = created["metadata"]
    assert (created["kind"], created["apiVersion"]) == ("ConfigMap", "v1")
    assert _UUID.fullmatch(metadata["uid"])
    assert metadata["uid"] != UNKNOWN_UID
    assert _TIME.fullmatch(metadata["creationTimestamp"])
    assert not metadata["creationTimestamp"].startswith("2001")
    assert int(metadata["resourceVersion"]) > 0
    assert metadata["namespace"] == namespace
    assert metadata.keys().isdisjoint(
        {"deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"}
    )


def test_generate_name_adds_five_random_characters(config_maps: Collection) -> None:
    names = {
        config_maps.made({"metadata": {"generateName": "web-"}})["metadata"]["name"]
        for _ in range(3)
    }
    assert len(names) == 3
    assert all(re.fullmatch(r"web-[bcdfghjklmnpqrstvwxz2456789]{5}", name) for name in names)


def test_generate_name_is_cut_to_fifty_eight_characters(config_maps: Collection) -> None:
    name = config_maps.made({"metadata": {"generateName": "x" * 70}})["metadata"]["name"]
    assert len(name) == 63
    assert name.startswith("x" * 58)


def test_a_name_goes_before_generate_name(config_maps: Collection) -> None:
    metadata = {"name": "mine", "generateName": "web-"}
    created = config_maps.made({"metadata": metadata})
    assert created["metadata"]["name"] == "mine"
    assert created["metadata"]["generateName"] == "web-"


def test_create_without_any_name_is_refused(config_maps: Collection) -> None:
    message = (
        'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required'
    )
    details = check_status(config_maps.create({"metadata": {}}), 422, "Invalid", message)
    cause = {
        "reason": "FieldValueRequired",
        "message": "Required value: name or generateName is required",
        "field": "metadata.name",
    }
    assert details == {"kind": "ConfigMap", "causes": [cause]}


def test_create_of_what_exists_is_refused(config_maps: Collection) -> None:
    config_maps.made(named("a"))
    answer = config_maps.create(named("a"))
    details = check_status(answer, 409, "AlreadyExists", 'configmaps "a" already exists')
    assert details == {"name": "a", "kind": "configmaps"}


def test_create_in_a_namespace_that_is_not_there_is_refused(cluster: Cluster) -> None:
    answer = collection(cluster, "nowhere", "configmaps").create(named("a"))
    details = check_status(answer, 404, "NotFound", 'namespaces "nowhere" not found')
    assert details == {"name": "nowhere", "kind": "namespaces"}


def test_create_names_another_namespace_than_the_path_and_is_refused(
    config_maps: Collection,
) -> None:
    obj = named("a")
    obj["metadata"]["namespace"] = "other"
    message = (
        "the namespace of the provided object does not match the namespace sent on the request"
    )
    check_status(config_maps.create(obj), 400, "BadRequest", message)


def test_create_with_a_resource_version_is_refused(config_maps: Collection) -> None:
    obj = named("a")
    obj["metadata"]["resourceVersion"] = "5"
    answer = config_maps.create(obj)
    assert 400 <= answer.code < 500
    assert answer.json["message"] == ("resourceVersion should not be set on objects to be created")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            b'{"kind":"Secret","apiVersion":"v1","metadata":{"name":"a"}}',
            'Secret in version "v1" cannot be handled as a ConfigMap: converting (v1.Secret) to '
            "(core.ConfigMap): unknown conversion",
        ),
        (
            b'{"kind":"ConfigMap","apiVersion":"v2","metadata":{"name":"a"}}',
            'ConfigMap in version "v2" cannot be handled as a ConfigMap: no kind "ConfigMap" is '
            'registered for version "v2" in scheme "pkg/api/legacyscheme/scheme.go:30"',
        ),
        (
            b'{"metadata":{"name":"a"},"data":{"k":5}}',
            'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal '
            "number into Go struct field ConfigMap.data of type string",
        ),
    ],
    ids=["another kind", "another version", "a number for a string"],
)
def test_create_of_what_is_no_config_map_is_refused(
    config_maps: Collection, body: bytes, message: str
) -> None:
    answer = config_maps.cluster.call("POST", config_maps.path, body)
    check_status(answer, 400, "BadRequest", message)


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b'"x"', b"\xff"], ids=repr)
def test_create_of_what_is_no_object_is_a_bad_request(config_maps: Collection, body: bytes) -> None:
    answer = config_maps.cluster.call("POST", config_maps.path, body)
    assert (answer.code, answer.json["reason"]) == (400, "BadRequest")


def test_create_with_a_media_type_nobody_reads_is_refused(config_maps: Collection) -> None:
    answer = config_maps.create(named("a"), content_type="text/html")
    assert (answer.code, answer.json["reason"]) == (415, "UnsupportedMediaType")
    assert answer.json["message"] == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf, application/cbor"
    )


def test_create_larger_than_three_mebibytes_is_refused(config_maps: Collection) -> None:
    answer = config_maps.create(named("a", data={"k": "x" * (3 << 20)}))
    message = "Request entity too large: limit is 3145728"
    check_status(answer, 413, "RequestEntityTooLarge", message)


def test_dry_run_create_answers_and_stores_nothing(config_maps: Collection) -> None:
    answer = config_maps.create(named("a", data={"k": "v"}), "?dryRun=All")
    assert answer.code == 201
    assert _UUID.fullmatch(answer.json["metadata"]["uid"])
    assert answer.json["data"] == {"k": "v"}
    assert "resourceVersion" not in answer.json["metadata"]
    assert config_maps.get("a").code == 404


def test_dry_run_create_of_what_exists_is_refused(config_maps: Collection) -> None:
    config_maps.made(named("a"))
    answer = config_maps.create(named("a"), "?dryRun=All")
    check_status(answer, 409, "AlreadyExists", 'configmaps "a" already exists')


def test_dry_run_knows_no_other_directive_than_all(config_maps: Collection) -> None:
    message = (
        'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: '
        'supported values: "All"'
    )
    check_status(config_maps.create(named("a"), "?dryRun=Some"), 422, "Invalid", message)


def test_generation_is_one_on_types_that_count_it(cluster: Cluster, namespace: str) -> None:
    created = collection(cluster, namespace, "deployments", "apps/v1").made(deployment("a"))
    assert created["metadata"]["generation"] == 1
    assert "generation" not in collection(cluster, namespace, "configmaps").made(named("a"))


def test_status_in_a_create_is_dropped(cluster: Cluster, namespace: str) -> None:
    obj = pod("a")
    obj["status"] = {"phase": "Running", "podIP": "10.1.1.1"}
    created = collection(cluster, namespace, "pods").made(obj)
    assert created["status"] == {"phase": "Pending", "qosClass": "BestEffort"}


def test_a_pod_is_completed_as_upstream_does(cluster: Cluster, namespace: str) -> None:
    spec = collection(cluster, namespace, "pods").made(pod("a"))["spec"]
    container = spec["containers"][0]
    assert spec["restartPolicy"] == "Always"
    assert spec["terminationGracePeriodSeconds"] == 30
    assert spec["dnsPolicy"] == "ClusterFirst"
    assert spec["schedulerName"] == "default-scheduler"
    assert spec["enableServiceLinks"] is True
    assert spec["preemptionPolicy"] == "PreemptLowerPriority"
    assert spec["priority"] == 0
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert container["terminationMessagePath"] == "/dev/termination-log"
    assert container["terminationMessagePolicy"] == "File"
    assert container["resources"] == {}
    for name in ("not-ready", "unreachable"):
        assert {
            "key": f"node.kubernetes.io/{name}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": 300,
        } in spec["tolerations"]


def test_faults_are_gathered_one_cause_a_field(cluster: Cluster, namespace: str) -> None:
    obj = pod("a")
    obj["spec"] |= {"restartPolicy": "Sometimes", "containers": [{"name": "B!", "image": ""}]}
    answer = collection(cluster, namespace, "pods").create(obj)
    assert (answer.code, answer.json["reason"]) == (422, "Invalid")
    causes = {one["field"]: one["reason"] for one in answer.json["details"]["causes"]}
    assert causes == {
        "spec.containers[0].name": "FieldValueInvalid",
        "spec.containers[0].image": "FieldValueRequired",
        "spec.restartPolicy": "FieldValueNotSupported",
    }


def test_create_of_a_secret_keeps_its_plain_text_as_data(cluster: Cluster, namespace: str) -> None:
    obj = named("a", stringData={"k": "v"}, data={"k": "AA==", "l": "eA=="})
    created = collection(cluster, namespace, "secrets").made(obj)
    assert created["data"] == {"k": "dg==", "l": "eA=="}
    assert created["type"] == "Opaque"
    assert "stringData" not in created


def test_a_name_is_checked_by_the_rule_of_its_type(cluster: Cluster, namespace: str) -> None:
    services = collection(cluster, namespace, "services")
    answer = services.create(named("a.b", spec={"ports": [{"port": 80}]}))
    assert answer.code == 422
    assert answer.json["message"].startswith(
        'Service "a.b" is invalid: metadata.name: Invalid value: "a.b": '
    )
    roles = collection(cluster, namespace, "roles", "rbac.authorization.k8s.io/v1")
    assert roles.create(named("system:a:b")).code == 201
