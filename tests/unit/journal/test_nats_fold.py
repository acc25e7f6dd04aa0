"""What a JetStream log means (journal/nats_fold.py): the same for all who read it."""

from __future__ import annotations

import os
import random

import pytest

from journal.errors import CorruptStream, UnsupportedFormat
from journal.nats_fold import Fold, append_head, counts_as_append, hold_head, trim_head

_NOW_MS = 1_700_000_000_000


def _key() -> bytes:
    return os.urandom(16)


def _log(count: int) -> list[tuple[bytes, str]]:
    chosen = random.Random(7)
    keys = [_key() for _ in range(40)]
    log = []
    for number in range(count):
        head = append_head(max(0, number - chosen.randrange(60)), chosen.randrange(1, 4), _NOW_MS)
        if chosen.random() < 0.1:
            head = hold_head(f"holder-{chosen.randrange(3)}", chosen.randrange(1, 50), ())
        elif chosen.random() < 0.05:
            head = trim_head(chosen.randrange(100), ())
        log.append((chosen.choice(keys) if chosen.random() < 0.3 else _key(), head))
    return log


def _fold(log: list[tuple[bytes, str]], fold: Fold, start: int = 0) -> Fold:
    for position, (key, head) in enumerate(log[start:], start + 1):
        fold.apply(position, key, head, _NOW_MS)
    return fold


@pytest.mark.parametrize("cut", [0, 1, 17, 150, 299])
def test_a_noted_state_goes_on_like_the_one_it_was_made_of(cut: int) -> None:
    log = _log(300)
    noted = _fold(log[:cut], Fold(16, 8)).encode()
    again = _fold(log, Fold.decode(noted, 16, 8), cut)
    assert again.encode() == _fold(log, Fold(16, 8)).encode()


@pytest.mark.parametrize(
    "head",
    [
        *("", "a", "a 0 1", "a 0 0 1", "a 0 -1 1", "a 0 70000 1", "a x 1 1", "a 0 1 1 1"),
        *("z 1", "h 0 one", "h one", "t", "t x", "t 5 holder"),
    ],
)
def test_what_others_publish_changes_nothing(head: str) -> None:
    fold = Fold(16, 8)
    fold.apply(1, _key(), append_head(0, 1, _NOW_MS), _NOW_MS)
    before = (fold.first, fold.last, dict(fold.holds), len(fold.keys))
    assert fold.apply(2, _key(), head, _NOW_MS) == 0
    assert (fold.first, fold.last, dict(fold.holds), len(fold.keys)) == before
    assert counts_as_append(_key(), head) is None


def test_a_clock_that_is_ahead_does_not_set_the_time_of_all() -> None:
    fold = Fold(16, 8)
    fold.apply(1, _key(), append_head(0, 1, _NOW_MS + 86_400_000), _NOW_MS)
    assert fold.timestamp_ms < _NOW_MS + 60_000


def test_a_hold_that_was_renewed_is_not_the_silent_one() -> None:
    fold = Fold(16, 8)
    for position in range(1, 33):
        fold.apply(position, _key(), append_head(fold.last, 1, _NOW_MS), _NOW_MS)
    fold.apply(33, _key(), hold_head("one", 1, ()), _NOW_MS)
    fold.apply(34, _key(), hold_head("one", 9, ()), _NOW_MS)
    fold.apply(35, _key(), trim_head(32, [("one", 33)]), _NOW_MS)
    assert fold.first == 9
    fold.apply(36, _key(), trim_head(32, [("one", 34)]), _NOW_MS)
    assert fold.first == 25


def test_a_damaged_or_foreign_noted_state_is_refused() -> None:
    data = _fold(_log(50), Fold(16, 8)).encode()
    for at in (0, 9, len(data) // 2, len(data) - 1):
        damaged = bytearray(data)
        damaged[at] ^= 1
        with pytest.raises(CorruptStream):
            Fold.decode(bytes(damaged), 16, 8)
    with pytest.raises(CorruptStream):
        Fold.decode(b"", 16, 8)
    with pytest.raises(UnsupportedFormat):
        Fold.decode(data, 32, 8)
