"""Entries of managedFields: reading, sorting, capping."""

from __future__ import annotations

from typing import Any

import pytest

from kube.managed import sets
from kube.managed.entries import (
    APPLY,
    UPDATE,
    UPDATE_MANAGERS_MAX,
    EntriesError,
    Managers,
    Owned,
    asks_for_reset,
    cap,
    decode,
    encode,
    identity,
    same_but_times,
)
from kube.managed.scale import REPLICAS, to_object, to_scale
from tests.unit.kube.managed.managed_types import paths

FIELDS = sets.of_paths([("f:a",)])


def entry(**more: Any) -> dict[str, Any]:
    """Return a valid entry, with changes."""
    made = {
        "manager": "m",
        "operation": "Update",
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:a": {}},
    }
    made.update(more)
    return {key: value for key, value in made.items() if value is not None}


def test_entries_are_what_they_were_read_from() -> None:
    entries = [entry(time="2026-01-01T00:00:00Z", subresource="status")]
    assert encode(decode(entries)) == entries


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"operation": "Merge"}, "operation must be `Apply` or `Update`"),
        ({"apiVersion": None}, "apiVersion must not be empty"),
        ({"fieldsType": None}, "missing fieldsType in managed fields entry 0"),
        ({"fieldsType": "V9"}, 'invalid fieldsType "V9" in managed fields entry 0'),
        ({"fieldsV1": {"q": {}}}, "error decoding set"),
    ],
)
def test_malformed_entries_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(EntriesError, match=message):
        decode([entry(**change)])


def test_applies_come_first_then_older_ones_then_names() -> None:
    old, new = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
    managers: Managers = {
        identity("b", UPDATE, "v1"): Owned("v1", FIELDS, old),
        identity("a", UPDATE, "v1"): Owned("v1", FIELDS, new),
        identity("a", UPDATE, "v1", "status"): Owned("v1", FIELDS, old),
        identity("z", APPLY, "v1"): Owned("v1", FIELDS, new),
        identity("y", UPDATE, "v1"): Owned("v1", FIELDS),
    }
    shown = [(e["manager"], e["operation"], e.get("time")) for e in encode(managers)]
    assert shown == [
        ("z", "Apply", new),
        ("y", "Update", None),
        ("a", "Update", old),
        ("b", "Update", old),
        ("a", "Update", new),
    ]


def test_whoever_applies_in_another_version_is_the_same() -> None:
    assert identity("a", APPLY, "v1") == identity("a", APPLY, "v2")
    assert identity("a", UPDATE, "v1") != identity("a", UPDATE, "v2")
    assert identity("", UPDATE, "v1").manager == "unknown"


@pytest.mark.parametrize(
    ("entries", "resets"),
    [(None, False), ([], True), ([{}], True), ([{}, {}], False), ([entry()], False)],
)
def test_an_empty_list_or_entry_asks_for_a_reset(entries: Any, resets: object) -> None:
    assert asks_for_reset(entries) is resets


def test_entries_that_differ_in_time_are_told_from_others() -> None:
    one, two = entry(time="2026-01-01T00:00:00Z"), entry(time="2026-01-02T00:00:00Z")
    assert same_but_times([one], [two])
    assert same_but_times([one], [entry()])
    assert not same_but_times([one], [entry(manager="n")])
    assert not same_but_times([one], [one, two])


def many(count: int, version: str = "v1") -> Managers:
    """Return so many updaters, the first one oldest."""
    return {
        identity(f"m{number:02}", UPDATE, version): Owned(
            version, sets.of_paths([(f"f:{version}-{number:02}",)]), f"2026-01-{number + 1:02}"
        )
        for number in range(count)
    }


def test_as_many_updaters_as_the_cap_stay() -> None:
    managers = many(UPDATE_MANAGERS_MAX)
    assert cap(managers) is managers


def test_the_oldest_updaters_beyond_the_cap_become_ancient_changes() -> None:
    capped = cap(many(UPDATE_MANAGERS_MAX + 2))
    assert len(capped) == UPDATE_MANAGERS_MAX
    ancient = capped[identity("ancient-changes", UPDATE, "v1")]
    assert paths(ancient.fields) == {".v1-00", ".v1-01", ".v1-02"}
    assert ancient.time == "2026-01-03"


def test_ancient_changes_are_kept_by_version() -> None:
    capped = cap({**many(6, "v1"), **many(6, "v2")})
    assert len(capped) == UPDATE_MANAGERS_MAX
    assert {who.version for who in capped if who.manager == "ancient-changes"} == {"v1", "v2"}


def test_ancient_changes_take_in_more_each_time() -> None:
    capped = cap(many(UPDATE_MANAGERS_MAX + 1))
    capped[identity("new", UPDATE, "v1")] = Owned("v1", FIELDS, "2026-02-01")
    again = cap(capped)
    ancient = again[identity("ancient-changes", UPDATE, "v1")]
    assert paths(ancient.fields) == {".v1-00", ".v1-01", ".v1-02"}


def test_appliers_do_not_count_for_the_cap() -> None:
    managers = many(UPDATE_MANAGERS_MAX)
    managers[identity("a", APPLY, "v1")] = Owned("v1", FIELDS)
    assert cap(managers) is managers


def replicas_and(name: str = "") -> sets.FieldSet:
    """Return a set with the replicas, and a field more."""
    return sets.of_paths([REPLICAS, *([("f:spec", f"f:{name}")] if name else [])])


def test_only_owners_of_replicas_own_the_scale() -> None:
    managers: Managers = {
        identity("a", APPLY, "apps/v1"): Owned("apps/v1", replicas_and("x"), "t"),
        identity("b", UPDATE, "apps/v1"): Owned("apps/v1", FIELDS),
    }
    assert to_scale(managers) == {
        identity("a", APPLY, ""): Owned("autoscaling/v1", replicas_and(), "t")
    }


def test_replicas_that_were_scaled_leave_their_owner() -> None:
    owner = identity("a", APPLY, "apps/v1")
    scaler = identity("s", UPDATE, "autoscaling/v1", "scale")
    managers: Managers = {owner: Owned("apps/v1", replicas_and("x"), "t")}
    after = to_object(managers, {scaler: Owned("autoscaling/v1", replicas_and())}, "apps/v1")
    assert paths(after[owner].fields) == {".spec.x"}
    here = identity("s", UPDATE, "apps/v1", "scale")
    assert after[here] == Owned("apps/v1", replicas_and())


def test_replicas_that_nobody_took_stay_with_their_owner() -> None:
    managers: Managers = {
        identity("a", UPDATE, "apps/v1"): Owned("apps/v1", replicas_and("x"), "t"),
        identity("b", APPLY, "apps/v1"): Owned("apps/v1", replicas_and(), "t"),
    }
    assert to_object(managers, to_scale(managers), "apps/v1") == managers


def test_an_owner_of_nothing_but_scaled_replicas_vanishes() -> None:
    managers: Managers = {identity("a", APPLY, "apps/v1"): Owned("apps/v1", replicas_and())}
    assert to_object(managers, {}, "apps/v1") == {}
