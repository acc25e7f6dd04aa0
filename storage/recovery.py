"""What a replica starts from: its files on tmpfs, a checkpoint, or the whole log.

    found on tmpfs                     decision
    -------------------------------    -----------------------------------------------------------
    intact, within the log             reopen, catch up               (the process had crashed)
    nothing, damaged, other format,    newest intact checkpoint       (the machine had)
      older than the machine's start
    of a newer format                  refuse, naming the file   (so with checkpoints and the log)
    ends before the log begins         newest intact checkpoint       (it had been away for long)
    ends after the log ends            refuse: the journal was wiped or is another one
    its last entry is not the log's    refuse: the journal is another one

First of all the journal is told what the checkpoints need, so that no other replica has it trimmed
while we look. Checkpoints are held against the log in the same way. Without one, the log must begin
at its first entry. Only a replica's files on tmpfs are ever deleted, and only where a checkpoint or
the whole log replaces them. A damaged checkpoint is renamed, and counts no more, once another or
the log has stood in for it; while nothing has, it may be a disk that reads badly today.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import NamedTuple

from storage.checkpoint import (
    Checkpoint,
    install_checkpoint,
    list_checkpoints,
    needed_from,
    set_aside,
)
from storage.checkpoint_seal import check_seal
from storage.environment import DATA_NAME, Environment, is_unusable, remove_environment
from storage.errors import DataLost, RecoveryRefused, UnsupportedState
from storage.journal_port import JournalPort
from storage.position import FORMAT_VERSION, READABLE_FORMATS, Position, read_position
from storage.sealing import Sealer, Sealers
from storage.txn import digest_of

_log = logging.getLogger(__name__)


class Recovered(NamedTuple):
    """An open environment, and where it came from."""

    environment: Environment
    source: str
    """`memory`, `checkpoint` or `log`."""
    tail: int
    """The journal's last sequence: what to catch up with."""


class Places(NamedTuple):
    """Where a partition's files are."""

    memory: Path
    """The environment's directory, on tmpfs."""
    checkpoints: Path
    sealers: Sealers | None = None
    """Opens checkpoints that are sealed."""

    @property
    def sealer(self) -> Sealer | None:
        """What seals checkpoints."""
        return None if self.sealers is None else self.sealers.checkpoints


async def recover(places: Places, port: JournalPort, *, map_bytes: int) -> Recovered:
    """Open the best state there is.

    Raises:
        RecoveryRefused, DataLost: state and journal contradict each other; nothing was touched.
        UnsupportedState: what there is can't be read by this program.
        SealBroken: a checkpoint's key is missing or another one; nothing was touched.
        ReplicaLocked: another process applies to this replica.
        JournalError: the journal can't be asked.
    """
    first, last = await port.hold(needed_from(places.checkpoints))
    try:
        return await _recover(places, port, (first, last), map_bytes)
    except RecoveryRefused:
        # Or one that is started again and again, and can't go on, would fill the journal's disk.
        await port.hold(last + 1)
        raise


async def _recover(
    places: Places, port: JournalPort, bounds: tuple[int, int], map_bytes: int
) -> Recovered:
    first, last = bounds
    await asyncio.to_thread(_check_seals, places)
    environment = _open_usable(places.memory, map_bytes)
    if environment is not None:
        try:
            await _check_log(environment, port, first, last)
        except DataLost as error:
            environment.close()
            _log.warning("%s is too old to catch up: %s", places.memory, error)
        except BaseException:
            environment.close()
            raise
        else:
            return Recovered(environment, "memory", last)
    unusable: list[Checkpoint] = []
    environment = await _from_checkpoint(places, port, bounds, map_bytes, unusable)
    if environment is None and first > 1:
        raise DataLost(
            f"stream {port.stream!r} begins at {first}, and there is neither an intact checkpoint "
            f"in {places.checkpoints} nor a state in {places.memory} to continue from. "
            f"{_way_back(places.checkpoints)}"
        )
    for checkpoint in unusable:
        set_aside(checkpoint)
    if environment is not None:
        return Recovered(environment, "checkpoint", last)
    remove_environment(places.memory)
    return Recovered(Environment(places.memory, map_bytes=map_bytes), "log", last)


