"""Sealed bytes, sealed records of the log, sealed checkpoints."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_digest

from journal.memory import MemoryEngine
from storage.applier import Entry
from storage.checkpoint import install_checkpoint, list_checkpoints, write_checkpoint
from storage.checkpoint_seal import is_stale
from storage.codec import Codec
from storage.envelope import Envelope, StaticKey
from storage.errors import CorruptTransaction, PartitionFailed, SealBroken
from storage.txn import Check, Delete, Put, decode, digest_of, encode, transaction_id_of
from tests.unit.storage.replicas import BODY, SPLICE_AT, Replica, put, running_store
from tests.unit.storage.sealed import TestSealers

KEY, OTHER = ("one", b"k" * 32), ("two", b"o" * 16)
ID = bytes(range(16))
SECRET = Put("secrets", "default", "canary-name", b"\0canary=label\0", BODY, SPLICE_AT, 0)


def envelope(*keys: tuple[str, bytes], reads_plain: bool = False) -> Envelope:
    sources = [StaticKey(f"aesgcm:v1:{name}", key) for name, key in keys]
    return Envelope(sources, reads_plain=reads_plain)


@given(st.binary(max_size=300), st.binary(max_size=40))
def test_what_was_sealed_opens_under_its_context(plain: bytes, context: bytes) -> None:
    sealer = envelope(KEY, OTHER)
    sealed = sealer.seal(plain, context)
    assert sealer.open(sealed, context) == plain
    assert envelope(OTHER, KEY).open(sealed, context) == plain
    assert sealer.seal(plain, context) != sealed


@given(st.binary(max_size=60), st.binary(max_size=9), st.binary(max_size=9))
def test_sealed_bytes_open_under_no_other_context(plain: bytes, one: bytes, other: bytes) -> None:
    sealer = envelope(KEY)
    sealed = sealer.seal(plain, one)
    if one != other:
        with pytest.raises(SealBroken, match="aesgcm key 'one'"):
            sealer.open(sealed, other)


@settings(max_examples=8)
@given(st.binary(min_size=1, max_size=30), st.integers(1, 255))
def test_no_byte_of_sealed_bytes_can_be_changed_or_cut_off(plain: bytes, change: int) -> None:
    sealer = envelope(KEY)
    sealed = sealer.seal(plain, b"here")
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= change
        with pytest.raises(SealBroken):
            sealer.open(bytes(changed), b"here")
        with pytest.raises(SealBroken):
            sealer.open(sealed[:at], b"here")


def test_a_key_that_is_missing_is_told_from_another_of_its_name() -> None:
    sealed = envelope(KEY).seal(b"plain", b"")
    with pytest.raises(SealBroken, match="'one', which is none of those configured"):
        envelope(OTHER).open(sealed, b"")
    with pytest.raises(SealBroken, match="configured under that name does not open it"):
        envelope(("one", b"x" * 32)).open(sealed, b"")


def test_of_two_keys_with_one_name_the_right_one_is_found() -> None:
    sealed = envelope(KEY).seal(b"plain", b"")
    assert envelope(("one", b"x" * 32), KEY).open(sealed, b"") == b"plain"


def test_what_is_in_the_clear_is_taken_only_where_that_is_said() -> None:
    plain = Envelope([], writes_plain=True, reads_plain=True).seal(b"plain", b"")
    assert envelope(KEY, reads_plain=True).open(plain, b"") == b"plain"
    with pytest.raises(SealBroken, match="in the clear"):
        envelope(KEY).open(plain, b"")


def test_a_sealed_record_says_its_resource_and_nothing_else() -> None:
    codec = Codec("default", TestSealers(KEY))
    record = codec.encode((SECRET, Check("pods", "default", "canary-pod", 3)), ID)
    assert b"secrets" in record
    for hidden in (b"canary", b"default", b"resourceVersion", b"pods"):
        assert hidden not in record
    assert transaction_id_of(record) == ID
    assert codec.decode(record).id == ID
    assert codec.decode(record).ops == (SECRET, Check("pods", "default", "canary-pod", 3))
    assert digest_of(record) != digest_of(codec.encode((SECRET,), ID))


def test_what_has_no_key_is_written_as_without_encryption() -> None:
    ops = (put("a"),)
    codec = Codec("default", TestSealers(KEY))
    assert codec.encode(ops, ID) == encode(ops, ID)
    assert codec.decode(encode(ops, ID)) == decode(encode(ops, ID))


def test_deletes_of_encrypted_objects_are_in_the_clear() -> None:
    ops = (Delete("secrets", "default", "a"),)
    codec = Codec("default", TestSealers(KEY))
    assert codec.encode(ops, ID) == encode(ops, ID)
    assert codec.decode(encode(ops, ID)).ops == ops


def test_without_encryption_encoding_is_that_of_transactions_itself() -> None:
    assert Codec("default", None).encode is encode


def test_a_sealed_record_opens_in_no_other_stream_under_no_other_id_or_resource() -> None:
    sealers = TestSealers(KEY, resources=("secrets", "configmap"))
    record = Codec("default", sealers).encode((SECRET,), ID)
    with pytest.raises(SealBroken):
        Codec("other", sealers).decode(record)
    # As whoever can write to the disk would do it: with a digest that is right.
    for moved in (
        record[:1] + bytes(16) + record[17:-8],
        record[:-8].replace(b"\x07secrets", b"\x09configmap", 1),
    ):
        with pytest.raises((SealBroken, CorruptTransaction)):
            Codec("default", sealers).decode(moved + xxh3_64_digest(moved))


def test_damage_of_a_sealed_record_is_told_from_a_key_that_does_not_open_it() -> None:
    record = Codec("default", TestSealers(KEY)).encode((SECRET,), ID)
    for at in range(1, len(record)):
        damaged = bytearray(record)
        damaged[at] ^= 1
        with pytest.raises(CorruptTransaction):
            Codec("default", TestSealers(KEY)).decode(bytes(damaged))
    with pytest.raises(SealBroken, match=r"stream 'default', secrets: it is sealed with aesgcm"):
        Codec("default", TestSealers(OTHER)).decode(record)
    with pytest.raises(SealBroken, match=r"aesgcm key 'one', and no key is configured"):
        Codec("default", None).decode(record)


def test_objects_in_the_clear_are_refused_where_identity_is_no_provider() -> None:
    record = encode((SECRET,), ID)
    with pytest.raises(SealBroken, match="`identity` is none of the providers"):
        Codec("default", TestSealers(KEY)).decode(record)
    assert Codec("default", TestSealers(KEY, reads_plain=True)).decode(record).ops == (SECRET,)


def test_an_entry_without_its_key_stops_the_replica_names_itself_and_is_not_applied(
    tmp_path: Path,
) -> None:
    replica = Replica(tmp_path)
    record = Codec("pods", TestSealers(KEY)).encode((SECRET,), ID)
    with pytest.raises(SealBroken, match=r"record 1: stream 'pods', secrets: .*'one'"):
        replica.partition.apply([Entry(1, 0, record)])
    assert replica.partition.revision == 0
    replica.close()


def test_a_store_reads_what_another_sealed_and_stops_without_the_key(tmp_path: Path) -> None:
    async def run() -> None:
        journal, sealers = MemoryEngine(), TestSealers(KEY)
        async with running_store(tmp_path / "a", journal, sealers=sealers) as store:
            outcome = await store.commit((SECRET,), 5)
            async with running_store(tmp_path / "b", journal, sealers=sealers) as other:
                found = other.get("secrets", "default", "canary-name")
                assert found == store.get("secrets", "default", "canary-name")
                assert found is not None
            assert not isinstance(outcome, Exception)
        with pytest.raises(PartitionFailed, match="sealed with aesgcm key 'one'"):
            async with running_store(tmp_path / "c", journal):
                pass

    asyncio.run(run())


def test_a_sealed_checkpoint_holds_nothing_in_the_clear_and_is_read_back(tmp_path: Path) -> None:
    replica = Replica(tmp_path / "memory")
    replica.run(SECRET)
    directory = tmp_path / "default"
    sealer = envelope(KEY)
    txn = replica.environment.read()
    written = write_checkpoint(replica.environment, txn, 1, directory, sealer=sealer)
    assert b"canary" not in written.path.read_bytes()
    assert b"resourceVersion" not in written.path.read_bytes()
    expected = replica.dump()
    replica.close()
    assert install_checkpoint(written, tmp_path / "again", sealer=envelope(OTHER, KEY))
    again = Replica(tmp_path / "again")
    assert again.dump() == expected
    again.close()


def test_a_checkpoint_whose_key_is_another_is_refused_and_one_that_is_damaged_is_damaged(
    tmp_path: Path,
) -> None:
    replica = Replica(tmp_path / "memory")
    replica.run(SECRET)
    directory = tmp_path / "default"
    txn = replica.environment.read()
    written = write_checkpoint(replica.environment, txn, 1, directory, sealer=envelope(KEY))
    replica.close()
    content = written.path.read_bytes()
    for sealer in (envelope(OTHER), envelope(("one", b"x" * 32)), None):
        with pytest.raises(SealBroken, match=rf"{written.path}: it is sealed with .* 'one'"):
            install_checkpoint(written, tmp_path / "again", sealer=sealer)
    assert not list((tmp_path / "again").glob("*"))
    assert written.path.read_bytes() == content
    assert [kept.path for kept in list_checkpoints(directory)] == [written.path]
    written.path.write_bytes(content[:-9] + b"damage" + content[-3:])
    assert not install_checkpoint(written, tmp_path / "again", sealer=envelope(KEY))


def test_a_checkpoint_is_stale_once_another_key_is_written_with(tmp_path: Path) -> None:
    replica = Replica(tmp_path / "memory")
    replica.run(SECRET)
    for sealer, stale_for in ((envelope(KEY), envelope(OTHER, KEY)), (None, envelope(KEY))):
        txn = replica.environment.read()
        shutil.rmtree(tmp_path / "default", ignore_errors=True)
        directory = tmp_path / "default"
        written = write_checkpoint(replica.environment, txn, 1, directory, sealer=sealer)
        assert is_stale(written, stale_for)
        assert not is_stale(written, sealer)
    assert not is_stale(written, Envelope([], writes_plain=True))
    replica.close()


def test_a_checkpoint_that_nothing_sealed_is_read_by_who_has_no_keys(tmp_path: Path) -> None:
    replica = Replica(tmp_path / "memory")
    replica.run(SECRET)
    sealer = Envelope([], writes_plain=True, reads_plain=True)
    txn = replica.environment.read()
    written = write_checkpoint(replica.environment, txn, 1, tmp_path / "default", sealer=sealer)
    expected = replica.dump()
    replica.close()
    assert install_checkpoint(written, tmp_path / "again")
    again = Replica(tmp_path / "again")
    assert again.dump() == expected
    again.close()


def test_a_wrong_key_is_refused_and_no_older_checkpoint_is_used_for_it(tmp_path: Path) -> None:
    async def run() -> None:
        journal = MemoryEngine()
        # The older one is in the clear: a replica that took the key for damage would use it.
        async with running_store(tmp_path / "a", journal) as store:
            await store.commit((put("a"),), 5)
            await store.checkpoint()
        sealers = TestSealers(KEY, reads_plain=True)
        async with running_store(tmp_path / "a", journal, sealers=sealers) as store:
            await store.commit((put("b"),), 5)
            await store.checkpoint()
        shutil.rmtree(tmp_path / "a" / "memory")
        for wrong in (None, TestSealers(("one", b"x" * 32), reads_plain=True)):
            with pytest.raises(SealBroken, match="'one'"):
                async with running_store(tmp_path / "a", journal, sealers=wrong):
                    pass
        async with running_store(tmp_path / "a", journal, sealers=sealers) as store:
            assert store.get("pods", "default", "b") is not None

    asyncio.run(run())
