"""Objects kept in step with the replica: what was committed is there at the next look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from apiserver import following
from apiserver.following import Following
from journal.memory import MemoryEngine
from storage.store import Store, StoreOptions
from storage.txn import ANY, Delete, Put
from storage.watcher import Scope

_HEAD = b'{"metadata":{"resourceVersion":"'
Json = dict[str, Any]


class Kept:
    """A sink that remembers names and what each has."""

    def __init__(self) -> None:
        self.objects: dict[str, str] = {}
        self.clears = 0

    def put(self, _storage: str, obj: Json) -> None:
        self.objects[obj["metadata"]["name"]] = obj["metadata"].get("node", "")

    def drop(self, _storage: str, _namespace: str, name: str) -> None:
        self.objects.pop(name, None)

    def clear(self, _storage: str) -> None:
        self.clears += 1
        self.objects.clear()


@asynccontextmanager
async def _store(directory: Path) -> AsyncIterator[Store]:
    options = StoreOptions(
        directory / "memory", directory / "data", indexes={"pods": ("spec.nodeName",)}
    )
    async with Store(MemoryEngine(), options) as store:
        yield store


async def _put(store: Store, name: str, node: str = "", resource: str = "pods") -> None:
    metadata = {"resourceVersion": "", "name": name, "node": node}
    body = orjson.dumps({"metadata": metadata})
    meta = f"\0\0\x01spec.nodeName={node}\x01".encode()
    await store.commit((Put(resource, "a", name, meta, body, len(_HEAD), ANY),), 5)


def test_what_is_committed_is_there_at_the_next_look(tmp_path: Path) -> None:
    async def run() -> None:
        async with _store(tmp_path) as store:
            kept = Kept()
            followed = Following(store, [Scope("pods")], kept)
            await _put(store, "x")
            assert followed.settle()
            for number in range(50):
                await _put(store, f"y{number}")
                assert followed.settle()
                assert f"y{number}" in kept.objects
                assert not followed.settle()
            await store.commit((Delete("pods", "a", "x", ANY),), 5)
            assert followed.settle()
            assert "x" not in kept.objects
            assert (len(kept.objects), kept.clears) == (50, 1)
            followed.close()

    asyncio.run(run())


def test_who_has_asked_is_told_of_every_change_before_it_can_be_decided_on(tmp_path: Path) -> None:
    async def run() -> None:
        async with _store(tmp_path) as store:
            told: list[int] = []
            followed = Following(store, [Scope("pods"), Scope("nodes")], Kept())
            followed.when_due(lambda: told.append(1))
            assert told, "nothing has been read yet"
            followed.settle()
            for number in range(5):
                told.clear()
                await _put(store, f"y{number}")
                await _put(store, f"z{number}", resource="nodes")
                assert told
                assert followed.settle()
                told.clear()
                await _put(store, f"y{number}", resource="secrets")
                assert not followed.settle()
                assert not told
            hub = store.partition_of("pods").hub
            for watcher in list(hub._live):
                watcher.position = 0
            hub.skip(hub.revision, 0)
            assert told, "they are live no longer"
            told.clear()
            followed.settle()
            assert told, "nobody says when one that catches up has news"

    asyncio.run(run())


def test_what_leaves_a_scope_is_forgotten(tmp_path: Path) -> None:
    async def run() -> None:
        async with _store(tmp_path) as store:
            kept = Kept()
            followed = Following(store, [Scope("pods", field=("spec.nodeName", "n"))], kept)
            await _put(store, "x", "n")
            await _put(store, "y", "m")
            followed.settle()
            assert kept.objects == {"x": "n"}
            await _put(store, "x", "m")
            await _put(store, "y", "n")
            followed.settle()
            assert kept.objects == {"y": "n"}

    asyncio.run(run())


def test_a_watcher_that_was_given_up_is_made_up_for_by_reading_all(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(following, "_CAPACITY", 3)

    async def run() -> None:
        async with _store(tmp_path) as store:
            kept = Kept()
            followed = Following(store, [Scope("pods")], kept)
            followed.settle()
            for number in range(20):
                await _put(store, f"y{number}")
            assert followed.settle()
            assert len(kept.objects) == 20
            assert kept.clears == 2

    asyncio.run(run())


def test_one_that_fell_behind_reads_again_only_if_its_type_has_changed(tmp_path: Path) -> None:
    async def run() -> None:
        async with _store(tmp_path) as store:
            kept = Kept()
            followed = Following(store, [Scope("pods")], kept)
            followed.settle()
            hub = store.partition_of("pods").hub
            for resource, clears in (("nodes", 1), ("pods", 2)):
                await _put(store, "x", resource=resource)
                # As a worker does that has to take more than a step may hold.
                revision = store.current_revision("pods")
                hub.revision = revision - 1
                for watcher in list(hub._live):
                    watcher._pending.clear()
                    watcher.position = revision - 1
                hub.skip(revision, 0)
                assert followed.settle() is (resource == "pods")
                assert kept.clears == clears
            assert "x" in kept.objects

    asyncio.run(run())
