"""Who manages what after updates and applies: ownership, conflicts, removal."""

from __future__ import annotations

from typing import Any

import pytest

from kube.json_types import JsonObject
from kube.managed import sets
from kube.managed.entries import APPLY, Managers, Owned, identity
from kube.managed.updater import Conflicts, MissingVersion, Updater, apply
from kube.schema.model import Kind, Type
from tests.unit.kube.managed.managed_types import (
    VERSION,
    OneVersion,
    appliers,
    of,
    paths,
    scalar,
    struct_of,
    updaters,
)

ME = identity("me", APPLY, VERSION)
VERSIONS = OneVersion()


def owned_by(managers: Managers, name: str) -> set[str]:
    """Return what a manager owns, but for what names the object."""
    found = {who.manager: paths(owned.fields) for who, owned in managers.items()}
    return found.get(name, set()) - {".apiVersion", ".kind", ".metadata.name"}


def applied(
    live: JsonObject, config: JsonObject, managers: Managers, name: str = "me", **more: Any
) -> tuple[JsonObject, Managers]:
    """Apply a configuration."""
    who = identity(name, APPLY, VERSION)
    done = apply(VERSIONS, live, config, managers, who, force=more.get("force", False))
    return done.obj, done.managers


def test_an_update_takes_what_it_changes_from_everybody() -> None:
    owned = sets.of_paths([("f:text",), ("f:number",)])
    updater = Updater(VERSIONS, of(text="a", number=1), of(text="b", number=1))
    after = updater.settle({**appliers(one=owned), **updaters(two=owned)}, None, force=True)
    assert owned_by(after, "one") == owned_by(after, "two") == {".number"}


def test_what_an_update_removes_belongs_to_nobody() -> None:
    owned = sets.of_paths([("f:text",), ("f:number",)])
    after = Updater(VERSIONS, of(text="a", number=1), of(number=1)).settle(
        appliers(one=owned), None, force=True
    )
    assert owned_by(after, "one") == {".number"}


def test_managers_with_nothing_left_vanish() -> None:
    after = Updater(VERSIONS, of(text="a"), of(text="b")).settle(
        appliers(one=sets.of_paths([("f:text",)])), None, force=True
    )
    assert after == {}


def test_what_a_write_drops_is_taken_from_nobody() -> None:
    versions = OneVersion(dropped=sets.of_paths([("f:inner",)]))
    owned = sets.of_paths([("f:inner", "f:a")])
    after = Updater(versions, of(inner={"a": "1"}), of(inner={"a": "2"})).settle(
        appliers(one=owned), None, force=True
    )
    assert owned_by(after, "one") == {".inner.a"}


def test_managers_of_versions_that_are_no_more_are_forgotten() -> None:
    gone = {identity("old", APPLY, "v0"): Owned("v0", sets.of_paths([("f:text",)]))}
    assert Updater(VERSIONS, of(text="a"), of(text="b")).settle(gone, None, force=True) == {}


def test_applying_owns_what_is_mentioned() -> None:
    obj, managers = applied(of(), of(text="a", inner={"a": "1"}), {})
    assert obj == of(text="a", inner={"a": "1"})
    assert owned_by(managers, "me") == {".text", ".inner.a"}


def test_the_same_value_is_shared_without_conflict() -> None:
    live, managers = applied(of(), of(text="a"), {}, "one")
    _, managers = applied(live, of(text="a"), managers, "two")
    assert owned_by(managers, "one") == owned_by(managers, "two") == {".text"}


def test_another_value_is_a_conflict_with_each_owner() -> None:
    live, managers = applied(of(), of(text="a"), {}, "one")
    live, managers = applied(live, of(text="a"), managers, "two")
    with pytest.raises(Conflicts) as refused:
        applied(live, of(text="b"), managers)
    found = [(who.manager, sets.show_path(path)) for who, path in refused.value.found]
    assert found == [("one", ".text"), ("two", ".text")]


def test_force_takes_the_field_from_its_owners() -> None:
    live, managers = applied(of(), of(text="a", number=1), {}, "one")
    obj, managers = applied(live, of(text="b"), managers, force=True)
    assert obj["text"] == "b"
    assert owned_by(managers, "one") == {".number"}
    assert owned_by(managers, "me") == {".text"}


def test_a_field_that_is_given_up_is_removed() -> None:
    live, managers = applied(of(), of(text="a", number=1), {})
    obj, managers = applied(live, of(number=1), managers)
    assert obj == of(number=1)
    assert owned_by(managers, "me") == {".number"}


def test_a_field_that_is_given_up_stays_if_another_applied_it() -> None:
    live, managers = applied(of(), of(text="a"), {}, "one")
    live, managers = applied(live, of(text="a"), managers)
    obj, managers = applied(live, of(), managers)
    assert obj == of(text="a")


def test_a_field_that_is_given_up_stays_if_another_updated_it() -> None:
    live, managers = applied(of(), of(text="a"), {})
    managers |= updaters(two=sets.of_paths([("f:text",)]))
    assert applied(live, of(), managers)[0] == of(text="a")


