"""The book of Jobs' pods: what it keeps, and that our own writes are known at once."""

from __future__ import annotations

import asyncio

import pytest

from controllers.jobs.job_pods import (
    FAILURES,
    FORGOTTEN_S,
    INDEX,
    count_of,
    index_of,
)
from kube.informers.changes import Change
from tests.unit.controllers.jobs.job_objects import Told, pod


def _kept(told: Told) -> tuple[list[str], list[str], list[str]]:
    pods = told.book.of("j")
    return (
        sorted(one.key[2:] for one in pods.active.values()),
        sorted(one.key[2:] for one in pods.terminating.values()),
        sorted(one.key[2:] for one in pods.ended.values()),
    )


def test_pods_are_kept_by_what_has_become_of_them() -> None:
    told = Told()
    told.tell(
        pod("a"),
        pod("b", deleting=True),
        pod("c", "Succeeded"),
        pod("d", "Failed", deleting=True),
        pod("e", "Succeeded", tracked=False),
    )
    assert _kept(told) == (["a"], ["b"], ["c", "d"])
    told.tell(pod("a", "Failed", revision=11), change=Change.MODIFIED)
    told.tell(pod("c", "Succeeded", tracked=False, revision=12), change=Change.MODIFIED)
    assert _kept(told) == ([], ["b"], ["a", "d"])
    told.tell(pod("b"), change=Change.DELETED)
    told.tell(pod("d"), pod("a"), change=Change.DELETED)
    assert _kept(told) == ([], [], [])


def test_what_has_been_counted_is_neither_kept_nor_told() -> None:
    told = Told()
    told.tell(pod("a", "Succeeded", tracked=False))
    assert told.changed == []
    assert told.book.get("n/a") is None


def test_pods_of_others_are_not_kept_and_tracked_ones_without_controller_are_strays() -> None:
    told = Told()
    other, stray = pod("other"), pod("stray")
    other["metadata"]["ownerReferences"][0]["kind"] = "ReplicaSet"
    del stray["metadata"]["ownerReferences"]
    told.tell(other, stray)
    assert told.strays == ["n/stray"]
    assert len(told.book.of("j")) == 0


def test_a_created_pod_is_known_before_the_watch_tells_of_it() -> None:
    told = Told()
    told.tell(pod("a", revision=10))
    told.book.note(pod("b", revision=12))
    assert _kept(told)[0] == ["a", "b"]
    # What was before it is told first, and then itself.
    told.tell(pod("a", "Succeeded", revision=11), change=Change.MODIFIED)
    told.tell(pod("b", revision=12))
    assert _kept(told) == (["b"], [], ["a"])


def test_an_answer_that_comes_after_the_watch_is_passed_over() -> None:
    told = Told()
    told.tell(pod("a", revision=12))
    told.tell(pod("a", revision=13), change=Change.DELETED)
    told.book.note(pod("a", revision=12))
    assert _kept(told) == ([], [], [])


def test_older_news_of_a_pod_that_lost_its_finalizer_are_passed_over() -> None:
    told = Told()
    told.tell(pod("a", "Succeeded", revision=10))
    told.book.note(pod("a", "Succeeded", tracked=False, revision=20))
    told.tell(pod("a", "Succeeded", revision=15), change=Change.MODIFIED)
    assert _kept(told) == ([], [], [])
    told.tell(pod("a", "Succeeded", tracked=False, revision=20), change=Change.MODIFIED)
    # From here on the watch is believed again.
    told.tell(pod("a", "Succeeded", revision=25), change=Change.MODIFIED)
    assert _kept(told) == ([], [], ["a"])


def test_a_pod_that_is_deleted_stays_so_whatever_older_news_say() -> None:
    told = Told()
    told.tell(pod("a", revision=10))
    known = told.book.get("n/a")
    assert known is not None
    told.book.note_deleting(known)
    told.tell(pod("a", revision=11), change=Change.MODIFIED)
    assert _kept(told) == ([], ["a"], [])
    told.tell(pod("a", deleting=True, revision=12), change=Change.MODIFIED)
    told.tell(pod("a", deleting=True, revision=13), change=Change.DELETED)
    assert _kept(told) == ([], [], [])


def test_a_pod_that_is_gone_does_not_come_back_by_older_news() -> None:
    told = Told()
    told.tell(pod("a", "Succeeded", revision=10))
    known = told.book.get("n/a")
    assert known is not None
    told.book.note_gone(known)
    told.tell(pod("a", "Succeeded", revision=11), change=Change.MODIFIED)
    assert _kept(told) == ([], [], [])
    told.tell(pod("a", revision=12), change=Change.DELETED)
    told.tell(pod("a", revision=20))
    assert _kept(told)[0] == ["a"]


def test_what_the_watch_never_tells_of_is_forgotten() -> None:
    told = Told()
    told.book.note(pod("a", revision=12))
    asyncio.run(told.clock.advance(FORGOTTEN_S + 1))
    told.book.expire()
    assert _kept(told) == ([], [], [])
    told.book.check()


def test_labels_are_to_be_looked_at_once_and_when_they_change() -> None:
    told = Told()
    made = pod("a")
    told.tell(made)
    pods = told.book.of("j")
    assert pods.unchecked == {"n/a"}
    pods.unchecked.clear()
    told.tell(pod("a", "Pending", revision=11), change=Change.MODIFIED)
    assert not pods.unchecked
    changed = pod("a", revision=12)
    changed["metadata"]["labels"] = {}
    told.tell(changed, change=Change.MODIFIED)
    assert pods.unchecked == {"n/a"}


@pytest.mark.parametrize(
    ("text", "index", "count"),
    [
        ("0", 0, 0),
        ("17", 17, 17),
        ("-1", -1, 0),
        ("x", -1, 0),
        ("", -1, 0),
        ("9999999999", 9_999_999_999, 0),
        ("٣", -1, 0),
    ],
)
def test_annotations_that_are_no_numbers_count_as_none(text: str, index: int, count: int) -> None:
    assert index_of({INDEX: text}) == index
    assert count_of({FAILURES: text}, FAILURES) == count
    assert index_of({}) == -1


def test_those_go_first_that_are_least_advanced() -> None:
    told = Told()
    ready = [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    placed, waiting = pod("placed", conditions=ready), pod("waiting", "Pending")
    placed["spec"]["nodeName"] = "node"
    pending = pod("pending", "Pending")
    pending["spec"]["nodeName"] = "node"
    told.tell(placed, waiting, pending)
    ranked = sorted(told.book.of("j"), key=lambda one: one.rank)
    assert [one.key[2:] for one in ranked] == ["waiting", "pending", "placed"]
