"""`ultraplane snapshot restore`, `verify`, `status`: from a snapshot file to a cluster's directory.

A restored cluster has a log of its own: each partition's begins at the snapshot's revision plus the
bump, with one entry that says that everything before is compacted, and a checkpoint at that entry.
So objects are as they were, with their resourceVersions; the next write gets a revision that no
client has seen before the disaster; and every client that asks for something older, or watches from
there, is told to list again (410 Gone).

Everything is made in a directory beside the wanted one, durably, and gets its name at the end.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import BinaryIO, Final

from journal.disk import Environment, sync_directory
from journal.local import LocalEngine
from journal.main import limits_for
from runtime.clock import SystemClock
from storage.environment import check_unused, remove_environment
from storage.errors import ReplicaLocked, SnapshotFailed
from storage.partition_map import PartitionMap
from storage.recovery import Places
from storage.snapshot_file import Contents, SnapshotReader
from storage.snapshot_manifest import CHECKPOINTS, PKI, Manifest, PartitionFacts
from storage.snapshot_state import (
    Origin,
    checkpoint_in,
    inspect_checkpoint,
    origin_record,
    restamp,
)
from ultraplane.config import Config
from ultraplane.files import private_directory, write_private
from ultraplane.joining import SHARED, SHARED_IF_THERE
from ultraplane.snapshot_work import (
    SnapshotUseless,
    Steps,
    explained,
    load_keys,
    manifest_of,
    scratch_beside,
    scratch_for,
    work_directory,
)

REVISION_MAX: Final = 1 << 62
_NAME = re.compile(r"(checkpoints/[a-z0-9][a-z0-9-]*|pki)/[A-Za-z0-9][A-Za-z0-9._-]*")


def read_status(path: Path) -> tuple[Contents, Manifest]:
    """Return what a snapshot says of itself; its head, end and manifest are checked.

    Raises:
        SnapshotUseless: it is damaged there, or of another format.
    """
    with explained(path), SnapshotReader(path) as reader:
        contents = reader.contents()
        return contents, manifest_of(contents.manifest, path)


def verify_snapshot(path: Path, config: Config, steps: Steps) -> tuple[Contents, Manifest]:
    """Check every byte of a snapshot, then read every object in it.

    Needs as much room beside the file as the cluster has in memory; it is given back. What is
    encrypted needs it in memory.

    Args:
        path: of the snapshot.
        config: names the keys, if it takes any.
        steps: hears how far it is.

    Raises:
        SnapshotUseless: something is not as it was written; the message says what and where.
    """
    sealers = load_keys(config.storage.encryption_provider_config, SystemClock())
    with (
        explained(path),
        scratch_beside(path) as scratch,
        scratch_for(config.memory_path, sealers, scratch / "environment") as environment,
        SnapshotReader(path) as reader,
    ):
        contents = reader.contents()
        manifest = manifest_of(contents.manifest, path)
        _unpack(reader, scratch / "unpacked", steps)
        for facts in manifest.partitions:
            counted = steps.step(f"{facts.name}: reading objects", facts.count)
            checkpoint = checkpoint_in(scratch / "unpacked" / CHECKPOINTS / facts.name)
            found = inspect_checkpoint(
                facts.name, checkpoint, facts.file, environment, counted, sealers
            )
            if found != facts:
                raise SnapshotFailed(
                    f"{path}: partition {facts.name} is not the state that the manifest says"
                )
    return contents, manifest


def restore_snapshot(config: Config, path: Path, *, bump: int, steps: Steps) -> Manifest:
    """Make the configured data directory from a snapshot, such that `ultraplane up` serves it.

    Args:
        config: names the directory, which must not be there or be empty.
        path: of the snapshot.
        bump: how far behind the snapshot's revisions the new ones begin.
        steps: hears how far it is.

    Raises:
        SnapshotUseless: it was not restored; nothing was changed.
    """
    data_dir = Path(os.path.realpath(config.data_dir))
    with explained(data_dir):
        _check_target(config, data_dir)
        sealers = load_keys(config.storage.encryption_provider_config, SystemClock())
        with SnapshotReader(path) as reader, ExitStack() as stack:
            manifest = manifest_of(reader.contents().manifest, path)
            _check_fits(config, manifest, bump)
            data_dir.parent.mkdir(parents=True, exist_ok=True)
            building = data_dir.with_name(f".{data_dir.name}.restoring")
            work = stack.enter_context(work_directory(building, f"restoring to {data_dir}"))
            incoming = work / "incoming"
            _unpack(reader, incoming, steps)
            scratch = stack.enter_context(
                scratch_for(config.memory_path, sealers, incoming / "environment")
            )
            places = Places(scratch, work / CHECKPOINTS, sealers)
            asyncio.run(_build(config, manifest, bump, places, steps))
            if manifest.has_pki:
                _take_pki(incoming / PKI, work / PKI)
            shutil.rmtree(incoming)
            for facts in manifest.partitions:
                # Of a cluster that was here before; it would be taken for the restored one's.
                remove_environment(config.memory_path / facts.name)
            sync_directory(work)
            work.rename(data_dir)
            sync_directory(data_dir.parent)
    return manifest


def _check_target(config: Config, data_dir: Path) -> None:
    if config.journal.external:
        raise SnapshotUseless(
            "journal.external is set: the journal is not here. Restore on the machine that runs "
            "it, without that setting, and let the other API servers join. Into a journal of "
            "another kind nothing can be restored yet"
        )
    if data_dir.exists() and not data_dir.is_dir():
        raise SnapshotUseless(f"{data_dir} is no directory")
    if data_dir.is_dir() and any(data_dir.iterdir()):
        raise SnapshotUseless(
            f"{data_dir} is not empty, and a snapshot is restored into a new cluster only. Stop "
            f"what runs there and move it away (mv {data_dir} {data_dir}.old), or name another "
            "directory: --data-dir"
        )
    if data_dir.parent.is_dir() and not os.access(data_dir.parent, os.W_OK):
        raise SnapshotUseless(
            f"{data_dir.parent} can't be written to, and the directory is made there as a whole: "
            "name one below a directory of yours: --data-dir"
        )
    if os.path.ismount(data_dir):
        raise SnapshotUseless(
            f"{data_dir} is a mount point, which can't be replaced as a whole: name a directory "
            "below it: --data-dir"
        )


def _check_fits(config: Config, manifest: Manifest, bump: int) -> None:
    partitions = PartitionMap(config.storage.partitions)
    listed: dict[str, list[str]] = {}
    for resource, name in manifest.partition_map.items():
        listed.setdefault(name, []).append(resource)
    partitions.check(manifest.partition_map, f"as the snapshot has them: {listed}")
    for facts in manifest.partitions:
        if facts.name not in partitions.names and facts.count:
            raise SnapshotUseless(f"partition {facts.name} is missing in storage.partitions")
        if not 0 <= bump <= REVISION_MAX - facts.revision:
            raise SnapshotUseless(
                f"a bump of {bump} takes partition {facts.name} beyond revision {REVISION_MAX}"
            )
        try:
            check_unused(config.memory_path / facts.name)
        except ReplicaLocked as error:
            raise SnapshotUseless(
                f"{error}: the cluster that was here still runs. Stop all of it first"
            ) from error


def _unpack(reader: SnapshotReader, directory: Path, steps: Steps) -> None:
    """Check the whole snapshot, writing its files below a directory."""
    private_directory(directory)
    with ExitStack() as files:

        def sink(name: str) -> BinaryIO:
            if not _NAME.fullmatch(name):
                raise SnapshotFailed(f"the snapshot holds a file that has no place: {name!r}")
            files.close()  # the one before is whole
            target = directory / name
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            return files.enter_context(os.fdopen(descriptor, "wb"))

        reader.read_all(sink, steps.step("checking the snapshot", reader.size_bytes))


async def _build(
    config: Config, manifest: Manifest, bump: int, places: Places, steps: Steps
) -> None:
    """Make the journal, and checkpoints beside it, of what was unpacked there."""
    work = places.checkpoints.parent
    incoming = work / "incoming"
    limits = limits_for(config.journal.segment_mib, config.journal.replica_expiry_s)
    engine = await LocalEngine.open(work / "journal", Environment(limits))
    try:
        partitions = PartitionMap(config.storage.partitions)
        await partitions.agree(engine)
        for facts in manifest.partitions:
            if facts.name not in partitions.names:
                continue  # nothing is in it
            origin = await _begin_log(engine, facts, facts.revision + bump)
            counted = steps.step(f"{facts.name}: restoring", facts.count)
            await asyncio.to_thread(
                restamp,
                facts,
                checkpoint_in(incoming / CHECKPOINTS / facts.name),
                origin,
                places._replace(checkpoints=places.checkpoints / facts.name),
                counted,
            )
    finally:
        await engine.close()


async def _begin_log(engine: LocalEngine, facts: PartitionFacts, sequence: int) -> Origin:
    engine.begin(facts.name, sequence, facts.timestamp_ms)
    transaction_id = os.urandom(16)
    record = origin_record(sequence, transaction_id)
    await engine.append(facts.name, (record,), transaction_id)
    async with aclosing(engine.read(facts.name, sequence)) as log:
        batches = await anext(log)
    return Origin(sequence, record, batches[0].timestamp_ms, os.urandom(16))


def _take_pki(source: Path, target: Path) -> None:
    private_directory(target)
    present = [name for name in SHARED_IF_THERE if (source / name).exists()]
    for name in (*SHARED, *present):
        write_private(target / name, (source / name).read_bytes())
    sync_directory(target)
