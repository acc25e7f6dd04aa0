"""What older programs wrote is read; what newer ones wrote is refused, and left alone.

`former.tar.xz` was written by the program before checkpoints had a format of their own: a journal
of several segments, and checkpoints that are plain LMDB files with positions of format 2.
"""

from __future__ import annotations

import asyncio
import shutil
import struct
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from journal.local import LocalEngine
from storage.checkpoint import list_checkpoints, verify_checkpoint
from storage.environment import Environment
from storage.errors import UnsupportedState
from storage.position import FORMAT_VERSION
from storage.state_hash import stored_hash, walked_hash
from storage.store import Store, StoreOptions
from tests.unit.storage.replicas import INDEXES
from tests.unit.storage.stores import create, default

FORMER = Path(__file__).with_name("former.tar.xz")
REVISION, OBJECTS = 49, 24
STATE = "24372816477a37863d16c4a8f402ad2c"


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """Return a directory as the former program left it."""
    with tarfile.open(FORMER) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def options(directory: Path) -> StoreOptions:
    """Return where the former program had its files."""
    return StoreOptions(directory / "memory", directory / "data", indexes=INDEXES)


@pytest.mark.parametrize("lost", ["nothing", "checkpoints"])
def test_a_former_journal_and_its_checkpoints_are_read(former: Path, lost: str) -> None:
    if lost == "checkpoints":
        shutil.rmtree(former / "data/checkpoints")

    async def run() -> str:
        journal = await LocalEngine.open(former / "journal")
        async with Store(journal, options(former)) as store:
            source = store.status()["pods"]["recovered_from"]
            assert source == ("log" if lost == "checkpoints" else "checkpoint")
            assert store.current_revision("pods") == REVISION
            assert store.count("pods") == OBJECTS
            found = store.status()["pods"]["state_hash"]
            assert found == default(store).state_hash()
            await create(store, "new")
            await store.checkpoint()
        await journal.close()
        assert isinstance(found, str)
        return found

    # The same from a former checkpoint, whose position has no sum, and from the log alone.
    assert asyncio.run(run()) == STATE
    newest = list_checkpoints(former / "data/checkpoints/pods")[0]
    assert newest.sequence == REVISION + 1
    assert verify_checkpoint(newest.path).state_hash


def test_a_former_checkpoint_can_be_verified(former: Path) -> None:
    (checkpoint,) = list_checkpoints(former / "data/checkpoints/pods")
    about = verify_checkpoint(checkpoint.path)
    assert (about.format_version, about.partition, about.sequence) == (1, "pods", 39)


def test_a_replica_of_a_newer_format_is_refused_and_left_alone(former: Path) -> None:
    async def run() -> None:
        journal = await LocalEngine.open(former / "journal")
        async with Store(journal, options(former)):
            pass
        path = former / "memory/pods"
        environment = Environment(path)
        with environment.write() as txn:
            row = txn.get(b"state", db=environment.meta)
            assert row is not None
            newer = struct.pack("<I", FORMAT_VERSION + 1) + row[4:] + b"more"
            txn.put(b"state", newer, db=environment.meta)
        environment.close()
        before = (path / "data.mdb").read_bytes()
        with pytest.raises(UnsupportedState, match=f"version {FORMAT_VERSION + 1}, .* up to") as no:
            await Store(journal, options(former)).start()
        assert str(path / "data.mdb") in str(no.value)
        assert (path / "data.mdb").read_bytes() == before
        await journal.close()

    asyncio.run(run())


def test_a_changed_byte_of_the_state_changes_its_hash(former: Path) -> None:
    async def run() -> None:
        journal = await LocalEngine.open(former / "journal")
        async with Store(journal, replace(options(former), plain_bytes_max=None)):
            pass
        await journal.close()

    asyncio.run(run())
    environment = Environment(former / "memory/pods")
    txn = environment.read()
    expected, rows = walked_hash(environment, txn), list(txn.cursor(environment.objects))
    assert stored_hash(environment, txn) == expected
    txn.abort()
    for key, value in rows[:3]:
        for at in range(len(value)):
            changed = bytearray(value)
            changed[at] ^= 1
            if at in range(24, 28):
                continue  # the length of meta: such a value can't be taken apart
            with environment.write() as txn:
                txn.put(key, bytes(changed), db=environment.objects)
            txn = environment.read()
            assert walked_hash(environment, txn) != expected
            txn.abort()
        with environment.write() as txn:
            txn.put(key, value, db=environment.objects)
    environment.close()
