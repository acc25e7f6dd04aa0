"""A partition's state: into a checkpoint for a snapshot, and from there into a log of its own."""

from __future__ import annotations

import asyncio
import struct
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from xxhash import xxh3_64_hexdigest

from journal.local import LocalEngine
from journal.memory import MemoryEngine
from runtime.clock import SystemClock
from runtime.tasks import TaskScope
from storage import snapshot_copy, snapshot_state
from storage.checkpoint import Checkpoint
from storage.checkpoint_copy import Pace
from storage.environment import Environment, Tables, Txn
from storage.errors import CheckpointStopped, Compacted, DataLost, SnapshotFailed
from storage.journal_port import JournalPort
from storage.recovery import Places
from storage.snapshot_copy import CopyLimits, copy_running, copy_stopped
from storage.snapshot_manifest import PartitionFacts
from storage.snapshot_state import (
    Origin,
    checkpoint_in,
    inspect_checkpoint,
    origin_record,
    restamp,
)
from storage.store import Store
from storage.txn import Committed, Delete
from tests.unit.storage.replicas import SharedEnvironment, options, put, running_store
from tests.unit.storage.stores import create, default

BEGIN = 1_000_000


async def _fill(store: Store, names: str) -> None:
    for name in names:
        await create(store, name, node="n1")
    await store.commit((Delete("pods", "default", names[0]),), 5)


async def _stopped(path: Path, journal: MemoryEngine) -> Checkpoint:
    port = JournalPort(journal, "default", TaskScope("test"), SystemClock().monotonic_s, "r")
    places = Places(path / "scratch", path / "data/checkpoints/default")
    return await copy_stopped(places, port, path / "copied")


def _inspect(path: Path, checkpoint: Checkpoint) -> PartitionFacts:
    return inspect_checkpoint("default", checkpoint, "file", path / "scratch")


def _facts_of(store: Store) -> PartitionFacts:
    """Return what is to be said of a store's own tables."""
    return snapshot_state._facts("default", default(store).environment, "file", lambda _: None)


@pytest.mark.parametrize("checkpointed", [True, False])
def test_a_stopped_partition_is_its_checkpoint_and_the_log(
    tmp_path: Path, *, checkpointed: bool
) -> None:
    async def run() -> None:
        journal = MemoryEngine()
        async with running_store(tmp_path, journal) as store:
            await _fill(store, "abc")
            if checkpointed:
                await store.checkpoint()
            await _fill(store, "def")
            expected, revision = _facts_of(store), default(store).revision
        facts = _inspect(tmp_path, await _stopped(tmp_path, journal))
        assert (facts, facts.revision) == (expected, revision)
        assert facts.objects == {"pods": 4}
        assert not (tmp_path / "scratch").exists()

    asyncio.run(run())


def test_a_running_partition_is_copied_once_it_has_what_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with running_store(tmp_path, MemoryEngine()) as store:
            environment = default(store).environment
            monkeypatch.setattr(
                snapshot_copy, "MappedEnvironment", lambda *_, **__: SharedEnvironment(environment)
            )
            await _fill(store, "ab")
            places = Places(environment.path, tmp_path)
            target = default(store).revision + 1
            copying = asyncio.ensure_future(
                copy_running(places, target, tmp_path / "c", SystemClock(), CopyLimits())
            )
            await asyncio.sleep(2 * snapshot_copy.CHECK_S)
            assert not copying.done()
            await create(store, "late")
            checkpoint = await copying
            assert checkpoint.sequence == target
            assert _inspect(tmp_path, checkpoint) == _facts_of(store)

    asyncio.run(run())


def test_a_replica_that_does_not_get_there_is_told_of(tmp_path: Path) -> None:
    limits = CopyLimits(wait_s=0)
    places = Places(tmp_path / "none", tmp_path)
    with pytest.raises(SnapshotFailed, match="has applied 0 of 7 entries"):
        asyncio.run(copy_running(places, 7, tmp_path / "c", SystemClock(), limits))


