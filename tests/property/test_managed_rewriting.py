"""managedFields as bytes become what comparing makes of parsed ones, whatever is written."""

from __future__ import annotations

import copy
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from kube.json_types import JsonObject
from kube.managed import entries as book
from kube.managed import sets
from kube.managed.atoms import TypedError, root_type
from kube.managed.rewriting import FirstWrites, rewrite
from kube.managed.shapes import Shapes
from kube.managed.tracking import Application, Writer, bare, changed, update
from kube.schema.compile import builtin_schemas
from kube.schema.decode import DecodeError, builtin_decoder
from tests.property.test_managed_fields import configurations
from tests.property.test_schema_walks import objects
from tests.unit.kube.managed.managed_types import VERSION, OneVersion, of

START = "2026-01-01T00:00:00Z"
_managers = st.sampled_from(["a", "b", "kubelet"])
_times = st.sampled_from([f"2026-01-01T00:00:0{second}Z" for second in range(3)])
_parts = st.sampled_from(["", "status"])
NO_STATUS = OneVersion(dropped=sets.of_paths([("f:inner",)]))
SHAPES = Shapes()


def same(old: JsonObject, new: JsonObject, versions: Any, writer: Writer, first: Any) -> Any:
    """Return what a write makes of managedFields as bytes, once it is what it is of parsed ones."""
    entries = old["metadata"].get("managedFields") or []
    expected = update(versions, old, copy.deepcopy(new), writer)
    hidden: JsonObject = {**old, "metadata": dict(old["metadata"])}
    if entries:
        hidden["metadata"]["managedFields"] = orjson.Fragment(orjson.dumps(entries))
    found = orjson.dumps(rewrite(versions, hidden, copy.deepcopy(new), writer, first))
    assert found == orjson.dumps(expected)
    return expected


@st.composite
def _writers(draw: st.DrawFn) -> Writer:
    return Writer(draw(_managers), VERSION, draw(_parts), draw(_times))


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(configurations(), _writers(), st.booleans()), max_size=6), st.data())
def test_bytes_become_what_parsed_entries_become(
    writes: list[tuple[JsonObject, Writer, bool]], data: st.DataObject
) -> None:
    versions = data.draw(st.sampled_from([OneVersion(), NO_STATUS]))
    first = data.draw(st.sampled_from([None, FirstWrites(SHAPES, "inner")]))
    start = Writer("creator", VERSION, "", START)
    made = book.encode(changed(versions, of(), of(text="x"), {}, start))
    live = {**of(text="x"), "metadata": {"name": "a", "managedFields": made}}
    last = start
    for wanted, writer, applies in writes:
        if applies:
            config = {name: value for name, value in wanted.items() if name != "free"}
            live = Application(versions, config, writer, force=True, empty=of()).onto(live)
            continue
        new = bare(live)
        last = last._replace(now=writer.now) if data.draw(st.booleans()) else writer
        kind = data.draw(st.sampled_from(["values", "some", "all"]))
        if kind == "values":  # of what is there already
            new = {**new, **{k: v for k, v in wanted.items() if k in live and k != "metadata"}}
        elif kind == "some":
            new = {**new, **{k: v for k, v in wanted.items() if k != "metadata"}}
        else:
            new = {**wanted, "metadata": bare(live)["metadata"]}
        if data.draw(st.booleans()):
            new = {**new, "metadata": {**new["metadata"], "labels": {data.draw(_managers): "x"}}}
        if data.draw(st.booleans()):
            sent = {**new["metadata"], "managedFields": live["metadata"].get("managedFields")}
            new = {**new, "metadata": sent}
        entries = same(live, new, versions, last, first)
        live = {**new, "metadata": {**bare(new)["metadata"], "managedFields": entries}}


NAMES = (
    "io.k8s.api.core.v1.Pod",
    "io.k8s.api.core.v1.Node",
    "io.k8s.api.core.v1.Service",
    "io.k8s.api.apps.v1.StatefulSet",
    "io.k8s.api.resource.v1.ResourceClaim",
)


@settings(deadline=None, max_examples=300)
@given(st.data(), st.sampled_from(NAMES), st.lists(_writers(), min_size=1, max_size=4))
def test_statuses_of_built_in_types_are_tracked_as_when_they_are_compared(
    data: st.DataObject, name: str, writers: list[Writer]
) -> None:
    struct = builtin_schemas().struct(name)
    status = struct.fields["status"].type.struct
    assert status is not None
    versions = OneVersion(root_type(struct), sets.of_paths([("f:spec",)]))
    first = FirstWrites(SHAPES, "status")
    head = {"apiVersion": VERSION, "kind": struct.go_name}
    live = {**data.draw(objects(struct)), **head, "metadata": {"name": "a", "labels": {"k": "v"}}}
    try:
        builtin_decoder(name).decode(live)
        created = {key: value for key, value in live.items() if key != "status"}
        start = Writer("creator", VERSION, "", START)
        made = book.encode(changed(OneVersion(root_type(struct)), head, created, {}, start))
        live = {**live, "metadata": {**live["metadata"], "managedFields": made}}
        for writer in writers:
            kept = live.get("status") or {}
            drawn = data.draw(objects(status))
            new = {**live, "status": {**kept, **drawn} if data.draw(st.booleans()) else drawn}
            new["metadata"] = copy.deepcopy(bare(live)["metadata"])
            new = copy.deepcopy(new)
            builtin_decoder(name).decode(new)
            entries = same(live, new, versions, writer, first)
            live = {**new, "metadata": {**new["metadata"], "managedFields": entries}}
    except (DecodeError, TypedError):
        return  # nothing that is ever stored
