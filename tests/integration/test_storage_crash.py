"""kill -9 at any moment: the replica on tmpfs is whole, and no acknowledged commit is lost."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from journal.client import JournalClient
from storage.position import Position
from storage.store import Store
from storage.txn import ABSENT, Committed, Put
from storage.values import is_plain
from tests.integration.storage_child import (
    BODY,
    PASS_ENTRIES,
    entries_after,
    open_applier,
    store_options,
)
from tests.integration.test_journal_process import journal_process
from tests.unit.storage.replicas import dump

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture
def tmpfs() -> Iterator[Path]:
    """Return a directory where environments live in production."""
    path = Path(tempfile.mkdtemp(prefix="ultraplane-crash-", dir="/dev/shm"))
    yield path
    shutil.rmtree(path)


@contextmanager
def child(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a child that is killed at the end, wherever it is then."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.storage_child", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=20)


def read_line(process: subprocess.Popen[str]) -> str:
    """Return the child's next line."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the child has ended"
    return line.strip()


async def put_pod(store: Store, name: str) -> Committed:
    """Create a pod."""
    put = Put("pods", "default", name, b"", BODY, BODY.index(b'""') + 1, ABSENT)
    outcome = await store.commit((put,), 20)
    assert isinstance(outcome, Committed)
    return outcome


@pytest.mark.parametrize("doing", ["apply", "compress"])
def test_a_replica_killed_while_applying_is_whole_and_goes_on(tmpfs: Path, doing: str) -> None:
    reached = 0
    for round_number in range(8):
        with child(doing, str(tmpfs / "killed")) as process:
            # A different place in each round; the child goes on while the signal travels.
            for _ in range(3 + round_number):
                reached = int(read_line(process))
    environment, applier = open_applier(tmpfs / "killed")
    txn = environment.read()
    packed = sum(not is_plain(value) for _, value in txn.cursor(environment.objects))
    txn.abort()
    assert bool(packed) == (doing == "compress")
    position: Position = applier.position
    assert position.applied_sequence >= reached
    assert position.applied_sequence % PASS_ENTRIES == 0, "a part of a pass is visible"
    fresh_environment, fresh = open_applier(tmpfs / "fresh")
    fresh.apply(entries_after(0, position.applied_sequence))
    assert dump(environment) == dump(fresh_environment)
    more = entries_after(position.applied_sequence, 100)
    applier.apply(more)
    fresh.apply(more)
    assert dump(environment) == dump(fresh_environment)
    environment.close()
    fresh_environment.close()


def test_a_killed_store_loses_no_acknowledged_commit(tmpfs: Path) -> None:
    acknowledged: set[str] = set()
    with journal_process(tmpfs):
        for round_number in range(3):
            with child("commit", str(tmpfs), f"r{round_number}") as process:
                acknowledged.update(read_line(process) for _ in range(150))

        async def check(source: str) -> str:
            async with (
                JournalClient(f"unix:{tmpfs}/s") as journal,
                Store(journal, store_options(tmpfs)) as store,
            ):
                assert store.status()["default"]["recovered_from"] == source
                for name in acknowledged:
                    assert store.get("pods", "default", name) is not None
                await store.checkpoint()
                return store.partition_of("pods").state_hash()

        kept = asyncio.run(check("memory"))
        shutil.rmtree(tmpfs / "memory")
        assert asyncio.run(check("checkpoint")) == kept
        shutil.rmtree(tmpfs / "memory")
        shutil.rmtree(tmpfs / "data" / "checkpoints")
        assert asyncio.run(check("log")) == kept


def test_a_store_outlives_its_journal(tmpfs: Path) -> None:
    async def run() -> None:
        async with JournalClient(f"unix:{tmpfs}/s") as journal:
            with journal_process(tmpfs):
                store = Store(journal, store_options(tmpfs))
                await store.start()
                await store.wait_ready()
                await put_pod(store, "first")
            # Killed: reads go on, and a commit waits for the journal's return.
            waiting = asyncio.ensure_future(put_pod(store, "second"))
            await asyncio.sleep(0)
            assert store.get("pods", "default", "first") is not None
            assert not waiting.done()
            with journal_process(tmpfs):
                outcome = await waiting
                assert await store.fresh("pods", 20) == outcome.revision
                assert store.get("pods", "default", "second") == outcome.records[0]
                await store.stop()

    asyncio.run(run())
