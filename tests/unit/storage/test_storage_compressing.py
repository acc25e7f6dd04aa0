"""Large types are compressed in memory, and nobody can tell from what is read."""

from __future__ import annotations

import asyncio
import random
import struct
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import lmdb
import pytest

from journal.memory import MemoryEngine
from runtime.clock import SimulatedClock
from storage import compressing, values
from storage.compressing import Compressing
from storage.dictionaries import PER_TYPE_MAX, read_dictionaries
from storage.environment import DATA_NAME
from storage.position import FORMAT_VERSION
from storage.scan import Query
from storage.txn import ANY, Put
from tests.unit.storage.replicas import Replica, drain, meta, record_of, running_store
from tests.unit.storage.stores import default

COUNT = 400
ENOUGH_BYTES = 20_000
PROSE = "the quick brown fox " * 20
NODE = ("spec.nodeName", "n3")


def put_of(number: int, *, noise: int = 8, prose: str = PROSE, name: str = "") -> Put:
    """Return a put of an object of which `noise` bytes can't be guessed."""
    secret = b64encode(random.Random(number).randbytes(noise)).decode()
    head = b'{"metadata":{"resourceVersion":""'
    body = head + f',"name":"p{number}"}},"secret":"{secret}","prose":"{prose}"}}'.encode()
    blob = meta(f"n={number % 2}", f"n{number % 7}")
    return Put("pods", "default", name or f"p{number:04}", blob, body, len(head) - 1, ANY)


def filled(path: Path, make: Callable[[int], Put] = put_of) -> Replica:
    """Return a replica of `COUNT` objects, each of them updated once."""
    replica = Replica(path)
    for _ in range(2):
        replica.apply_records([record_of(make(number)) for number in range(COUNT)])
    return replica


def compress(replica: Replica, plain_bytes_max: int = ENOUGH_BYTES) -> Compressing:
    """Do all that is due."""
    found = Compressing(replica.partition, replica.clock, plain_bytes_max)
    settle(found)
    return found


def settle(found: Compressing) -> None:
    """Learn what is due, and rewrite until nothing is left."""
    asyncio.run(found.learn())
    while found.step():
        pass


def stored_bytes(replica: Replica) -> int:
    """Return the bytes of all stored values, without their headers."""
    txn, objects = replica.environment.read(), replica.environment.objects
    try:
        return sum(len(value) - values.HEADER_BYTES for _, value in txn.cursor(objects))
    finally:
        txn.abort()


async def until(happened: Callable[[], object]) -> None:
    """Return once something has happened that a thread may have to do with."""
    async with asyncio.timeout(20):
        while not happened():  # noqa: ASYNC110 -- nothing tells when
            await asyncio.sleep(0.001)


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    """Return a replica of many pods that are alike."""
    one = filled(tmp_path / "replica")
    yield one
    one.close()


def test_what_is_read_stays_as_it_was_byte_for_byte(replica: Replica) -> None:
    partition = replica.partition
    before, digest = replica.dump(), partition.state_hash()
    queries = (Query("pods"), Query("pods", revision=COUNT + 50), Query("pods", index=NODE))
    listed = [drain(replica.scan(query)) for query in queries]
    bodies = drain(replica.bodies(Query("pods"), strip=5))
    size_bytes = stored_bytes(replica)
    compress(replica)
    assert replica.compressed() == COUNT
    assert stored_bytes(replica) < size_bytes / 2
    assert replica.dump() == before
    assert partition.state_hash() == digest
    assert [drain(replica.scan(query)) for query in queries] == listed
    assert drain(replica.bodies(Query("pods"), strip=5)) == bodies
    assert all(partition.get(*record[:3], None) == record for record in listed[0])


def test_replicas_agree_whenever_they_began_to_compress(replica: Replica, tmp_path: Path) -> None:
    other = filled(tmp_path / "other")
    compress(replica)
    for one in (replica, other):
        one.apply_records([record_of(put_of(number, name="again")) for number in range(50)])
    assert other.partition.state_hash() == replica.partition.state_hash()
    assert other.compressed() == 0
    assert replica.compressed() > COUNT
    plain = [entry.plain_bytes for one in (replica, other) for entry in one.partition.types]
    assert plain == [stored_bytes(other)] * 2
    other.close()


def test_a_type_with_few_bytes_stays_plain(replica: Replica) -> None:
    compress(replica, plain_bytes_max=1 << 20)
    assert replica.compressed() == 0
    assert read_dictionaries(replica.environment) == []


