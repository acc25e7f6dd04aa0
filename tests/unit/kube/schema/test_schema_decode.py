"""Decoding: what is left of an object, and how a bad one is refused."""

from __future__ import annotations

from typing import Any

import pytest

from kube.schema.decode import TOO_DEEP, DecodeError, decode, refusal, strict_refusal

CORE = "io.k8s.api.core.v1"
POD = f"{CORE}.Pod"
DEPLOYMENT = "io.k8s.api.apps.v1.Deployment"
SECRET = f"{CORE}.Secret"
CRD = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"


def decoded(schema: str, obj: dict[str, Any]) -> dict[str, Any]:
    assert decode(schema, obj).unknown == ()
    return obj


def pod_spec(spec: dict[str, Any]) -> dict[str, Any]:
    found = decoded(POD, {"spec": spec})["spec"]
    assert isinstance(found, dict)
    return found


def error_of(schema: str, obj: Any) -> str:
    with pytest.raises(DecodeError) as caught:
        decode(schema, obj)
    return str(caught.value)


def test_struct_values_are_always_written() -> None:
    assert decoded(DEPLOYMENT, {}) == {
        "metadata": {},
        "spec": {"strategy": {}, "template": {"metadata": {}, "spec": {}}},
        "status": {},
    }
    service = decoded(f"{CORE}.Service", {})
    assert service == {"metadata": {}, "spec": {}, "status": {"loadBalancer": {}}}
    assert pod_spec({"containers": [{"name": "a"}]}) == {
        "containers": [{"name": "a", "resources": {}}]
    }


def test_required_scalars_are_always_written() -> None:
    status = decoded("io.k8s.api.apps.v1.DaemonSet", {"status": {}})["status"]
    assert status["desiredNumberScheduled"] == 0
    assert pod_spec({"containers": [{}]})["containers"] == [{"name": "", "resources": {}}]


def test_nulls_are_dropped() -> None:
    metadata = {"labels": None, "creationTimestamp": None, "name": "a"}
    assert decoded(POD, {"metadata": metadata, "spec": None})["metadata"] == {"name": "a"}


def test_empty_optional_values_are_dropped_and_pointers_kept() -> None:
    given = {
        "hostNetwork": False, "nodeName": "", "tolerations": [], "nodeSelector": {},
        "priority": 0, "automountServiceAccountToken": False, "affinity": {},
    }  # fmt: skip
    assert pod_spec(given) == {
        "priority": 0,
        "automountServiceAccountToken": False,
        "affinity": {},
    }


def test_nulls_in_lists_and_maps_become_zero_values() -> None:
    spec = pod_spec({"containers": [{"name": "a", "args": ["x", None]}]})
    assert spec["containers"][0]["args"] == ["x", ""]
    assert decoded(POD, {"metadata": {"labels": {"a": None}}})["metadata"]["labels"] == {"a": ""}


def test_values_become_canonical() -> None:
    hard = {"cpu": 1000, "memory": "1024Mi", "pods": 0.5}
    quota = decoded(f"{CORE}.ResourceQuota", {"spec": {"hard": hard}})
    assert quota["spec"]["hard"] == {"cpu": "1k", "memory": "1Gi", "pods": "500m"}
    lease = decoded(
        "io.k8s.api.coordination.v1.Lease",
        {
            "metadata": {"creationTimestamp": "2024-01-01T02:00:00.5+02:00"},
            "spec": {"renewTime": "2024-01-01T01:00:00.000001+01:00"},
        },
    )
    assert lease["metadata"]["creationTimestamp"] == "2024-01-01T00:00:00Z"
    assert lease["spec"]["renewTime"] == "2024-01-01T00:00:00.000001Z"
    assert decoded(SECRET, {"data": {"a": "Y\nQ=="}})["data"] == {"a": "YQ=="}


def test_zero_time_is_absent() -> None:
    given = {"metadata": {"deletionTimestamp": "0001-01-01T00:00:00Z"}}
    assert decoded(POD, given)["metadata"] == {}


def test_integer_or_string_stays_what_it_is() -> None:
    ports = [{"port": 80, "targetPort": "http"}, {"port": 81, "targetPort": 8080}, {"port": 82}]
    service = decoded(f"{CORE}.Service", {"spec": {"ports": ports}})
    assert [port["targetPort"] for port in service["spec"]["ports"]] == ["http", 8080, 0]


def test_free_form_values_pass_untouched() -> None:
    data = {"a": None, "b": [], "c": {"d": ""}}
    revision = {"data": {"a": None, "b": [], "c": {"d": ""}}, "revision": 1}
    assert decoded("io.k8s.api.apps.v1.ControllerRevision", revision)["data"] == data


