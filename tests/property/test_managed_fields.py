"""Structured merge: what holds for whatever is applied, by whomever, in whatever order."""

from __future__ import annotations

import copy
from typing import Any

import orjson
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kube.json_types import JsonObject
from kube.managed import sets
from kube.managed.atoms import TypedError, root_type
from kube.managed.compare import changed_values, compare, compare_objects
from kube.managed.entries import APPLY, Managers, identity
from kube.managed.merge import merge
from kube.managed.sets import FieldSet
from kube.managed.shapes import NewObjects, Shapes, zero_object
from kube.managed.tracking import Application, Writer, changed
from kube.managed.typed import check, field_set
from kube.managed.updater import NOBODYS_METADATA, apply
from kube.schema.compile import builtin_schemas
from kube.schema.decode import DecodeError, builtin_decoder
from tests.property.test_schema_walks import NAMES, objects
from tests.unit.kube.managed.managed_types import OBJECT, VERSION, OneVersion, of

VERSIONS = OneVersion()
NOW = "2026-01-01T00:00:00Z"
_texts = st.sampled_from(["x", "y", ""])
_few = st.lists(st.sampled_from("abcde"), unique=True, max_size=4)


def _items(draw: st.DrawFn) -> list[JsonObject]:
    names = draw(_few)
    return [
        draw(
            st.fixed_dictionaries(
                {"name": st.just(name)}, optional={"value": _texts, "items": _few.filter(bool)}
            )
        )
        for name in names
    ]


def _ports(draw: st.DrawFn) -> list[JsonObject]:
    numbers = draw(st.lists(st.integers(1, 3), unique=True, max_size=3))
    optional = {"protocol": st.sampled_from(["TCP", "UDP"]), "name": _texts}
    return [
        {"port": number, **draw(st.fixed_dictionaries({}, optional=optional))} for number in numbers
    ]


@st.composite
def configurations(draw: st.DrawFn, prefix: str = "") -> JsonObject:
    """Draw a configuration; with a prefix, of keys and items that no other prefix has."""
    keys = st.dictionaries(st.sampled_from("abc").map(lambda key: prefix + key), _texts, max_size=3)
    if prefix:
        fields: JsonObject = draw(
            st.fixed_dictionaries(
                {}, optional={"tags": keys.filter(bool), "free": keys.filter(bool)}
            )
        )
        names = draw(_few)
        if names:
            fields["named"] = [{"name": prefix + name, "value": draw(_texts)} for name in names]
            fields["set"] = [prefix + name for name in names]
        return of(**fields)
    fields = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "text": _texts,
                "number": st.integers(0, 2),
                "flag": st.booleans(),
                "inner": st.fixed_dictionaries({}, optional={"a": _texts, "b": _texts}),
                "whole": st.fixed_dictionaries({}, optional={"a": _texts}),
                "tags": keys,
                "wholeMap": keys,
                "list": _few,
                "set": _few,
                "free": st.recursive(_texts, lambda inner: st.dictionaries(_texts, inner)),
            },
        )
    )
    if draw(st.booleans()):
        fields["named"] = _items(draw)
    if draw(st.booleans()):
        fields["ports"] = _ports(draw)
    return of(**fields)


def applied(
    live: JsonObject, config: JsonObject, managers: Managers, name: str
) -> tuple[JsonObject, Managers]:
    """Apply with force."""
    done = apply(VERSIONS, live, config, managers, identity(name, APPLY, VERSION), force=True)
    return done.obj, done.managers


def applied_first(
    config: JsonObject, name: str, then: JsonObject
) -> tuple[JsonObject, JsonObject, Managers]:
    """Apply to nothing; return what the next apply, of `then`, goes on from."""
    obj, managers = applied(of(), config, {}, name)
    return obj, then, managers


def owned(managers: Managers) -> dict[str, FieldSet]:
    """Return sets by manager, what names the object left out."""
    return {who.manager: one.fields for who, one in managers.items()}


def application(config: JsonObject, now: str) -> Application:
    """Return a forced apply at some time."""
    writer = Writer("me", VERSION, "", now)
    return Application(VERSIONS, config, writer, force=True, empty=of())


@given(configurations(), configurations())
def test_applying_twice_is_applying_once(live: JsonObject, config: JsonObject) -> None:
    once = application(config, NOW).onto(live)
    # Who applies nothing but an empty list manages nothing, and the next apply is the first again.
    assume("managedFields" in once["metadata"])
    assert application(config, "2027-01-01T00:00:00Z").onto(once) == once


@given(configurations(), st.data())
def test_changed_values_are_what_the_whole_comparison_finds(
    old: JsonObject, data: st.DataObject
) -> None:
    new = copy.deepcopy(old)
    for name, value in data.draw(configurations()).items():
        if name in new and data.draw(st.booleans()):
            new[name] = value
    quick = changed_values(OBJECT, old, new, NOBODYS_METADATA)
    whole = compare_objects(OBJECT, old, new, NOBODYS_METADATA)
    if quick is not None:
        assert (whole.removed, whole.modified, whole.added) == (sets.EMPTY, quick, sets.EMPTY)


