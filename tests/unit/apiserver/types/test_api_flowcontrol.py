"""What priority levels and flow schemas may be: the mandatory ones, and hands of queues."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from apiserver.fairness.upkeep import DEFAULTS
from apiserver.types.flowcontrol import GROUP, HOOKS


def _level(name: str, **limited: Any) -> dict[str, Any]:
    response = {"type": "Reject"}
    section = {"nominalConcurrencyShares": 1, "limitResponse": response, **limited}
    return {"metadata": {"name": name}, "spec": {"type": "Limited", "limited": section}}


def _queuing(queues: int, hand_size: int) -> dict[str, Any]:
    queuing = {"queues": queues, "handSize": hand_size, "queueLengthLimit": 1}
    return {"type": "Queue", "queuing": queuing}


def _schema(name: str, precedence: int) -> dict[str, Any]:
    spec = {"matchingPrecedence": precedence, "priorityLevelConfiguration": {"name": "a"}}
    return {"metadata": {"name": name}, "spec": spec}


EXEMPT = {
    "metadata": {"name": "exempt"},
    "spec": {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 7, "lendablePercent": 50}},
}
HAND = "spec.limited.limitResponse.queuing.handSize"


def _faults(plural: str, obj: dict[str, Any]) -> list[tuple[str, str]]:
    faults = HOOKS[f"{GROUP}/{plural}"].validate_create(obj)
    return [(fault.path, fault.body.rpartition(": ")[2]) for fault in faults]


@pytest.mark.parametrize("storage", sorted(DEFAULTS))
def test_default_objects_are_valid_and_hooks_change_nothing_of_them(storage: str) -> None:
    hooks = HOOKS[storage]
    for obj in (one for group in DEFAULTS[storage] for one in group):
        changed = copy.deepcopy(obj)
        hooks.default(changed)
        assert changed == obj
        assert hooks.validate_create(changed) == []


@pytest.mark.parametrize(
    ("obj", "faults"),
    [
        (EXEMPT, []),
        (
            {"metadata": {"name": "a"}, "spec": EXEMPT["spec"]},
            [("spec.type", "type must be 'Exempt' if and only if name is 'exempt'")],
        ),
        (
            _level("catch-all"),
            [("spec", "spec of 'catch-all' must equal the fixed value")],
        ),
        (
            {"metadata": {"name": "exempt"}, "spec": {"type": "Exempt", "limited": {}}},
            [
                (
                    "spec",
                    "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value",
                ),
                ("spec.limited", "must be nil if the type is not Limited"),
            ],
        ),
        (
            {
                "metadata": {"name": "exempt"},
                "spec": {"type": "Exempt", "exempt": {"nominalConcurrencyShares": -1}},
            },
            [("spec.exempt.nominalConcurrencyShares", "must be a non-negative integer")],
        ),
        (
            _level("a", limitResponse=_queuing(512, 8)),
            [
                (
                    HAND,
                    "required entropy bits of deckSize 512 and handSize 8 should not be greater "
                    "than 60",
                )
            ],
        ),
        (_level("a", limitResponse=_queuing(10_000_000, 2)), []),
        (
            _level("a", limitResponse=_queuing(7, 8)),
            [(HAND, "should not be greater than queues (7)")],
        ),
    ],
)
def test_levels_keep_to_upstreams_rules(obj: dict[str, Any], faults: list[tuple[str, str]]) -> None:
    assert _faults("prioritylevelconfigurations", obj) == faults


def test_only_the_exempt_schema_is_asked_first() -> None:
    text = "only the schema named 'exempt' may have matchingPrecedence 1"
    assert _faults("flowschemas", _schema("a", 1)) == [("spec.matchingPrecedence", text)]
    assert _faults("flowschemas", _schema("a", 2)) == []


def test_mandatory_schemas_cannot_be_changed() -> None:
    faults = _faults("flowschemas", _schema("catch-all", 10_000))
    assert faults == [("spec", "spec of 'catch-all' must equal the fixed value")]
