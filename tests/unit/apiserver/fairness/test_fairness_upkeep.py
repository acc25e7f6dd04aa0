"""Default objects are made, kept right or left alone, as upstream's ensurer does."""

from __future__ import annotations

import copy
from typing import Any

from apiserver.fairness.defaults import AUTO_UPDATE
from apiserver.fairness.model import LEVELS, SCHEMAS
from apiserver.fairness.upkeep import DEFAULTS, Task, tasks


def _present(storage: str) -> dict[str, Any]:
    found = {}
    for obj in (one for group in DEFAULTS[storage] for one in group):
        stored = copy.deepcopy(obj)
        stored["metadata"]["generation"] = 1
        found[stored["metadata"]["name"]] = stored
    return found


def _annotate(obj: dict[str, Any], value: str | None) -> None:
    obj["metadata"]["annotations"] = {} if value is None else {AUTO_UPDATE: value}


def test_a_fresh_cluster_gets_all_of_them() -> None:
    for storage in (LEVELS, SCHEMAS):
        found = tasks(storage, {})
        assert {task for task, _ in found} == {Task.CREATE}
        assert {obj["metadata"]["name"] for _, obj in found} == _present(storage).keys()


def test_nothing_is_to_be_done_about_objects_as_they_shall_be() -> None:
    assert tasks(LEVELS, _present(LEVELS)) == []
    assert tasks(SCHEMAS, _present(SCHEMAS)) == []


def _edited(name: str, annotation: str | None, generation: int) -> list[tuple[Task, Any]]:
    present = _present(LEVELS)
    obj = present[name]
    obj["spec"]["limited"]["nominalConcurrencyShares"] = 77
    obj["metadata"]["generation"] = generation
    _annotate(obj, annotation)
    return tasks(LEVELS, present)


def _outcome(found: list[tuple[Task, Any]]) -> tuple[Any, Any]:
    ((task, obj),) = found
    assert task is Task.UPDATE
    shares = obj["spec"]["limited"]["nominalConcurrencyShares"]
    return shares, obj["metadata"]["annotations"][AUTO_UPDATE]


def test_an_edited_suggested_object_is_put_right_while_it_is_annotated_so() -> None:
    assert _outcome(_edited("system", "true", 2)) == (30, "true")


def test_an_edited_suggested_object_that_is_annotated_as_its_owners_is_left_alone() -> None:
    assert _edited("system", "false", 2) == []


def test_without_a_usable_annotation_an_edited_object_is_its_owners() -> None:
    for annotation in (None, "perhaps"):
        assert _outcome(_edited("system", annotation, 2)) == (77, "false")
        assert _outcome(_edited("system", annotation, 1)) == (30, "true")


def test_a_mandatory_object_is_always_put_right() -> None:
    assert _outcome(_edited("catch-all", "false", 5)) == (5, "true")


def test_the_exempt_level_keeps_the_seats_it_was_given() -> None:
    present = _present(LEVELS)
    present["exempt"]["spec"]["exempt"] = {"nominalConcurrencyShares": 9, "lendablePercent": 1}
    assert tasks(LEVELS, present) == []


def test_what_an_older_version_made_is_deleted() -> None:
    present = _present(SCHEMAS)
    for name, annotation in (("old", "true"), ("kept", "false"), ("users", None)):
        present[name] = {"metadata": {"name": name}, "spec": {}}
        _annotate(present[name], annotation)
    ((task, obj),) = tasks(SCHEMAS, present)
    assert (task, obj["metadata"]["name"]) == (Task.DELETE, "old")