@pytest.mark.parametrize("limits", [CopyLimits(seconds=0), CopyLimits(growth_bytes=0)])
def test_a_copy_that_keeps_pages_for_too_long_is_broken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: CopyLimits
) -> None:
    seen: list[CheckpointStopped] = []
    copying = threading.Event()

    def endless(
        _tables: Tables, _txn: Txn, _sequence: int, directory: Path, *, sealer: None, pace: Pace
    ) -> Checkpoint:
        assert sealer is None
        with (directory / "copy").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
                    copying.set()
                    pace.wait(4096)
            except CheckpointStopped as error:
                seen.append(error)
                raise

    class Growing(SharedEnvironment):
        @property
        def used_bytes(self) -> int:
            return 1 << 30 if copying.is_set() and not limits.growth_bytes else 4096

    async def run() -> None:
        async with running_store(tmp_path, MemoryEngine()) as store:
            environment = default(store).environment
            monkeypatch.setattr(
                snapshot_copy, "MappedEnvironment", lambda *_, **__: Growing(environment)
            )
            monkeypatch.setattr(snapshot_copy, "write_checkpoint", endless)
            places = Places(environment.path, tmp_path)
            with pytest.raises(SnapshotFailed, match="was broken off"):
                await copy_running(places, 1, tmp_path, SystemClock(), limits)

    asyncio.run(run())
    assert seen, "the copy went on"


def test_a_damaged_copy_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        journal = MemoryEngine()
        async with running_store(tmp_path, journal) as store:
            await _fill(store, "ab")
        checkpoint = await _stopped(tmp_path, journal)
        data = bytearray(checkpoint.path.read_bytes())
        data[len(data) // 2] ^= 1
        checkpoint.path.write_bytes(data)
        with pytest.raises(SnapshotFailed, match="is damaged"):
            _inspect(tmp_path, checkpoint)
        assert not (tmp_path / "scratch").exists()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("row", "told"),
    [(struct.pack("<I", 99) + b"whatever it has", "format 99"), (b"bad", "is damaged")],
)
def test_a_state_of_a_newer_format_is_told_from_a_damaged_one(
    tmp_path: Path, row: bytes, told: str
) -> None:
    environment = Environment(tmp_path / "memory", map_bytes=1 << 24)
    with environment.write() as txn:
        txn.put(b"state", row, db=environment.meta)
    txn = environment.read()
    copy = tmp_path / "copy"
    with copy.open("wb") as file:
        environment.copy_to(file.fileno(), txn)
    txn.abort()
    environment.close()
    copy.rename(tmp_path / f"{1:020d}-{xxh3_64_hexdigest(copy.read_bytes())}.mdb")
    with pytest.raises(SnapshotFailed, match=told):
        _inspect(tmp_path, checkpoint_in(tmp_path))


def test_a_checkpoint_that_is_none_is_told(tmp_path: Path) -> None:
    data = b"not what LMDB writes" * 1000
    path = tmp_path / f"{1:020d}-{xxh3_64_hexdigest(data)}.mdb"
    path.write_bytes(data)
    with pytest.raises(SnapshotFailed, match="is none of ours"):
        _inspect(tmp_path, checkpoint_in(tmp_path))


async def _restored(path: Path, facts: PartitionFacts, checkpoint: Checkpoint) -> LocalEngine:
    """Begin a log in `path` that goes on from a state, and return it."""
    engine = await LocalEngine.open(path / "journal")
    engine.begin("default", BEGIN)
    record = origin_record(BEGIN, b"i" * 16)
    assert await engine.append("default", (record,), b"i" * 16) == BEGIN
    origin = Origin(BEGIN, record, 5, b"n" * 16)
    places = Places(path / "scratch", path / "data/checkpoints/default")
    restamp(facts, checkpoint, origin, places)
    return engine


