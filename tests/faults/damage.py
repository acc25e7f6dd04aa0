"""Flipped bits in a log that nobody writes: refused with file and offset, or provably harmless.

Where a bit may be flipped without a refusal: behind the last whole frame, which holds nothing; in
a note of which there is a second or which is made again; and in a last group that the durable mark
does not name, as nobody was told of it. That one is cut off, and counted.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from journal.durable_mark import MARK_NAME
from journal.errors import CorruptStream, UnsupportedFormat
from journal.record import SEGMENT_HEADER_BYTES, Chunk
from journal.recovery import Recovered, recover
from journal.segment import read_bytes, slice_frames
from journal.summary import SUMMARY_SUFFIX
from storage.checkpoint import Checkpoint, list_checkpoints, verify_checkpoint
from storage.errors import CheckpointDamaged
from tests.integration.cluster import ROOT

_START_S_MAX: Final = 20.0


@dataclass(frozen=True, slots=True)
class Place:
    """One bit of one file."""

    path: Path
    offset: int
    bit: int

    def flip(self) -> None:
        """Turn it over; twice is as before."""
        with self.path.open("r+b") as file:
            file.seek(self.offset)
            (byte,) = file.read(1)
            file.seek(self.offset)
            file.write(bytes([byte ^ 1 << self.bit]))


def pick_places(directory: Path, chance: random.Random, count: int) -> list[Place]:
    """Return bits of the files of all streams: segments above all, their heads and all else."""
    found: list[Place] = []
    files = [path for path in sorted(directory.glob("*/*")) if path.stat().st_size]
    for _ in range(count if files else 0):
        path = chance.choice(files)
        # Much of a tail is space allocated ahead, where there is nothing to damage.
        written = len(path.read_bytes().rstrip(b"\0"))
        most = chance.choice((min(256, written), written))
        found.append(Place(path, chance.randrange(most), chance.randrange(8)))
    return found


def judge_copy(
    directory: Path, chance: random.Random, count: int
) -> tuple[Counter[str], list[str]]:
    """Flip bits in a copy of the log, one at a time; return what became of them, and faults."""
    fates: Counter[str] = Counter()
    faults: list[str] = []
    intact: dict[str, Recovered] = {}
    for path in sorted(directory.iterdir()):
        if path.is_dir():
            intact[path.name] = recover(path, path.name)
    for place in pick_places(directory, chance, count):
        before = intact[place.path.parent.name]
        place.flip()
        try:
            fate, fault = _judge(place, before)
        finally:
            place.flip()
        fates[fate] += 1
        if fault:
            faults.append(f"{place}: {fault}")
    return fates, faults


def _judge(place: Place, before: Recovered) -> tuple[str, str]:
    """Return what became of a flipped bit, and what is wrong with that."""
    try:
        after = recover(place.path.parent, place.path.parent.name)
        # Of a sealed segment that has a note, only a reader looks at the frames.
        _read_through(after)
    except CorruptStream as error:
        named = error.path == place.path and error.offset <= place.offset
        return "refused", "" if named else f"refused as something else: {error}"
    except UnsupportedFormat as error:
        return "refused", "" if str(place.path) in str(error) else f"refused without file: {error}"
    if after.next_sequence == before.next_sequence and _same(before, after):
        if place.path.suffix == SUMMARY_SUFFIX:
            return "segment read instead of its note", ""
        if place.path.name == MARK_NAME:
            return "mark's other half believed", ""
        return "harmless", "" if _is_behind(place, before) else "opened as if it were intact"
    tail = before.segments[-1]
    if place.path == tail.path and place.offset >= before.rewrite_from:
        return "last group cut off", ""
    return "served", f"opened with {after.next_sequence} instead of {before.next_sequence}"


def _read_through(found: Recovered) -> None:
    """Read all that a stream holds, as its readers do.

    Raises:
        CorruptStream: at the first damage.
    """
    for info in found.segments:
        offset, sequence = SEGMENT_HEADER_BYTES, info.first_sequence
        data = read_bytes(info.path, offset, info.end_offset - offset)
        while sequence < info.next_sequence:
            chunk = slice_frames(info, offset, data, sequence)
            assert isinstance(chunk, Chunk), "all of it is there"
            sequence = chunk.next_sequence


def _same(before: Recovered, after: Recovered) -> bool:
    ends = [[(info.path, info.end_offset) for info in found.segments] for found in (before, after)]
    return ends[0] == ends[1] and before.keys == after.keys and before.holds == after.holds


def _is_behind(place: Place, before: Recovered) -> bool:
    """Return whether a place is behind all that a stream holds."""
    return any(
        info.path == place.path and place.offset >= info.end_offset for info in before.segments
    )


def copy_log(source: Path, target: Path) -> None:
    """Copy all streams of a log that nobody writes."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("lock", ".*"))


def refusal_of_process(directory: Path, scratch: Path, place: Place) -> str:
    """Damage the log itself and start a journal on it; return what is wrong with its refusal."""
    # With their notes, sealed segments are only looked into when they are read.
    for note in directory.glob(f"*/*{SUMMARY_SUFFIX}"):
        note.unlink()
    place.flip()
    try:
        command = [
            *(sys.executable, "-m", "journal.main", f"--data-dir={directory}"),
            f"--listen=unix:{scratch / 'damaged.sock'}",
        ]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=_START_S_MAX, check=False
        )
    except subprocess.TimeoutExpired:
        return f"{place}: the journal opened a damaged log"
    finally:
        place.flip()
    if done.returncode != 1 or str(place.path) not in done.stderr:
        return f"{place}: the journal ended with {done.returncode}: {done.stderr}"
    return ""


def is_refused(place: Place) -> bool:
    """Return whether a flipped bit must be refused: it is in a sealed segment or a file beside."""
    newest = max(place.path.parent.glob("*.log"), default=None)
    is_note = place.path.suffix == SUMMARY_SUFFIX or place.path.name == MARK_NAME
    return place.path != newest and not is_note


def damage_newest(directory: Path, chance: random.Random) -> list[Path]:
    """Flip a bit in the newest checkpoint of each partition whose older one is intact."""
    damaged = []
    for partition in sorted(path for path in directory.iterdir() if path.is_dir()):
        kept = list_checkpoints(partition)
        # With both of them damaged nothing would be left.
        if any(_is_intact(older) for older in kept[1:]):
            newest = kept[0].path
            size = newest.stat().st_size
            Place(newest, chance.randrange(size), chance.randrange(8)).flip()
            damaged.append(newest)
    return damaged


def _is_intact(checkpoint: Checkpoint) -> bool:
    try:
        verify_checkpoint(checkpoint.path)
    except CheckpointDamaged:
        return False
    return True