def test_what_does_not_become_much_smaller_stays_plain(tmp_path: Path) -> None:
    def noisy(number: int) -> Put:
        return put_of(number, noise=2000, prose="")

    one = filled(tmp_path / "noisy", noisy)
    found = compress(one)
    assert one.compressed() == 0
    assert not any(found._is_due(entry) for entry in one.partition.types)
    # Twice as many are looked at again.
    one.apply_records([record_of(noisy(number)) for number in range(COUNT, 2 * COUNT + 10)])
    assert all(found._is_due(entry) for entry in one.partition.types)
    one.close()


def test_large_values_stay_plain(replica: Replica) -> None:
    compress(replica)
    before = replica.compressed()
    replica.run(put_of(1, name="large", prose="x" * values.CONTENT_BYTES_MAX))
    assert replica.compressed() == before
    replica.run(put_of(1, name="smaller", prose="x" * (values.CONTENT_BYTES_MAX // 2)))
    assert replica.compressed() == before + 1


def test_compression_goes_on_after_a_restart_and_old_values_are_read_without_it(
    replica: Replica,
) -> None:
    compress(replica)
    before, compressed = replica.dump(), replica.compressed()
    replica.close()
    off = Replica(replica.path)
    assert off.dump() == before
    off.run(put_of(0, name="plain"))
    assert off.compressed() == compressed
    on = Compressing(off.partition, off.clock, ENOUGH_BYTES)
    off.run(put_of(0, name="packed"))
    assert off.compressed() == compressed + 1
    settle(on)
    assert off.compressed() == compressed + 2
    assert len(read_dictionaries(off.environment)) == 1
    off.close()


def test_other_content_gets_other_dictionaries_but_not_for_ever(replica: Replica) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(values, "_WINDOW_VALUES", COUNT)
        found = compress(replica)
        for fashion in range(PER_TYPE_MAX + 2):
            prose = random.Random(fashion).randbytes(400).hex()
            changed = [record_of(put_of(number, prose=prose)) for number in range(COUNT)]
            replica.apply_records(changed)
            settle(found)
    assert len(read_dictionaries(replica.environment)) == PER_TYPE_MAX
    found_bodies = [record.body for record in drain(replica.scan(Query("pods")))]
    assert all(prose.encode() in body for body in found_bodies)


def test_a_full_tmpfs_stops_compression_only_for_a_while(replica: Replica) -> None:
    async def run() -> None:
        partition, clock = replica.partition, SimulatedClock()
        found = Compressing(partition, clock, ENOUGH_BYTES)
        with pytest.MonkeyPatch.context() as patch:

            def full(*_: object) -> int:
                raise lmdb.MapFullError("mdb_put: MDB_MAP_FULL")

            patch.setattr(compressing, "add_dictionary", full)
            task = asyncio.create_task(found.run())
            await until(lambda: clock.sleeping)
        assert replica.compressed() == 0
        await clock.advance(compressing.FULL_SECONDS)
        await until(replica.compressed)
        assert not task.done()
        task.cancel()

    asyncio.run(run())


def test_a_replica_with_a_damaged_dictionary_is_rebuilt(tmp_path: Path) -> None:
    async def run() -> None:
        journal, clock = MemoryEngine(), SimulatedClock()
        async with running_store(tmp_path, journal, clock, plain_bytes_max=ENOUGH_BYTES) as store:
            for number in range(COUNT):
                await store.commit((put_of(number),), 5)
            environment, expected = default(store).environment, default(store).state_hash()
            await clock.advance(compressing.CHECK_SECONDS)
            await until(lambda: read_dictionaries(environment))
            kept = read_dictionaries(environment)[0].data
        data = tmp_path / "memory/default" / DATA_NAME
        whole = data.read_bytes()
        at = whole.index(kept[100:200])
        data.write_bytes(whole[:at] + b"?" + whole[at + 1 :])
        async with running_store(tmp_path, journal, clock) as store:
            assert store.status()["default"]["recovered_from"] == "log"
            assert default(store).state_hash() == expected

    asyncio.run(run())


def test_what_was_written_before_there_was_compression_is_read(replica: Replica) -> None:
    before, plain = replica.dump(), [entry.plain_bytes for entry in replica.partition.types]
    with replica.environment.write() as txn:
        for key, row in before["types"]:
            count, changed, _, _ = struct.unpack_from("<QQBQ", row)
            old_row = struct.pack("<QQ", count, changed) + row[25:]
            txn.put(key, old_row, db=replica.environment.types)
        state = dict(before["meta"])[b"state"]
        old_state = struct.pack("<I", 1) + state[4:]
        txn.put(b"state", old_state, db=replica.environment.meta)
    replica.close()
    again = Replica(replica.path)
    assert [entry.plain_bytes for entry in again.partition.types] == plain
    again.run(put_of(1, name="new"))
    assert again.partition.position.format_version == FORMAT_VERSION
    compress(again)
    assert again.compressed() == COUNT + 1
    again.close()