def test_what_nobody_applied_is_not_removed() -> None:
    live, managers = applied(of(number=7), of(text="a"), {})
    assert applied(live, of(), managers)[0] == of(number=7)


def test_an_item_given_up_goes_with_what_the_server_has_added_to_it() -> None:
    live, managers = applied(of(), of(named=[{"name": "x"}, {"name": "y"}]), {})
    live["named"][0]["value"] = "a default"
    obj, _ = applied(live, of(named=[{"name": "y"}]), managers)
    assert obj["named"] == [{"name": "y"}]


def test_an_item_given_up_stays_with_what_others_own_of_it() -> None:
    _, managers = applied(of(), of(named=[{"name": "x", "value": "1"}]), {})
    live = of(named=[{"name": "x", "value": "1", "items": ["i"]}])
    item = ("f:named", 'k:{"name":"x"}')
    own = sets.of_paths([item, (*item, "f:name"), (*item, "f:items", 'v:"i"')])
    obj, _ = applied(live, of(), managers | updaters(two=own))
    assert obj["named"] == [{"name": "x", "items": ["i"]}]


def test_a_struct_that_is_given_up_goes_whole_if_nobody_has_a_part() -> None:
    live, managers = applied(of(), of(inner={"a": "1", "deeper": {"c": "2"}}), {})
    assert applied(live, of(), managers)[0] == of()


def test_a_map_key_given_up_leaves_the_other_keys() -> None:
    theirs = updaters(two=sets.of_paths([("f:tags",), ("f:tags", "f:theirs")]))
    live, managers = applied(of(tags={"theirs": "x"}), of(tags={"mine": "y"}), theirs)
    assert applied(live, of(), managers)[0] == of(tags={"theirs": "x"})


def test_applying_again_changes_nothing() -> None:
    config = of(text="a", set=["x"], named=[{"name": "n", "value": "v"}], ports=[{"port": 1}])
    live, managers = applied(of(), config, {})
    assert applied(live, config, managers) == (live, managers)


def test_what_is_atomic_is_taken_as_a_whole() -> None:
    live, managers = applied(of(), of(whole={"a": "1"}), {}, "one")
    with pytest.raises(Conflicts):
        applied(live, of(whole={"b": "2"}), managers)
    obj, managers = applied(live, of(whole={"b": "2"}), managers, force=True)
    assert obj["whole"] == {"b": "2"}
    assert owned_by(managers, "one") == set()


def test_a_list_that_became_atomic_conflicts_as_a_whole() -> None:
    owned = sets.of_paths([("f:list", 'v:"a"')])
    with pytest.raises(Conflicts) as refused:
        applied(of(list=["a"]), of(list=["b"]), appliers(one=owned))
    assert [sets.show_path(path) for _, path in refused.value.found] == [".list"]


class TwoVersions(OneVersion):
    """A type whose field "text" was called "words" in v0."""

    def type_at(self, version: str) -> Type:
        """Return the type of a version."""
        if version == "v0":
            head = struct_of(name=scalar())
            return struct_of(
                apiVersion=scalar(),
                kind=scalar(),
                metadata=head,
                words=scalar(),
                number=scalar(Kind.INT32),
            )
        return super().type_at(version)

    def convert(self, obj: JsonObject, version: str) -> JsonObject:
        """Return an object in the other version."""
        self.type_at(version)
        names = {"v0": ("text", "words"), VERSION: ("words", "text")}[version]
        fields = {names[1] if key == names[0] else key: value for key, value in obj.items()}
        return {**fields, "apiVersion": version}


def test_conflicts_are_found_in_the_version_of_the_owner() -> None:
    old = {identity("one", APPLY, "v0"): Owned("v0", sets.of_paths([("f:words",)]))}
    with pytest.raises(Conflicts) as refused:
        apply(TwoVersions(), of(text="a"), of(text="b"), old, ME, force=False)
    assert [sets.show_path(path) for _, path in refused.value.found] == [".words"]


def test_what_was_applied_in_another_version_is_removed() -> None:
    last = {ME: Owned("v0", sets.of_paths([("f:words",)]))}
    done = apply(TwoVersions(), of(text="a", number=1), of(), last, ME, force=False)
    assert done.obj == of(number=1)


def test_what_another_owns_in_another_version_is_not_removed() -> None:
    managers = {
        ME: Owned(VERSION, sets.of_paths([("f:text",)])),
        identity("one", APPLY, "v0"): Owned("v0", sets.of_paths([("f:words",)])),
    }
    done = apply(TwoVersions(), of(text="a"), of(), managers, ME, force=False)
    assert done.obj == of(text="a")


def test_what_was_applied_in_a_version_that_is_no_more_stays() -> None:
    last = {ME: Owned("v9", sets.of_paths([("f:text",)]))}
    assert apply(VERSIONS, of(text="a"), of(), last, ME, force=False).obj == of(text="a")
    with pytest.raises(MissingVersion):
        VERSIONS.type_at("v9")
