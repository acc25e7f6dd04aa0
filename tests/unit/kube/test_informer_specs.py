"""Specs that are alike are decoded once, and what is told is what decoding each line gives."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.informers import lines
from kube.informers.specs import OfOrigin, SharedSpec, Specs

SPEC = {"containers": [{"name": "c", "image": "i"}], "priority": 0}
STATUS = {"phase": "Pending", "conditions": [{"type": "A", "status": "True"}]}
ODD = '},"status":{'


def _line(obj: dict[str, Any], change: str = "MODIFIED") -> bytes:
    return orjson.dumps({"type": change, "object": obj})


def _pod(spec: Any = SPEC, status: Any = STATUS, **metadata: Any) -> dict[str, Any]:
    metadata = {"name": "p", "namespace": "n", **metadata}
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    }


CASES: dict[str, dict[str, Any]] = {
    "without a node": _pod(),
    "with its node last": _pod({**SPEC, "nodeName": "n1"}),
    "with its node first": _pod({"nodeName": "n1", **SPEC}),
    "with two that are called so": _pod({"a": {"b": 1, "nodeName": "x"}, "nodeName": "n1"}),
    "with one that is not its own": _pod({**SPEC, "a": {"b": 1, "nodeName": "x"}}),
    "with an odd node": _pod({**SPEC, "nodeName": 'a"b\\ü'}),
    "with a node that is none": _pod({**SPEC, "nodeName": None}),
    "empty": _pod({}, {}),
    "with null": _pod(None, None),
    "with a status in its spec": _pod({"a": {"b": {}}, "status": {"c": {}}}),
    "with a status deeper in its spec": _pod({"a": {"b": {}, "status": {"c": {}}}, "d": {}}),
    "with odd texts": _pod({"a": ODD, "b": ',"nodeName":"x"'}, {"c": ',"spec":{' + ODD}),
    "with odd labels": _pod(labels={"spec": ',"spec":{', "status": ODD}),
    "with a spec in its metadata": _pod(annotations={"a": 1, "spec": {"b": {}}}),
    "with managed fields": _pod(managedFields=[{"manager": "m"}]),
    "with more behind": {**_pod(), "more": {"spec": {}, "status": {}}},
    "with its status first": {"metadata": {"name": "p"}, "status": STATUS, "spec": SPEC},
    "with two specs": {"metadata": {"name": "p"}, "a": {"spec": {}}, "spec": SPEC, "status": {}},
}


@pytest.mark.parametrize("case", CASES)
def test_a_line_is_read_as_without_sharing(case: str) -> None:
    specs = Specs()
    for line in (_line(CASES[case]), _line(CASES[case], "DELETED"), _line(_pod())):
        wanted = lines.read_event(line)
        for _ in range(2):
            event, told = specs.read_event(line)
            assert (event, told) == wanted
            # In the same order, too.
            assert orjson.dumps(event) == orjson.dumps(wanted[0])


JSON = st.recursive(
    st.none() | st.integers(0, 9) | st.sampled_from(["", "n", ODD, '"', "\\", "ü"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["spec", "status", "nodeName", "a"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.sampled_from(["metadata", "spec", "status"]), JSON), max_size=4))
def test_whatever_is_told_is_read_as_without_sharing(objects: list[dict[str, Any]]) -> None:
    specs = Specs()
    for obj in objects:
        line = _line(obj)
        assert specs.read_event(line) == lines.read_event(line)


@pytest.mark.parametrize("line", [b"", b"{}", b"[]", b'{"type":"A","object":', b"}}}"])
def test_what_is_no_event_is_refused_as_without_sharing(line: bytes) -> None:
    def read(how: Any) -> Any:
        try:
            return how(line)
        except ValueError as error:
            return type(error)

    assert read(Specs().read_event) == read(lines.read_event)


def test_pods_of_one_template_share_their_spec_whatever_their_nodes() -> None:
    specs, found = Specs(), []
    for node in ("", "n1", "n2"):
        spec = {**SPEC, "nodeName": node} if node else SPEC
        event, _ = specs.read_event(_line(_pod(spec)))
        found.append(event["object"]["spec"])
    assert [one.get("nodeName") for one in found] == [None, "n1", "n2"]
    assert len({id(one.origin) for one in found}) == 1
    assert len({id(one["containers"]) for one in found}) == 1
    other, _ = specs.read_event(_line(_pod({**SPEC, "priority": 1})))
    assert other["object"]["spec"].origin is not found[0].origin


def test_a_spec_that_is_large_is_not_kept() -> None:
    specs = Specs()
    line = _line(_pod({**SPEC, "nodeName": "n", "hostname": "x" * (16 << 10)}))
    event, _ = specs.read_event(line)
    assert event == orjson.loads(line)
    assert not isinstance(event["object"]["spec"], SharedSpec)
    assert not specs._known


def test_what_follows_from_a_spec_is_found_once() -> None:
    asked: list[dict[str, Any]] = []
    ports = OfOrigin(lambda spec: asked.append(spec) or len(asked))
    origin: dict[str, Any] = {"a": 1}
    assert [ports.of(SharedSpec(origin)) for _ in range(3)] == [1, 1, 1]
    assert ports.of(SharedSpec({"a": 1})) == 2
    assert [ports.of(SPEC) for _ in range(2)] == [3, 4]