def test_values_of_keys_items_and_metadata_are_compared_without_the_whole_comparison() -> None:
    old = of(text="a", tags={"x": "1"}, named=[{"name": "n", "value": "1"}])
    new = of(text="b", tags={"x": "2"}, named=[{"name": "n", "value": "2"}])
    assert changed_values(OBJECT, old, new, NOBODYS_METADATA) == {
        "f:named": {'k:{"name":"n"}': {"f:value": {}}},
        "f:tags": {"f:x": {}},
        "f:text": {},
    }


def without_empties(value: Any) -> Any:
    """Return a configuration without empty lists and maps.

    A list that is emptied is gone, and a map is null: as upstream, even where an empty one is
    what was applied.
    """
    if isinstance(value, dict):
        inner = {key: without_empties(item) for key, item in value.items()}
        return {key: item for key, item in inner.items() if item not in ({}, [])}
    return value


@given(configurations(), configurations(), configurations())
def test_what_is_merged_fits_the_schema_and_holds_the_configuration(
    live: JsonObject, first: JsonObject, second: JsonObject
) -> None:
    obj, managers = applied(live, first, {}, "me")
    obj, managers = applied(obj, second, managers, "me")
    check(OBJECT, obj)
    assert merge(OBJECT, obj, without_empties(second)) == obj


@given(configurations("x"), configurations("y"))
def test_appliers_of_different_fields_commute(one: JsonObject, two: JsonObject) -> None:
    a, by_a = applied(*applied_first(one, "one", two), "two")
    b, by_b = applied(*applied_first(two, "two", one), "one")
    assert compare(OBJECT, a, b).is_same
    assert owned(by_a) == owned(by_b)


@given(configurations("x"), configurations("y"))
def test_giving_up_what_one_applied_leaves_what_the_other_had(
    mine: JsonObject, theirs: JsonObject
) -> None:
    before, managers = applied(of(), theirs, {}, "them")
    both, with_mine = applied(before, mine, managers, "me")
    after, left = applied(both, of(), with_mine, "me")
    assert after == before
    assert owned(left)["them"] == owned(managers)["them"]


@given(configurations(), configurations())
def test_what_differs_between_two_objects_leads_from_one_to_the_other(
    old: JsonObject, new: JsonObject
) -> None:
    forth, back = compare(OBJECT, old, new), compare(OBJECT, new, old)
    assert forth.removed == back.added
    assert forth.added == back.removed
    assert forth.modified == back.modified
    assert forth.is_same == (not forth.taken and not forth.removed)


@given(configurations(), configurations())
def test_sets_obey_the_laws_of_sets(one: JsonObject, two: JsonObject) -> None:
    a, b = field_set(OBJECT, one), field_set(OBJECT, two)
    both = sets.union(a, b)
    assert orjson.dumps(both) == orjson.dumps(sets.union(b, a))
    assert orjson.dumps(sets.parse(orjson.loads(orjson.dumps(both)))) == orjson.dumps(both)
    members = set(sets.paths_of(both))
    assert members == set(sets.paths_of(a)) | set(sets.paths_of(b))
    shared = set(sets.paths_of(a)) & set(sets.paths_of(b))
    assert set(sets.paths_of(sets.intersection(a, b))) == shared
    only = set(sets.paths_of(a)) - set(sets.paths_of(b))
    assert set(sets.paths_of(sets.difference(a, b))) == only


@given(configurations(), st.lists(configurations(), min_size=1, max_size=4))
def test_no_field_that_is_gone_is_owned(live: JsonObject, steps: list[JsonObject]) -> None:
    obj: JsonObject = live
    managers: Managers = {}
    for number, config in enumerate(steps):
        obj, managers = applied(obj, config, managers, f"m{number % 2}")
    there = sets.union(field_set(OBJECT, obj), compare(OBJECT, {}, obj).added)
    for fields in owned(managers).values():
        assert sets.difference(fields, there) == {}


_shapes = Shapes()
_META: dict[str, Any] = {"name": "a", "labels": {"k": "v", "a%b": ""}, "generateName": "g-"}


@settings(deadline=None)
@given(st.data(), st.sampled_from(NAMES))
def test_the_shape_of_a_new_object_says_what_comparing_it_says(
    data: st.DataObject, name: str
) -> None:
    struct = builtin_schemas().struct(name)
    obj = {**data.draw(objects(struct)), "apiVersion": VERSION, "kind": struct.go_name}
    obj["metadata"] = copy.deepcopy(_META)
    try:
        builtin_decoder(name).decode(obj)
    except DecodeError:
        return
    empty = {**zero_object(struct), "apiVersion": VERSION, "kind": struct.go_name}
    dropped = sets.of_paths([("f:status",)])
    versions = OneVersion(root_type(struct), dropped)
    new = NewObjects(_shapes, struct, frozenset({"status"}))
    try:
        managers = changed(versions, empty, obj, {}, Writer("me", VERSION, "", NOW))
    except TypedError:
        return  # an item without a name, which may be in what is dropped anyway
    expected = orjson.dumps(next(iter(managers.values())).fields) if managers else b"{}"
    parts = filter(None, (new.metadata(obj["metadata"]), new.rest(obj)))
    assert b"{%b}" % b",".join(parts) == expected
