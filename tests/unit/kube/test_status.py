"""Status errors: bounded, whatever was found wrong."""

from __future__ import annotations

from kube.field import invalid
from kube.status import FAULTS_LENGTH_MAX, FAULTS_MAX
from kube.status import invalid as status_of


def test_a_status_of_very_many_faults_is_cut() -> None:
    faults = [invalid(f"items[{number}]", number, "no") for number in range(FAULTS_MAX + 1)]
    assert len(status_of("", "Pod", "a", faults).status["details"]["causes"]) == FAULTS_MAX
    assert len(status_of("", "Pod", "a", faults[1:]).status["details"]["causes"]) == FAULTS_MAX


def test_a_status_whose_faults_each_show_a_long_list_is_cut() -> None:
    names = ["x" * 1_000] * 1_000
    status = status_of("", "Pod", "a", [invalid("items", names, "no")] * 100).status
    assert 1 <= len(status["details"]["causes"]) < 10
    assert len(status["message"]) < FAULTS_LENGTH_MAX