def test_a_restored_state_is_the_same_at_a_revision_that_nobody_has_seen(tmp_path: Path) -> None:
    async def run() -> None:
        journal, before, after = MemoryEngine(), tmp_path / "before", tmp_path / "after"
        async with running_store(before, journal) as store:
            await _fill(store, "abc")
            old = default(store).revision
            kept = default(store).get("pods", "default", "c", None)
        checkpoint = await _stopped(before, journal)
        engine = await _restored(after, _inspect(before, checkpoint), checkpoint)
        try:
            async with Store(engine, options(after)) as store:
                partition = default(store)
                assert store.status()["default"]["recovered_from"] == "checkpoint"
                assert (partition.revision, partition.compact_revision) == (BEGIN, BEGIN)
                assert partition.position.identity == b"n" * 16
                assert partition.get("pods", "default", "c", None) == kept
                assert partition.count("pods", None) == 2
                with pytest.raises(Compacted):
                    partition.check_retained(old)
                outcome = await store.commit((put("c", expected=kept.mod_revision),), 5)  # type: ignore[union-attr]
                assert isinstance(outcome, Committed)
                assert outcome.revision == BEGIN + 1
                await store.checkpoint()
        finally:
            await engine.close()
        # It is a cluster like any other: checkpoint and log agree at the next start, too.
        engine = await LocalEngine.open(after / "journal")
        try:
            async with Store(engine, options(after)) as store:
                assert default(store).revision == BEGIN + 1
        finally:
            await engine.close()

    asyncio.run(run())


@pytest.mark.parametrize("checkpointed", [True, False])
def test_a_replica_of_the_lost_cluster_does_not_go_on_with_the_restored_log(
    tmp_path: Path, *, checkpointed: bool
) -> None:
    async def run() -> None:
        journal, before = MemoryEngine(), tmp_path / "before"
        async with running_store(before, journal) as store:
            await _fill(store, "abc")
            if checkpointed:
                await store.checkpoint()
        checkpoint = await _stopped(before, journal)
        engine = await _restored(tmp_path / "after", _inspect(before, checkpoint), checkpoint)
        try:
            with pytest.raises(DataLost, match=f"begins at {BEGIN}"):
                await Store(engine, options(before)).start()
        finally:
            await engine.close()

    asyncio.run(run())


def test_a_restored_state_has_no_history(tmp_path: Path) -> None:
    async def run() -> None:
        journal, after = MemoryEngine(), tmp_path / "after"
        async with running_store(tmp_path, journal) as store:
            await _fill(store, "abc")
        checkpoint = await _stopped(tmp_path, journal)
        engine = await _restored(after, _inspect(tmp_path, checkpoint), checkpoint)
        await engine.close()
        copy = checkpoint_in(after / "data/checkpoints/default")
        snapshot_state.install_checkpoint(copy, tmp_path / "opened")
        environment = Environment(tmp_path / "opened")
        txn = environment.read()
        assert txn.stat(environment.events)["entries"] == 0
        assert txn.stat(environment.versions)["entries"] == 0
        assert txn.stat(environment.objects)["entries"] == 2
        txn.abort()
        environment.close()

    asyncio.run(run())


def test_a_state_that_is_not_what_the_manifest_says_is_not_restored(tmp_path: Path) -> None:
    async def run() -> None:
        journal = MemoryEngine()
        async with running_store(tmp_path, journal) as store:
            await _fill(store, "abc")
        checkpoint = await _stopped(tmp_path, journal)
        facts = replace(_inspect(tmp_path, checkpoint), objects={"pods": 3})
        origin = Origin(BEGIN, origin_record(BEGIN, bytes(16)), 5, bytes(16))
        with pytest.raises(SnapshotFailed, match="is not the state"):
            restamp(facts, checkpoint, origin, Places(tmp_path / "s", tmp_path / "restored"))
        assert not (tmp_path / "restored").exists()

    asyncio.run(run())


def test_nothing_can_be_saved_of_a_partition_that_never_was(tmp_path: Path) -> None:
    with pytest.raises(SnapshotFailed, match="never been written"):
        asyncio.run(_stopped(tmp_path, MemoryEngine()))