def _open_usable(path: Path, map_bytes: int) -> Environment | None:
    """Open an environment that holds something in our format; None if there is none.

    Raises:
        UnsupportedState: a newer program wrote it.
    """
    data = path / DATA_NAME
    if not data.exists():
        return None
    try:
        environment = Environment(path, map_bytes=map_bytes)
    except Exception as error:
        if not is_unusable(error):
            raise
        _log.warning("%s is damaged and will be rebuilt: %s", data, error)
        return None
    position = _position_of(environment)
    if position.format_version in READABLE_FORMATS and position.applied_sequence:
        return environment
    environment.close()
    if position.format_version > FORMAT_VERSION:
        raise UnsupportedState(data, position.format_version, FORMAT_VERSION)
    _log.warning("%s can't be used (%s) and will be rebuilt", data, position)
    return None


async def _from_checkpoint(
    places: Places,
    port: JournalPort,
    bounds: tuple[int, int],
    map_bytes: int,
    unusable: list[Checkpoint],
) -> Environment | None:
    """Return the newest that can be used; those that can't are added to `unusable`."""
    checkpoints = list_checkpoints(places.checkpoints)
    if checkpoints and checkpoints[0].sequence > bounds[1]:
        raise RecoveryRefused(
            f"the journal's stream {port.stream!r} ends at {bounds[1]}, but there is a checkpoint "
            f"{checkpoints[0].path}: the journal was wiped, or is another one. Bring the right "
            f"journal back; or, to start over with this one, delete {places.checkpoints}"
        )
    for checkpoint in checkpoints:
        # It replaces what is there only once it is known to be whole.
        intact = await asyncio.to_thread(
            install_checkpoint, checkpoint, places.memory, sealer=places.sealer
        )
        if not intact:
            _log.error("checkpoint %s is damaged; trying an older one", checkpoint.path)
            unusable.append(checkpoint)
            continue
        environment = _open_usable(places.memory, map_bytes)
        if environment is None:
            _log.error("checkpoint %s is of another format", checkpoint.path)
            unusable.append(checkpoint)
            continue
        try:
            await _check_log(environment, port, *bounds)
        except DataLost as error:
            environment.close()
            raise DataLost(f"{error}. {_way_back(places.checkpoints)}") from error
        except BaseException:
            environment.close()
            raise
        return environment
    return None


def _check_seals(places: Places) -> None:
    """Make sure that the newest checkpoint's key is there, though memory may be all it takes.

    Else it would be found when the machine was started next, and the key be gone for long. Older
    ones do not count: a key that was rotated would never get out of use.
    """
    for checkpoint in list_checkpoints(places.checkpoints)[:1]:
        check_seal(checkpoint, places.sealers)


def _way_back(checkpoints: Path) -> str:
    return (
        "The journal keeps the log for a replica that is away, but not for ever "
        "(journal.replica_expiry_s). Copy the newest checkpoint of a replica that runs, or of a "
        f"backup, to {checkpoints}, and start again"
    )


async def _check_log(environment: Environment, port: JournalPort, first: int, last: int) -> None:
    """Make sure that the log continues what the environment holds.

    Raises:
        DataLost: the log begins too late. RecoveryRefused: it is another log.
    """
    position = _position_of(environment)
    applied = position.applied_sequence
    if applied > last:
        raise RecoveryRefused(
            f"the journal's stream {port.stream!r} ends at {last}, but {environment.path} has "
            f"applied {applied}: the journal was wiped, or is another one. Bring the right journal "
            f"back; or, to start over with this one, delete {environment.path} and its checkpoints"
        )
    if applied + 1 < first:
        raise DataLost(
            f"stream {port.stream!r} begins at {first}, {environment.path} ends at {applied}: "
            "the entries in between are gone"
        )
    if applied < first:
        _log.warning("%s: entry %d is trimmed and can't be compared", port.stream, applied)
        return
    if digest_of(await port.record_at(applied)) != position.digest:
        raise RecoveryRefused(
            f"entry {applied} of the journal's stream {port.stream!r} is not the one that "
            f"{environment.path} applied: they belong to different clusters. Bring the right "
            f"journal back; or, to start over, delete {environment.path} and its checkpoints"
        )


def _position_of(environment: Environment) -> Position:
    txn = environment.read()
    try:
        return read_position(environment, txn)
    finally:
        txn.abort()
