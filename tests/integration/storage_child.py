"""What the storage tests kill: a process that applies a log, and one that commits to a journal.

`apply <environment>` applies the made-up log of `log_record` for ever, saying each revision;
`compress <environment>` does so too, and rewrites everything with other dictionaries in between;
`commit <directory> <prefix>` commits pods to the journal at <directory>/s, saying each name once it
is acknowledged.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from journal.client import JournalClient
from storage.applier import Applier, Entry, rebuild_indexes
from storage.environment import Environment
from storage.store import Store, StoreOptions
from storage.txn import ABSENT, ANY, Committed, Compact, Delete, Op, Put, encode
from storage.types_table import TypeTable
from tests.unit.storage.replicas import Replica

INDEXES = {"pods": ("spec.nodeName",)}
BODY = b'{"metadata":{"resourceVersion":""}}'
PASS_ENTRIES = 40
WRITERS = 16


def log_record(sequence: int) -> bytes:
    """Return the record of a log that everyone can make up for himself."""
    chance = random.Random(sequence)
    name = f"p{chance.randrange(400)}"
    meta = b"\0\0\x01spec.nodeName=n%d\x01" % chance.randrange(9)
    # Some values are larger than a page.
    body = BODY + b" " * chance.choice((10, 900, 9000))
    ops: dict[int, Op] = {
        0: Delete("pods", "default", name),
        1: Compact(max(0, sequence - 300)),
    }
    put = Put("pods", "default", name, meta, body, BODY.index(b'""') + 1, ANY)
    return encode((ops.get(chance.randrange(12), put),), sequence.to_bytes(16, "big"))


def entries_after(sequence: int, count: int) -> list[Entry]:
    """Return a piece of that log."""
    return [Entry(at, at, log_record(at)) for at in range(sequence + 1, sequence + 1 + count)]


def open_applier(path: Path) -> tuple[Environment, Applier]:
    """Open an environment as a replica does."""
    environment = Environment(path)
    types = TypeTable(INDEXES)
    applier = Applier(environment, types)
    rebuild_indexes(environment, types)
    return environment, applier


def store_options(directory: Path) -> StoreOptions:
    """Return where the committing process keeps its replica."""
    return StoreOptions(
        memory_path=directory / "memory",
        data_path=directory / "data",
        partitions={"default": ()},
        indexes=INDEXES,
    )


def say(text: str) -> None:
    """Tell the test, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run_apply(path: Path) -> None:
    """Apply for ever, saying the revision after each pass."""
    _, applier = open_applier(path)
    while True:
        applier.apply(entries_after(applier.position.applied_sequence, PASS_ENTRIES))
        say(str(applier.position.applied_sequence))


def run_compress(path: Path) -> None:
    """Apply for ever, compressing what there is before each pass, and say each revision."""
    replica = Replica(path)
    while True:
        replica.compress()
        replica.partition.apply(entries_after(replica.partition.revision, PASS_ENTRIES))
        say(str(replica.partition.revision))


async def run_commit(directory: Path, prefix: str) -> None:
    """Commit for ever, saying each name that was acknowledged."""
    body_at = BODY.index(b'""') + 1

    async def write(store: Store, writer: int) -> None:
        number = 0
        while True:
            name = f"{prefix}-{writer}-{number}"
            outcome = await store.commit(
                (Put("pods", "default", name, b"", BODY, body_at, ABSENT),), 20
            )
            assert isinstance(outcome, Committed)
            say(name)
            number += 1

    async with (
        JournalClient(f"unix:{directory}/s") as journal,
        Store(journal, store_options(directory)) as store,
    ):
        await asyncio.gather(*(write(store, writer) for writer in range(WRITERS)))


if __name__ == "__main__":
    if sys.argv[1] == "apply":
        run_apply(Path(sys.argv[2]))
    elif sys.argv[1] == "compress":
        run_compress(Path(sys.argv[2]))
    else:
        asyncio.run(run_commit(Path(sys.argv[2]), sys.argv[3]))
