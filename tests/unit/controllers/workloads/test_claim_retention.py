"""Who owns a set's claims, by the tables of upstream's stateful_set_utils_test.go."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.workloads.claim_book import ClaimBook
from controllers.workloads.claim_retention import Claimant, Retention, is_stale
from kube.informers.changes import Change
from kube.informers.informer import Delta

SET = Claimant("apps/v1", "StatefulSet", "web", "s")
POD = Claimant("v1", "Pod", "web-1", "p")
OTHER = {"apiVersion": "v1", "kind": "Thing", "name": "x", "uid": "x", "controller": True}


def retention(*, scaled: bool, deleted: bool, wanted: bool = True) -> Retention:
    """Return what a set says of one pod's claims."""
    return Retention(scaled, deleted, SET, POD, wanted)


@pytest.mark.parametrize(
    ("scaled", "deleted", "wanted", "owners"),
    [
        (False, False, True, []),
        (False, False, False, []),
        (False, True, True, [SET]),
        (False, True, False, [SET]),
        (True, False, True, []),
        (True, False, False, [POD]),
        (True, True, True, [SET]),
        (True, True, False, [POD]),
    ],
)
def test_the_policy_decides_who_owns_a_claim(
    *, scaled: bool, deleted: bool, wanted: bool, owners: list[Claimant]
) -> None:
    says = retention(scaled=scaled, deleted=deleted, wanted=wanted)
    right = [one.controls() for one in owners]
    for before in ([], [SET.controls()], [POD.controls()], [SET.controls(), POD.controls()]):
        assert says.changed(before) == right
        assert says.is_kept(before) == (before == right)


def test_an_owner_that_does_not_control_is_made_to() -> None:
    says = retention(scaled=False, deleted=True)
    weak = {**SET.controls(), "controller": False}
    assert not says.is_kept([weak])
    assert says.changed([weak]) == [SET.controls()]


def test_a_claim_of_an_earlier_set_or_pod_is_not_touched() -> None:
    says = retention(scaled=True, deleted=True)
    for who in (SET, POD):
        assert says.is_kept([who._replace(uid="before").controls()])
    assert is_stale([POD.controls()], POD._replace(uid=""))
    assert not is_stale([SET.controls()], POD)


def test_a_claim_that_another_controls_is_left_to_it_unless_it_is_just_retained() -> None:
    says = retention(scaled=True, deleted=True)
    assert says.is_kept([OTHER])
    assert not says.is_kept([OTHER, SET.controls()])
    assert says.changed([OTHER, SET.controls()]) == [OTHER]
    retained = retention(scaled=False, deleted=False)
    assert not retained.has_stranger([OTHER])


def test_who_waits_for_a_claim_to_go_is_woken_once() -> None:
    woken: list[str] = []
    book = ClaimBook(woken.append)

    def change(kind: Change, **metadata: Any) -> None:
        book.take([Delta(kind, "n/c", {"metadata": {"name": "c", **metadata}})])

    change(Change.ADDED)
    first = book.get("n/c")
    assert first is not None
    assert not first.is_deleting
    change(Change.MODIFIED, deletionTimestamp="now", ownerReferences=[OTHER])
    assert book.get("n/c") == ((OTHER,), True)
    book.wait("n/c", "n/web")
    book.wait("n/none", "n/web")
    for _ in range(2):
        change(Change.DELETED)
    assert (woken, book.get("n/c")) == (["n/web"], None)
