"""Versions and marks: what is done to stored objects, and nothing to those that need it not."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from apiserver.custom.definition import parse_definition
from apiserver.custom.types import CustomType, shaping_part
from kube.json_types import JsonObject
from storage.event import Event, EventKind
from storage.record import Record
from tests.unit.apiserver.custom.samples import (
    GROUP,
    TEXT,
    made_type,
    parsed,
    resource,
    schema_of,
    stored_definition,
    thing,
    version,
)


def record_of(body: bytes, meta: bytes, splice_at: int = 0, revision: int = 3) -> Record:
    """Return a record as storage would have it."""
    spliced = b"%b%d%b" % (body[:splice_at], revision, body[splice_at:])
    return Record("r", "x", "a", 1, revision, meta, spliced, splice_at)


def test_what_is_stored_as_it_would_be_now_is_shown_byte_by_byte() -> None:
    own = resource(parsed("Thing"))
    body, meta = own.encode(thing(a="x"))
    record = record_of(body, meta, own.splice_at)
    assert own.is_current(record)
    assert own.show(record) is record
    assert own.serve(record.body) is record.body


def test_descriptions_and_checks_leave_objects_as_they_are_but_fields_and_defaults_do_not() -> None:
    plain = made_type(parsed("Thing", version("v1", schema_of(a=TEXT), storage=True)))
    told = {**TEXT, "description": "d", "maxLength": 3}
    checked = made_type(parsed("Thing", version("v1", schema_of(a=told), storage=True)))
    assert plain.mark == checked.mark
    for schema in (schema_of(a={**TEXT, "default": "x"}), schema_of(a=TEXT, b=TEXT)):
        other = made_type(parsed("Thing", version("v1", schema, storage=True)))
        assert other.mark != plain.mark


def test_what_was_stored_under_another_schema_is_pruned_and_completed() -> None:
    before = resource(parsed("Thing", version("v1", schema_of(a=TEXT, old=TEXT), storage=True)))
    body, meta = before.encode(thing(a="x", old="y"))
    fields = schema_of(a=TEXT, new={**TEXT, "default": "d"})
    after = resource(parsed("Thing", version("v1", fields, storage=True)))
    record = record_of(body, meta, before.splice_at)
    assert not after.is_current(record)
    shown = after.show(record)
    assert orjson.loads(shown.body)["spec"] == {"a": "x", "new": "d"}
    assert shown.body[shown.splice_at :].startswith(b"3")
    assert after.is_current(shown)


@pytest.mark.parametrize("is_alike", [True, False])
def test_another_version_is_shown_under_its_own_name(is_alike: bool) -> None:  # noqa: FBT001
    schema = None if is_alike else schema_of(b=TEXT)
    definition = parsed("Thing", version("v1", storage=True), version("v2beta1", schema))
    stored, other = resource(definition), resource(definition, "v2beta1")
    body, meta = stored.encode(thing(a="x"))
    record = record_of(body, meta, stored.splice_at)
    shown = other.show(record)
    found = orjson.loads(shown.body)
    assert found["apiVersion"] == f"{GROUP}/v2beta1"
    assert found["spec"] == ({"a": "x"} if is_alike else {})
    assert shown.body.startswith(other.served_prefix + b"3")
    assert shown.body[other.item_strip :].startswith(b'"metadata"')
    assert other.decode_stored(shown.body) == found


def test_what_is_written_in_another_version_is_stored_in_the_one_that_is() -> None:
    fields = schema_of(a=TEXT, more={**TEXT, "default": "m"})
    definition = parsed("Thing", version("v1", fields, storage=True), version("v2"))
    stored, other = resource(definition), resource(definition, "v2")
    obj = thing(f"{GROUP}/v2", a="x", lost="y")
    body, meta = other.encode(obj)
    assert orjson.loads(body)["spec"] == {"a": "x", "more": "m"}
    assert body.startswith(stored.prefix)
    assert stored.is_current(record_of(body, meta))
    # What the verb goes on to work with stays in its version.
    assert obj["spec"] == {"a": "x", "lost": "y"}


def test_a_change_of_the_storage_version_is_seen_on_each_object() -> None:
    before = resource(parsed("Thing", version("v1", storage=True), version("v2")))
    after = resource(parsed("Thing", version("v1"), version("v2", storage=True)), "v2")
    body, meta = before.encode(thing(a="x"))
    record = record_of(body, meta, before.splice_at)
    assert not after.is_current(record)
    assert orjson.loads(after.show(record).body)["apiVersion"] == f"{GROUP}/v2"


def test_an_event_is_shown_once_for_all_watches_of_a_version() -> None:
    definition = parsed("Thing", version("v1", storage=True), version("v2", schema_of(b=TEXT)))
    stored, other = resource(definition), resource(definition, "v2")
    body, meta = stored.encode(thing(a="x"))
    record = record_of(body, meta, stored.splice_at)
    event = Event(EventKind.PUT, record, record, 3)
    assert stored.show_event(event) is event
    assert other.show_event(event) is other.show_event(event)
    assert other.is_at_hand([event])


def test_selectable_fields_of_all_versions_stand_in_the_search_blob() -> None:
    one = version("v1", storage=True, selectableFields=[{"jsonPath": ".spec.a"}])
    two = version("v2", selectableFields=[{"jsonPath": ".spec.n"}])
    definition = parsed("Thing", one, two)
    meta = resource(definition).meta_of(thing(a="x", n=True))
    assert b"\x01spec.a=x\x01" in meta
    assert b"\x01spec.n=true\x01" in meta
    assert set(resource(definition, "v2").hooks.fields) == {"spec.n"}


def test_a_type_that_is_over_ends_what_comes_late_as_well() -> None:
    type_ = made_type(parsed("Thing"))
    ended: list[str] = []
    type_.when_over(lambda: ended.append("early"))
    undo = type_.when_over(lambda: ended.append("gone"))
    undo()
    type_.end()
    type_.when_over(lambda: ended.append("late"))
    assert ended == ["early", "late"]


def test_the_shaping_part_of_a_schema_is_all_that_pruning_and_defaults_look_at() -> None:
    schema: JsonObject = {
        "type": "object",
        "description": "d",
        "required": ["a"],
        "properties": {"description": {"type": "string", "maxLength": 1, "default": "x"}},
        "additionalProperties": {"items": {"format": "f", "nullable": True}},
    }
    assert shaping_part(schema) == {
        "type": "object",
        "properties": {"description": {"type": "string", "default": "x"}},
        "additionalProperties": {"items": {"nullable": True}},
    }


OBJECTS: list[dict[str, Any]] = [
    {"a": "x"},
    {},
    {"l": [{"k": "1", "v": "x"}, {"k": "2"}]},
    {"l": [{"k": "1"}]},
    {"n": None, "a": "x"},
    {"m": {"p": "q", "r": None}},
    {"any": {"deep": [1, {"x": None}], "flat": True}},
    {"s": ["a", "b"], "atomic": [{"x": 1}]},
]


@pytest.mark.parametrize("spec", OBJECTS)
@pytest.mark.parametrize("is_open", [False, True])
def test_templates_of_new_objects_say_what_comparing_them_says(
    spec: dict[str, Any],
    is_open: bool,  # noqa: FBT001
) -> None:
    item = {"type": "object", "properties": {"k": TEXT, "v": TEXT}}
    fields = schema_of(
        a=TEXT,
        n={**TEXT, "nullable": True},
        m={"type": "object", "additionalProperties": {**TEXT, "nullable": True}},
        l={
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k"],
            "items": item,
        },
        s={"type": "array", "x-kubernetes-list-type": "set", "items": TEXT},
        atomic={"type": "array", "items": {"type": "object"}},
        any={"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    )
    if is_open:
        fields["x-kubernetes-preserve-unknown-fields"] = True
    made = version("v1", fields, storage=True, subresources={"status": {}})
    own = resource(parsed("Thing", made))
    obj = {**thing(**spec), "status": {"x": 1}}
    obj["metadata"]["labels"] = {"l": "1"}
    one_by_one = own.tracker._fields_one_by_one(obj)  # type: ignore[attr-defined]
    assert own.fields_of_new(obj) == one_by_one


def test_definitions_that_serve_alike_have_one_shape() -> None:
    obj = stored_definition("Thing")
    labelled = {
        **obj,
        "metadata": {**obj["metadata"], "labels": {"a": "b"}, "resourceVersion": "9"},
    }
    assert parse_definition(labelled).shape == parse_definition(obj).shape
    reborn = {**obj, "metadata": {**obj["metadata"], "uid": "other"}}
    assert parse_definition(reborn).shape != parse_definition(obj).shape


def test_the_webhook_is_none_of_a_single_version() -> None:
    conversion = {"strategy": "Webhook", "webhook": {"clientConfig": {"url": "https://x"}}}
    assert made_type(parsed("Thing", conversion=conversion)).webhook is None
    both = parsed("Thing", version("v1", storage=True), version("v2"), conversion=conversion)
    type_: CustomType = made_type(both)
    assert type_.webhook is not None
