"""What a campaign makes of flipped bits: each fate is told for what it is."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest
from xxhash import xxh3_64

from journal.disk import Environment
from journal.engine import Limits
from journal.local import LocalEngine
from journal.recovery import Recovered, recover
from tests.faults import damage
from tests.faults.damage import Place, damage_newest, judge_copy

_LIMITS = Limits(segment_bytes=2048, allocation_bytes=512, group_bytes_max=1024)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of several segments, ended in order."""

    async def fill() -> None:
        engine = await LocalEngine.open(tmp_path / "log", Environment(_LIMITS))
        for _ in range(20):
            await engine.append("pods", [bytes(200)], os.urandom(16))
        await engine.close()

    asyncio.run(fill())
    return tmp_path / "log"


def test_every_flipped_bit_of_a_log_that_ended_in_order_is_refused(log: Path) -> None:
    before = {path: path.read_bytes() for path in log.glob("*/*")}
    fates, faults = judge_copy(log, random.Random(1), 200)
    assert faults == []
    assert set(fates) == {
        "refused",
        "segment read instead of its note",
        "mark's other half believed",
    }
    assert {path: path.read_bytes() for path in log.glob("*/*")} == before


def test_damage_that_is_opened_is_a_fault(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = recover(log / "pods", "pods")
    for note in (*log.glob("*/*.summary"), *log.glob("*/durable")):
        note.unlink()
    monkeypatch.setattr(damage, "recover", lambda *_: found)
    monkeypatch.setattr(damage, "_read_through", lambda _found: None)
    fates, faults = judge_copy(log, random.Random(1), 10)
    assert set(fates) == {"harmless"}
    assert all("as if it were intact" in fault for fault in faults)
    assert len(faults) == 10


def _intact(damaged: Path, log: Path) -> Recovered:
    """Return what a log was before one of its files was damaged."""
    place = Place(damaged, 300, 0)
    place.flip()
    try:
        for note in log.glob("*/*.summary"):
            note.unlink()
        return recover(log / "pods", "pods")
    finally:
        place.flip()


def test_damage_named_at_another_place_is_a_fault(log: Path) -> None:
    first, second, *_ = sorted(log.glob("pods/*.log"))
    Place(first, 300, 0).flip()
    assert (
        "refused as something else" in damage._judge(Place(second, 300, 0), _intact(first, log))[1]
    )


def test_the_last_intact_checkpoint_is_never_damaged(tmp_path: Path) -> None:
    directory = tmp_path / "pods"
    directory.mkdir()
    contents = [b"old" * 50, b"new" * 50]
    paths = [
        directory / f"{number:020d}-{xxh3_64(content).hexdigest()}.mdb"
        for number, content in enumerate(contents)
    ]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    assert damage_newest(tmp_path, random.Random(1)) == [paths[1]]
    assert paths[1].read_bytes() != contents[1]
    paths[1].write_bytes(contents[1])
    Place(paths[0], 3, 3).flip()
    assert damage_newest(tmp_path, random.Random(1)) == []
