"""`ultraplane snapshot save`: the state of all partitions in one file, beside traffic.

Where a cluster runs, its replica's files on tmpfs are mapped read-only, as workers map them, and
copied once they have come as far as the journal had when it was asked: what was acknowledged before
is in the snapshot. Nothing is asked of the API server. Where none runs, the newest checkpoints and
the log are put together as at a start.

Each partition is copied at one revision of its own. They are copied one after the other, so they
are not of one instant; a resource is in one partition, and nothing is written across two.
"""

from __future__ import annotations

import asyncio
import datetime
import io
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from apiserver.settings_file import SettingsError, read_settings
from journal.client import JournalClient
from journal.disk import Environment, sync_directory
from journal.engine import Journal
from journal.errors import DirectoryLocked, JournalError
from journal.local import LocalEngine
from journal.main import limits_for
from runtime.clock import Clock
from runtime.tasks import TaskScope
from storage.checkpoint import Checkpoint
from storage.codec import Codec
from storage.errors import SnapshotFailed
from storage.journal_port import JournalPort
from storage.partition_map import DEFAULT, PartitionMap
from storage.recovery import Places
from storage.replica import replica_name
from storage.sealing import Sealers
from storage.snapshot_copy import CopyLimits, copy_running, copy_stopped
from storage.snapshot_file import SnapshotWriter
from storage.snapshot_manifest import CHECKPOINTS, PKI, Manifest, PartitionFacts
from storage.snapshot_state import inspect_checkpoint
from ultraplane.config import Config
from ultraplane.files import DirectoryInUse, DirectoryLock
from ultraplane.joining import SHARED, SHARED_IF_THERE
from ultraplane.server_settings import settings_path
from ultraplane.snapshot_work import (
    SnapshotUseless,
    Steps,
    explained,
    load_keys,
    scratch_for,
    work_directory,
)

_JOURNAL_S_MAX: Final = 15.0
_uid: Final = os.getuid


@dataclass(frozen=True, slots=True)
class Saved:
    """A snapshot that was written."""

    path: Path
    manifest: Manifest
    digest: str
    size_bytes: int
    was_running: bool


class _Context(NamedTuple):
    version: str
    scratch: Path
    steps: Steps
    clock: Clock


class Source(Protocol):
    """Where states are copied from."""

    running: bool
    sealers: Sealers | None

    async def copy(self, partition: str, scratch: Path, directory: Path) -> Checkpoint:
        """Write a checkpoint of a partition into a directory."""
        ...


@dataclass(frozen=True, slots=True)
class _Whereabouts:
    """Where a cluster's parts are: what it was started with last, else as configured."""

    data_dir: Path
    memory_dir: Path
    journal_address: str
    partitions: PartitionMap
    sealers: Sealers | None

    def places(self, partition: str, memory: Path) -> Places:
        """Return where a partition is."""
        return Places(memory, self.data_dir / CHECKPOINTS / partition, self.sealers)


def save_snapshot(
    config: Config, path: Path, *, with_pki: bool, version: str, steps: Steps, clock: Clock
) -> Saved:
    """Write a snapshot of the cluster in the configured data directory.

    A file of that name is replaced once the new one is whole.

    Raises:
        SnapshotUseless: it could not be made; what was there before is untouched.
    """
    path = Path(os.path.realpath(path))
    if path.is_dir():
        raise SnapshotUseless(f"{path} is a directory: name a file")
    if not path.parent.is_dir():
        raise SnapshotUseless(f"{path.parent} is not there: make it, or name another place")
    with explained(path):
        where = _whereabouts(config, clock)
        pki = _read_pki(config.data_dir) if with_pki else {}
        work_path = path.with_name(f".{path.name}.saving")
        with (
            work_directory(work_path, f"saving to {path}") as work,
            scratch_for(where.memory_dir, where.sealers, work / "scratch") as scratch,
        ):
            context = _Context(version, scratch, steps, clock)
            manifest, digest, was_running = asyncio.run(_save(config, where, pki, work, context))
            partial = work / "snapshot"
            size_bytes = partial.stat().st_size
            partial.replace(path)
            sync_directory(path.parent)
    return Saved(path, manifest, digest, size_bytes, was_running)


async def _save(
    config: Config, where: _Whereabouts, pki: dict[str, bytes], work: Path, context: _Context
) -> tuple[Manifest, str, bool]:
    """Write the file `snapshot` in the directory `work`, durably."""
    partial = work / "snapshot"
    created = datetime.datetime.fromtimestamp(context.clock.now_s(), datetime.UTC)
    async with _source(config, where, context.clock) as source:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            writer = SnapshotWriter(file)
            partitions = [
                await _add_partition(writer, source, name, work, context)
                for name in where.partitions.names
            ]
            for name, content in pki.items():
                writer.add(f"{PKI}/{name}", io.BytesIO(content))
            manifest = Manifest(
                cluster=next(one.identity for one in partitions if one.name == DEFAULT),
                software=context.version,
                created=created.isoformat(timespec="seconds"),
                partition_map=dict(where.partitions.by_resource),
                partitions=tuple(partitions),
                has_pki=bool(pki),
            )
            digest = writer.finish(manifest.encode())
            os.fsync(file.fileno())
    return manifest, digest, source.running


