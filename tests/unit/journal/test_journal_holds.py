"""Holds on a stream's log: what is kept of them on the disk, and when that fails."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest

from journal.disk import Environment, FileOps
from journal.errors import CorruptStream, JournalFull, Overloaded
from journal.holds import HOLDS_NAME, Holds, read_holds, write_holds
from journal.local import LocalEngine


def test_holds_read_back_as_written(tmp_path: Path) -> None:
    assert read_holds(tmp_path) == {}
    write_holds(tmp_path, {"one": 1, "two": 1 << 60}, FileOps())
    assert read_holds(tmp_path) == {"one": 1, "two": 1 << 60}
    assert (tmp_path / HOLDS_NAME).stat().st_mode & 0o777 == 0o600


def test_every_flipped_bit_is_refused(tmp_path: Path) -> None:
    write_holds(tmp_path, {"one": 1}, FileOps())
    path = tmp_path / HOLDS_NAME
    whole = path.read_bytes()
    for place in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(CorruptStream):
            read_holds(tmp_path)
    path.write_bytes(whole[:-1])
    with pytest.raises(CorruptStream):
        read_holds(tmp_path)


def test_only_a_stronger_hold_must_be_noted_before_it_counts() -> None:
    holds = Holds(10, 2, {}, 0)
    assert holds.renew("one", 5, 0)
    holds.noted = {"one": 5}
    assert not holds.renew("one", 5, 1)
    assert not holds.renew("one", 9, 2)
    assert not holds.renew("one", 6, 3)
    assert holds.renew("one", 4, 4)


def test_the_places_of_silent_holders_are_given_to_others() -> None:
    holds = Holds(10, 2, {"gone": 1}, 0)
    holds.renew("lively", 2, 5)
    with pytest.raises(Overloaded):
        holds.renew("new", 3, 6)
    holds.renew("new", 3, 11)
    assert holds.to_json() == {"lively": 2, "new": 3}


def test_a_new_hold_that_cannot_be_noted_is_refused_until_it_can_be(tmp_path: Path) -> None:
    full = False

    def sync(_descriptor: int) -> None:
        if full:
            raise OSError(errno.ENOSPC, "full")

    async def run() -> None:
        nonlocal full
        environment = Environment(ops=FileOps(sync=sync))
        engine = await LocalEngine.open(tmp_path, environment)
        await engine.hold("pods", "old", 3)
        full = True
        for _ in range(2):
            with pytest.raises(JournalFull):
                await engine.hold("pods", "new", 1)
        # One that moves on only asks for less.
        await engine.hold("pods", "old", 7)
        full = False
        await engine.hold("pods", "new", 1)
        await engine.close()
        assert read_holds(tmp_path / "pods") == {"old": 7, "new": 1}

    asyncio.run(run())


def test_a_journal_with_damaged_holds_does_not_open(tmp_path: Path) -> None:
    async def run() -> None:
        engine = await LocalEngine.open(tmp_path)
        await engine.hold("pods", "one", 1)
        await engine.close()
        (tmp_path / "pods" / HOLDS_NAME).write_bytes(b"{}")
        with pytest.raises(CorruptStream, match="holds"):
            await LocalEngine.open(tmp_path)

    asyncio.run(run())