def test_json_schemas_are_walked_through_their_unions() -> None:
    schema = {"items": {"type": "string", "x": 1}, "default": {"a": None}, "properties": {}}
    version = {"name": "v1", "schema": {"openAPIV3Schema": schema}}
    found = decode(CRD, crd := {"spec": {"versions": [version]}})
    assert found.unknown == ()
    kept = crd["spec"]["versions"][0]["schema"]
    assert kept == {"openAPIV3Schema": {"items": {"type": "string"}, "default": {"a": None}}}


def test_unknown_fields_are_removed_and_reported_in_order() -> None:
    container = {"name": "a", "foo": 1, "Image": "x"}
    pod = {"spec": {"containers": [container], "bar": {"a": 1}}, "baz": None}
    found = decode(POD, pod)
    assert found.unknown == (
        'unknown field "spec.containers[0].foo"',
        'unknown field "spec.containers[0].Image"',
        'unknown field "spec.bar"',
        'unknown field "baz"',
    )
    assert found.key_count == -1
    assert pod["spec"] == {"containers": [{"name": "a", "resources": {}}]}
    assert "baz" not in pod


def test_keys_of_all_objects_are_counted() -> None:
    revision = {"metadata": {"labels": {"a": "b", "c": "d"}}, "data": {"x": [{"y": 1}]}}
    assert decode("io.k8s.api.apps.v1.ControllerRevision", revision).key_count == 7


def in_container(container: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"containers": [container]}}


@pytest.mark.parametrize(
    ("schema", "obj", "message"),
    [
        (
            POD, {"spec": {"containers": "x"}},
            "string into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            DEPLOYMENT, {"spec": {"replicas": "3"}},
            "string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            DEPLOYMENT, {"spec": {"replicas": 2**31}},
            "number 2147483648 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            DEPLOYMENT, {"spec": {"replicas": 1.5}},
            "number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            POD, {"metadata": {"labels": {"a": 1}}},
            "number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            POD, in_container({"args": [True]}),
            "bool into Go struct field Container.spec.containers.args of type string",
        ),
        (
            POD, in_container({"imagePullPolicy": {}}),
            "object into Go struct field Container.spec.containers.imagePullPolicy of type "
            "v1.PullPolicy",
        ),
        (
            SECRET, {"data": {"a": 1}},
            "number into Go struct field Secret.data of type []uint8",
        ),
        (POD, [], "array into Go value of type v1.Pod"),
        (
            DEPLOYMENT, {"spec": {"strategy": {"rollingUpdate": {"maxSurge": True}}}},
            "bool into Go value of type int32",
        ),
        (POD, {"metadata": {"creationTimestamp": 1}}, "number into Go value of type string"),
    ],
)  # fmt: skip
def test_wrong_types_are_refused_as_go_words_it(schema: str, obj: Any, message: str) -> None:
    assert error_of(schema, obj) == f"json: cannot unmarshal {message}"


def test_values_that_parse_themselves_give_their_own_errors() -> None:
    assert error_of(POD, in_container({"resources": {"limits": {"cpu": "x"}}})) == (
        "quantities must match the regular expression "
        "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )
    assert error_of(POD, {"metadata": {"creationTimestamp": "x"}}).startswith('parsing time "x"')


@pytest.mark.parametrize(
    ("text", "offset"),
    [("YWI", 0), ("YWJjZ", 4), ("YQ=", 3), ("YQ=x", 2), ("YQ==x", 4), ("YWJj!", 4), ("=", 0)],
)
def test_bad_base64_is_refused_at_gos_offset(text: str, offset: int) -> None:
    message = f"illegal base64 data at input byte {offset}"
    assert error_of(SECRET, {"data": {"a": text}}) == message


def test_self_parsing_values_win_over_earlier_wrong_types() -> None:
    container = {"name": 1, "resources": {"limits": {"cpu": "x"}}}
    assert error_of(POD, in_container(container)).startswith("quantities must match")


def test_first_wrong_type_is_reported() -> None:
    container = {"image": 1, "name": 2}
    assert "Container.spec.containers.image " in error_of(POD, in_container(container))


def test_bottomless_objects_are_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(3000):
        schema = {"not": schema}
    version = {"name": "v1", "schema": {"openAPIV3Schema": schema}}
    assert error_of(CRD, {"spec": {"versions": [version]}}) == TOO_DEEP


def test_refusals_name_kind_and_version() -> None:
    assert refusal("Pod", "v1", "x") == 'Pod in version "v1" cannot be handled as a Pod: x'
    assert strict_refusal("Pod", "v1", ["a", "b"]).endswith("strict decoding error: a, b")
