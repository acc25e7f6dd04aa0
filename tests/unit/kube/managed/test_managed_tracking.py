"""managedFields across writes: names, times, resets, kubectl's annotation."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kube.json_types import JsonObject
from kube.managed import sets
from kube.managed.tracking import LAST_APPLIED, Application, Writer, update
from kube.managed.updater import Conflicts
from tests.unit.kube.managed.managed_types import VERSION, OneVersion, of

THEN, NOW = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
EMPTY: JsonObject = {"apiVersion": VERSION, "kind": "Thing", "metadata": {}}


def writer(manager: str = "me", part: str = "", now: str = NOW) -> Writer:
    """Return who writes."""
    return Writer(manager, VERSION, part, now)


def entry(manager: str, fields: Any, operation: str = "Update", **more: Any) -> JsonObject:
    """Return an entry from before."""
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": VERSION,
        "time": THEN,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
        **more,
    }


def managed(obj: JsonObject, *entries: JsonObject) -> JsonObject:
    """Return an object with managedFields."""
    return {**obj, "metadata": {**obj["metadata"], "managedFields": list(entries)}}


def apply(live: JsonObject, config: JsonObject, who: Writer, *, force: bool = False) -> JsonObject:
    """Apply a configuration."""
    return Application(OneVersion(), config, who, force, EMPTY).onto(live)


TEXT = entry("one", {"f:text": {}})


def test_the_writer_is_entered_with_the_time() -> None:
    old = managed(of(text="a"), TEXT)
    assert update(OneVersion(), old, of(text="a", number=1), writer()) == [
        TEXT,
        entry("me", {"f:number": {}}, time=NOW),
    ]


def test_a_write_that_changes_nothing_changes_no_time() -> None:
    old = managed(of(text="a"), TEXT)
    assert update(OneVersion(), old, of(text="a"), writer("one")) == [TEXT]


def test_a_manager_keeps_what_it_wrote_before() -> None:
    old = managed(of(text="a"), TEXT)
    after = update(OneVersion(), old, of(text="a", number=1), writer("one"))
    assert after == [entry("one", {"f:number": {}, "f:text": {}}, time=NOW)]


def test_a_subresource_has_an_entry_of_its_own() -> None:
    old = managed(of(text="a"), TEXT)
    after = update(OneVersion(), old, of(text="b"), writer("one", "status"))
    assert after == [entry("one", {"f:text": {}}, time=NOW, subresource="status")]


def test_what_names_the_object_belongs_to_nobody() -> None:
    old = managed(of(), entry("one", {"f:number": {}}))
    new = of(metadata={"name": "b", "namespace": "n", "uid": "u", "labels": {"k": "v"}})
    fields = update(OneVersion(), old, new, writer())[1]["fieldsV1"]
    assert fields == {"f:metadata": {"f:labels": {".": {}, "f:k": {}}}}


def test_an_object_that_nobody_tracks_stays_so() -> None:
    assert update(OneVersion(), of(text="a"), of(text="b"), writer()) == []


@pytest.mark.parametrize("given", [[], [{}]])
def test_an_update_can_have_managed_fields_forgotten(given: list[Any]) -> None:
    old = managed(of(text="a"), TEXT)
    assert update(OneVersion(), old, managed(of(text="b"), *given), writer()) == []


def test_an_update_can_set_managed_fields() -> None:
    given = entry("two", {"f:text": {}})
    assert update(
        OneVersion(), managed(of(text="a"), TEXT), managed(of(text="a"), given), writer()
    ) == [given]


def test_managed_fields_cannot_be_set_by_a_subresource() -> None:
    given = managed(of(text="a"), entry("two", {"f:text": {}}))
    old = managed(of(text="a"), TEXT)
    assert update(OneVersion(), old, given, writer("me", "status")) == [TEXT]


@pytest.mark.parametrize("change", [{"operation": "Merge"}, {"fieldsV1": {"q": {}}}])
def test_malformed_managed_fields_are_passed_over(change: dict[str, Any]) -> None:
    old = managed(of(text="a"), TEXT)
    new = managed(of(text="a"), {**TEXT, **change})
    assert update(OneVersion(), old, new, writer()) == [TEXT]


def test_an_object_that_does_not_fit_its_schema_keeps_its_entries() -> None:
    old = managed(of(named=[{"value": "x"}]), TEXT)
    assert update(OneVersion(), old, of(named=[{"value": "y"}]), writer()) == [TEXT]


def test_more_than_ten_updaters_are_put_together() -> None:
    old = managed(of(), *(entry(f"m{n}", {f"f:tags{n}": {}}) for n in range(10)))
    after = update(OneVersion(), old, of(text="a"), writer())
    assert len(after) == 10
    assert after[0]["manager"] == "ancient-changes"
    assert after[-1] == entry("me", {"f:text": {}}, time=NOW)


def test_applying_enters_the_applier() -> None:
    obj = apply(EMPTY, of(text="a"), writer())
    assert obj == managed(of(text="a"), entry("me", {"f:text": {}}, "Apply", time=NOW))


def test_applying_the_same_again_changes_no_time() -> None:
    first = apply(EMPTY, of(text="a"), writer(now=THEN))
    assert apply(first, of(text="a"), writer()) == first


def test_a_new_applier_of_the_same_has_no_time() -> None:
    first = apply(EMPTY, of(text="a"), writer("one", now=THEN))
    both = apply(first, of(text="a"), writer("two"))
    times = {e["manager"]: e.get("time") for e in both["metadata"]["managedFields"]}
    assert times == {"one": THEN, "two": None}


def test_what_was_never_tracked_belongs_to_before_first_apply() -> None:
    obj = apply(of(text="a", number=1), of(flag=True), writer())
    assert obj["metadata"]["managedFields"] == [
        entry("me", {"f:flag": {}}, "Apply", time=NOW),
        entry("before-first-apply", {"f:number": {}, "f:text": {}}, time=NOW),
    ]


def test_the_first_apply_conflicts_with_what_was_there() -> None:
    with pytest.raises(Conflicts) as refused:
        apply(of(text="a"), of(text="b"), writer())
    who, path = refused.value.found[0]
    assert (who.manager, sets.show_path(path)) == ("before-first-apply", ".text")


def annotated(config: JsonObject, **more: Any) -> JsonObject:
    """Return an object that kubectl applied client-side."""
    text = orjson.dumps(config).decode()
    metadata = {"name": "a", "annotations": {LAST_APPLIED: text}}
    return of(**{**config, **more, "metadata": metadata})


def test_kubectl_takes_over_what_it_applied_client_side() -> None:
    live = managed(
        annotated(of(text="a"), number=1),
        entry("kubectl-client-side-apply", {"f:text": {}}),
        entry("one", {"f:number": {}}),
    )
    obj = apply(live, of(text="b"), writer("kubectl"))
    assert obj["text"] == "b"
    assert orjson.loads(obj["metadata"]["annotations"][LAST_APPLIED]) == of(text="b")
    with pytest.raises(Conflicts):
        apply(live, of(text="b"), writer("other"))


def test_kubectl_does_not_take_over_what_has_changed_since() -> None:
    live = managed(annotated(of(text="a"), text="x"), entry("one", {"f:text": {}}))
    with pytest.raises(Conflicts):
        apply(live, of(text="b"), writer("kubectl"))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"apiVersion":"v0"}', '{"apiVersion":"v1","x":1}']
)
def test_an_annotation_that_says_nothing_takes_over_nothing(text: str) -> None:
    live = of(text="a", metadata={"name": "a", "annotations": {LAST_APPLIED: text}})
    with pytest.raises(Conflicts):
        apply(managed(live, TEXT), of(text="b"), writer("kubectl"))


def test_an_annotation_that_grew_too_large_goes() -> None:
    live = managed(annotated(of(text="a")), TEXT)
    obj = apply(live, of(text="b" * 300_000), writer("kubectl"))
    assert LAST_APPLIED not in obj["metadata"]["annotations"]
