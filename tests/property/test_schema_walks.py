"""The fast and the careful walk agree, and decoding twice changes nothing more."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kube.schema.compile import builtin_schemas
from kube.schema.decode import DecodeError, builtin_decoder
from kube.schema.model import Kind, Struct, Type
from kube.schema.report import Report

NAMES = (
    "io.k8s.api.core.v1.Pod",
    "io.k8s.api.core.v1.Service",
    "io.k8s.api.core.v1.Node",
    "io.k8s.api.apps.v1.StatefulSet",
    "io.k8s.api.networking.v1.NetworkPolicy",
    "io.k8s.api.resource.v1.ResourceClaim",
)
GOOD: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.STRING: st.sampled_from(["", "a", "web"]),
    Kind.BOOL: st.booleans(),
    Kind.INT32: st.integers(-1, 3),
    Kind.INT64: st.integers(-1, 3),
    Kind.FLOAT: st.sampled_from([0, 1.0, 1.5]),
    Kind.BYTES: st.sampled_from(["", "YQ=="]),
    Kind.QUANTITY: st.sampled_from(["0", "1000m", "1Gi", 5, 0.5]),
    Kind.TIME: st.sampled_from(["2024-01-01T00:00:00Z", "2024-01-01T00:00:00.5+01:00"]),
    Kind.MICRO_TIME: st.just("2024-01-01T00:00:00.000000Z"),
    Kind.INT_OR_STRING: st.sampled_from([0, 80, "", "50%"]),
    Kind.ANY: st.sampled_from([{}, {"a": None}, [1], "x"]),
    Kind.UNION: st.sampled_from([{}, True]),
}
BAD = st.sampled_from([1, 1.5, 2**40, 2**70, "x", True, [], {}, [1], {"a": 1}, [None], None])


@st.composite
def values(draw: st.DrawFn, type_: Type, depth: int) -> Any:
    """Draw a value of a type: mostly a good one."""
    if draw(st.integers(0, 60)) == 0:
        return copy.deepcopy(draw(BAD))
    if type_.kind is Kind.STRUCT and type_.struct is not None:
        return draw(objects(type_.struct, depth))
    if type_.kind in {Kind.LIST, Kind.MAP} and type_.items is not None:
        items = [draw(values(type_.items, depth)) for _ in range(draw(st.integers(0, 2)))]
        return items if type_.kind is Kind.LIST else dict(zip("ab", items, strict=False))
    return copy.deepcopy(draw(GOOD[type_.kind]))


@st.composite
def objects(draw: st.DrawFn, struct: Struct, depth: int = 0) -> dict[str, Any]:
    """Draw an object of a struct with a few of its fields, rarely an unknown one."""
    names = sorted(struct.fields)
    count = draw(st.integers(0, 0 if depth > 5 or not names else 3))
    chosen = [draw(st.sampled_from(names)) for _ in range(count)]
    obj = {name: draw(values(struct.fields[name].type, depth + 1)) for name in chosen}
    if draw(st.integers(0, 30)) == 0:
        obj["noSuchField"] = {"a": 1}
    return obj


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(NAMES), st.data())
def test_both_walks_agree_and_decoding_is_idempotent(name: str, data: st.DataObject) -> None:
    struct = builtin_schemas().struct(name)
    obj = data.draw(objects(struct))
    report = Report(struct, copy.deepcopy(obj))
    decoder = builtin_decoder(name)
    try:
        found = decoder.decode(obj)
    except DecodeError as error:
        assert str(error) == report.error  # noqa: PT017 - either outcome is a case of its own
        return
    assert report.error == ""
    assert found.unknown == tuple(f'unknown field "{path}"' for path in report.unknown)
    again = copy.deepcopy(obj)
    assert decoder.decode(again).unknown == ()
    assert again == obj
