"""Strategic merge patch over built-in types: merging, directives, order and refusals."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kube.json_types import JsonObject
from kube.patch import strategic_merge
from kube.schema.compile import builtin_schemas
from kube.schema.model import Struct
from kube.status import StatusError

CORE = "io.k8s.api.core.v1."


def struct(name: str) -> Struct:
    return builtin_schemas().struct(CORE + name)


def merge(kind: str, doc: Any, patch: Any) -> JsonObject:
    before = orjson.dumps([doc, patch])
    result = strategic_merge(doc, patch, struct(kind))
    assert orjson.dumps([doc, patch]) == before, "document or patch was changed"
    return result


def refusal(kind: str, doc: Any, patch: Any) -> StatusError:
    with pytest.raises(StatusError) as caught:
        merge(kind, doc, patch)
    return caught.value


def containers(*names: str) -> list[JsonObject]:
    return [{"name": name, "image": f"{name}:1"} for name in names]


@pytest.mark.parametrize(
    ("doc", "patch", "expected"),
    [
        ({"nodeName": "a"}, {"nodeName": "b"}, {"nodeName": "b"}),
        ({"nodeName": "a"}, {"nodeName": None}, {}),
        ({}, {"nodeName": None}, {}),
        ({}, {"affinity": {"nodeAffinity": None}}, {"affinity": {}}),
        ({"securityContext": {"runAsUser": 1}}, {"securityContext": {"runAsGroup": 2}},
         {"securityContext": {"runAsUser": 1, "runAsGroup": 2}}),
        ({"securityContext": {"runAsUser": 1}},
         {"securityContext": {"$patch": "replace", "runAsGroup": 2}},
         {"securityContext": {"runAsGroup": 2}}),
        ({"securityContext": {"runAsUser": 1}}, {"securityContext": {"$patch": "delete"}},
         {"securityContext": {}}),
        ({}, {"securityContext": {"$patch": "delete"}}, {}),
        ({"tolerations": [{"key": "a"}]}, {"tolerations": [{"key": "b"}]},
         {"tolerations": [{"key": "b"}]}),
        ({"volumes": [{"name": "a"}]}, {"volumes": "text"}, {"volumes": "text"}),
    ],
)  # fmt: skip
def test_objects_and_plain_lists(doc: Any, patch: Any, expected: Any) -> None:
    assert merge("PodSpec", doc, patch) == expected


def test_lists_merge_by_key_at_every_depth() -> None:
    doc = {"containers": containers("a", "b")}
    doc["containers"][1]["env"] = [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]
    patch = {"containers": [{"name": "b", "env": [{"name": "Y", "value": "3"}]}]}
    assert merge("PodSpec", doc, patch) == {
        "containers": [
            {"name": "a", "image": "a:1"},
            {
                "name": "b",
                "image": "b:1",
                "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "3"}],
            },
        ]
    }


def test_ports_merge_by_number_alone_so_that_protocols_collide() -> None:
    doc = {"name": "c", "ports": [{"containerPort": 53, "protocol": "TCP"}]}
    patch = {"ports": [{"containerPort": 53, "protocol": "UDP"}]}
    assert merge("Container", doc, patch)["ports"] == [{"containerPort": 53, "protocol": "UDP"}]


def test_added_element_comes_before_those_only_the_server_has() -> None:
    result = merge("PodSpec", {"containers": containers("a")}, {"containers": containers("b")})
    assert result == {"containers": containers("b", "a")}


def test_patched_elements_take_the_order_of_the_patch() -> None:
    patch = {"containers": [{"name": "c"}, {"name": "a"}]}
    result = merge("PodSpec", {"containers": containers("a", "b", "c")}, patch)
    assert result == {"containers": containers("b", "c", "a")}
    patch = {"containers": [{"name": "a"}, {"name": "c"}]}
    result = merge("PodSpec", {"containers": containers("a", "b", "c")}, patch)
    assert result == {"containers": containers("a", "b", "c")}


def test_element_is_deleted_by_its_key() -> None:
    patch = {"containers": [{"$patch": "delete", "name": "a"}]}
    result = merge("PodSpec", {"containers": containers("a", "b", "a")}, patch)
    assert result == {"containers": containers("b")}


def test_list_is_replaced_by_a_directive_among_its_elements() -> None:
    patch = {"containers": [{"$patch": "replace"}, *containers("z")]}
    result = merge("PodSpec", {"containers": containers("a", "b")}, patch)
    assert result == {"containers": containers("z")}


def test_deletions_come_before_additions() -> None:
    doc = {"containers": containers("a", "b", "c")}
    patch = {"containers": [{"$patch": "delete", "name": "b"}, {"name": "d"}]}
    names = [c["name"] for c in merge("PodSpec", doc, patch)["containers"]]
    assert names == ["d", "a", "c"]


def test_scalars_of_merging_lists_are_united_and_deleted_by_directive() -> None:
    doc = {"metadata": {"finalizers": ["a", "b", "c"]}}
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"], "finalizers": ["d", "a"]}}
    assert merge("Pod", doc, patch)["metadata"]["finalizers"] == ["d", "a", "c"]


def test_deleting_from_an_absent_or_unlike_field_does_nothing() -> None:
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"]}}
    assert merge("Pod", {"metadata": {}}, patch) == {"metadata": {}}
    odd = {"metadata": {"finalizers": "text"}}
    assert merge("Pod", odd, patch) == odd


def test_null_in_place_of_values_to_delete_removes_the_field() -> None:
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": None}}
    assert merge("Pod", {"metadata": {"finalizers": ["a"]}}, patch) == {"metadata": {}}


@pytest.mark.parametrize(
    ("live", "wanted", "expected"),
    [
        ("abc", "cba", "cba"),
        ("abc", "ca", "bca"),
        ("abcd", "db", "acdb"),
        ("ab", "xab", "ab"),
    ],
)
def test_element_order_moves_named_elements_and_keeps_the_servers(
    live: str, wanted: str, expected: str
) -> None:
    patch = {"$setElementOrder/containers": [{"name": n} for n in wanted]}
    result = merge("PodSpec", {"containers": containers(*live)}, patch)
    assert result == {"containers": containers(*expected)}


def test_element_order_applies_after_merging_and_deleting() -> None:
    patch = {
        "$setElementOrder/containers": [{"name": "n"}, {"name": "c"}, {"name": "a"}],
        "containers": [
            {"name": "n"},
            {"name": "a", "image": "a:2"},
            {"name": "b", "$patch": "delete"},
        ],
    }
    result = merge("PodSpec", {"containers": containers("a", "b", "c")}, patch)
    assert result == {
        "containers": [{"name": "n"}, {"name": "c", "image": "c:1"}, {"name": "a", "image": "a:2"}]
    }


def test_added_elements_take_the_places_of_deleted_ones_among_the_servers() -> None:
    patch = {
        "$setElementOrder/containers": [{"name": "b"}, {"name": "x"}],
        "containers": [*containers("x"), {"name": "a", "$patch": "delete"}],
    }
    result = merge("PodSpec", {"containers": containers("a", "b", "c")}, patch)
    assert result == {"containers": containers("b", "c", "x")}


def test_element_order_of_a_new_list_drops_its_directives() -> None:
    patch = {
        "$setElementOrder/containers": [{"name": "a"}],
        "containers": [{"name": "a"}, {"name": "b", "$patch": "delete"}],
    }
    assert merge("PodSpec", {}, patch) == {"containers": [{"name": "a"}]}


def test_element_order_of_scalars() -> None:
    patch = {"metadata": {"$setElementOrder/finalizers": ["c", "a"], "finalizers": ["c"]}}
    result = merge("Pod", {"metadata": {"finalizers": ["a", "b"]}}, patch)
    assert result["metadata"]["finalizers"] == ["c", "a", "b"]


def test_order_without_any_list_does_nothing() -> None:
    assert merge("PodSpec", {}, {"$setElementOrder/containers": [{"name": "a"}]}) == {}


def test_retained_keys_clear_all_others() -> None:
    doc = {"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]}
    patch = {"volumes": [{"name": "v", "$retainKeys": ["name", "emptyDir"], "emptyDir": {}}]}
    assert merge("PodSpec", doc, patch) == {"volumes": [{"name": "v", "emptyDir": {}}]}


def test_patch_field_that_is_not_retained_is_a_bad_request() -> None:
    error = refusal("Volume", {}, {"$retainKeys": ["name"], "emptyDir": {}})
    assert (error.code, error.message) == (400, "invalid patch format of retainKeys")
    assert merge("Volume", {"name": "v"}, {"$retainKeys": ["name"], "emptyDir": None}) == {
        "name": "v"
    }


@pytest.mark.parametrize(
    ("patch", "code", "message"),
    [
        ({"containers": [{"image": "x", "args": ["1", None]}]}, 400,
         "map: map[args:[1 <nil>] image:x] does not contain declared merge key: name"),
        ({"containers": [{"$patch": "delete"}]}, 400,
         "map: map[$patch:delete] does not contain declared merge key: name"),
        ({"containers": [{"$patch": "merge", "name": "a"}]}, 400,
         "merging lists cannot yet be specified in the patch"),
        ({"containers": [{"$patch": "odd", "name": "a"}]}, 400,
         "unknown patch type: odd in map: map[$patch:odd name:a]"),
        ({"containers": ["a"]}, 400,
         "list element types are not identical: [[map[image:a:1 name:a]] [a]]"),
        ({"containers": [["a"]]}, 422,
         "the server rejected our request due to an error in our request"),
        ({"$patch": "odd"}, 400, "unknown patch type: odd in map: map[$patch:odd]"),
        ({"$retainKeys": "name"}, 400, "invalid patch format of retainKeys"),
        ({"$setElementOrder": []}, 400, "invalid patch format of setElementOrder list"),
        ({"$setElementOrder/containers": {}}, 400,
         "expected a []interface {}, but received a map[string]interface {}"),
        ({"$deleteFromPrimitiveList": []}, 400, "invalid patch format of primitive list"),
        ({"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "c"}]}, 400,
         "The order in patch list:\n[map[name:c]]\n doesn't match $setElementOrder list:\n"
         "[map[name:b]]\n"),
    ],
)  # fmt: skip
def test_refusals_are_worded_as_upstream(patch: Any, code: int, message: str) -> None:
    error = refusal("PodSpec", {"containers": containers("a")}, patch)
    assert (error.code, error.message) == (code, message)


def test_patch_into_a_field_the_type_lacks_is_refused() -> None:
    error = refusal("Pod", {"spec": {"odd": {}}}, {"spec": {"odd": {"a": 1}}})
    assert error.message == ('unable to find api field in struct PodSpec for the json field "odd"')
    error = refusal("ConfigMap", {"data": {"a": {}}}, {"data": {"a": {"b": 1}}})
    assert error.message == (
        "merging an object in json but data type is not struct, instead is: map"
    )


def test_field_of_replace_strategy_is_taken_whole() -> None:
    schema = builtin_schemas().struct("io.k8s.api.apps.v1.DeploymentSpec")
    doc = {"strategy": {"type": "Recreate"}}
    patch = {"strategy": {"$retainKeys": ["type"], "type": "RollingUpdate"}}
    assert strategic_merge(doc, patch, schema) == {"strategy": {"type": "RollingUpdate"}}


def test_result_shares_nothing_with_the_patch() -> None:
    patch = {"containers": [{"name": "b", "args": ["x"]}], "nodeSelector": {"a": "b"}}
    before = orjson.dumps(patch)
    result = strategic_merge({"containers": containers("a")}, patch, struct("PodSpec"))
    result["containers"][0]["args"].append("y")
    result["nodeSelector"]["c"] = "d"
    assert orjson.dumps(patch) == before