async def _add_partition(
    writer: SnapshotWriter, source: Source, name: str, work: Path, context: _Context
) -> PartitionFacts:
    """Copy a partition, read the copy back, and put it into the snapshot."""
    directory, scratch, steps = work / CHECKPOINTS / name, context.scratch / name, context.steps
    done = steps.step(f"{name}: copying", 1)
    checkpoint = await source.copy(name, scratch, directory)
    done(1)
    file = f"{CHECKPOINTS}/{name}/{checkpoint.path.name}"
    counted = steps.step(f"{name}: reading it back", None)
    facts = await asyncio.to_thread(
        inspect_checkpoint, name, checkpoint, file, scratch, counted, source.sealers
    )
    size_bytes = checkpoint.path.stat().st_size
    packed = steps.step(f"{name}: packing", size_bytes)
    with checkpoint.path.open("rb") as content:
        await asyncio.to_thread(writer.add, file, content, packed)
    shutil.rmtree(directory)
    return facts


class _Running:
    """A cluster that runs: its replica's files are mapped."""

    running = True

    def __init__(self, where: _Whereabouts, journal: JournalClient, clock: Clock) -> None:
        self._where = where
        self.sealers = where.sealers
        self._journal = journal
        self._clock = clock

    async def copy(self, partition: str, scratch: Path, directory: Path) -> Checkpoint:
        """See `Source`."""
        where = self._where
        try:
            target = await self._journal.tail(partition)
        except JournalError as error:
            raise SnapshotFailed(
                f"the journal at {where.journal_address} does not say how far it is: {error}. "
                "See `ultraplane status`"
            ) from error
        places = where.places(partition, where.memory_dir / partition)
        return await copy_running(places, target, directory, self._clock, CopyLimits())


class _Stopped:
    """A cluster whose replica nobody keeps: checkpoints and log are put together."""

    running = False

    def __init__(
        self, where: _Whereabouts, journal: Journal, scope: TaskScope, clock: Clock
    ) -> None:
        self._where = where
        self.sealers = where.sealers
        self._journal = journal
        self._scope = scope
        self._clock = clock
        self._replica = replica_name(where.data_dir)

    async def copy(self, partition: str, scratch: Path, directory: Path) -> Checkpoint:
        """See `Source`."""
        codec = Codec(partition, self.sealers)
        port = JournalPort(
            self._journal, partition, self._scope, self._clock.monotonic_s, self._replica, codec
        )
        return await copy_stopped(self._where.places(partition, scratch), port, directory)


@asynccontextmanager
async def _source(config: Config, where: _Whereabouts, clock: Clock) -> AsyncIterator[Source]:
    """Find out whether the cluster runs, and keep it from being started if it does not."""
    async with AsyncExitStack() as stack:
        try:
            stack.enter_context(DirectoryLock(where.data_dir))
        except DirectoryInUse:
            client = await stack.enter_async_context(_client(where, clock))
            yield _Running(where, client, clock)
            return
        _check_owner(where.data_dir)
        journal: Journal
        local = where.data_dir / "journal"
        limits = limits_for(config.journal.segment_mib, config.journal.replica_expiry_s)
        try:
            if config.journal.external or not local.is_dir():
                raise DirectoryLocked("others run the journal")
            engine = await LocalEngine.open(local, Environment(limits))
        except DirectoryLocked:
            # It runs alone, or elsewhere.
            journal = await stack.enter_async_context(_client(where, clock))
        else:
            stack.push_async_callback(engine.close)
            journal = engine
        scope = await stack.enter_async_context(TaskScope("snapshot"))
        yield _Stopped(where, journal, scope, clock)


def _check_owner(data_dir: Path) -> None:
    """Refuse to open another user's journal: what is written in it then, they could not read."""
    owner = data_dir.stat().st_uid
    if owner != _uid():
        raise SnapshotUseless(
            f"nothing runs in {data_dir}, which belongs to user id {owner}: save as that user"
        )


def _client(where: _Whereabouts, clock: Clock) -> JournalClient:
    return JournalClient(where.journal_address, clock=clock, deadline_s=_JOURNAL_S_MAX)


def _whereabouts(config: Config, clock: Clock) -> _Whereabouts:
    data_dir = config.data_dir
    if not (data_dir / "pki").is_dir() and not (data_dir / "journal").is_dir():
        raise SnapshotUseless(
            f"nothing has been started in {data_dir}: name the cluster's directory: --data-dir"
        )
    partitions, memory_dir = config.storage.partitions, config.memory_path
    address = config.journal_address
    keys = config.storage.encryption_provider_config
    # What `up` was told by flags and a file counts, also when we were not told it.
    path = settings_path(config)
    if path.exists():
        try:
            settings = read_settings(path)
        except SettingsError as error:
            raise SnapshotUseless(
                f"{error}: another version of ultraplane ran in {data_dir} last. Save with that one"
            ) from error
        keys = keys or _keys_in_memory(settings.encryption_config_file)
        partitions, memory_dir = dict(settings.storage.partitions), settings.memory_dir
        address = settings.journal_address
    found = PartitionMap(partitions)
    found.check_unchanged(data_dir / "partitions.json")
    return _Whereabouts(data_dir, memory_dir, address, found, load_keys(keys, clock))


def _keys_in_memory(copy: Path | None) -> Path | None:
    """Return the configuration that the cluster ran with last."""
    if copy is not None and not copy.exists():
        raise SnapshotUseless(
            "the cluster is encrypted, and its keys are gone from memory: name the file, "
            "--encryption-provider-config. Nothing was written"
        )
    return copy


def _read_pki(data_dir: Path) -> dict[str, bytes]:
    present = [name for name in SHARED_IF_THERE if (data_dir / PKI / name).exists()]
    return {name: (data_dir / PKI / name).read_bytes() for name in (*SHARED, *present)}
