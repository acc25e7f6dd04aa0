"""The state machine: conditions, outcomes, and that a pass is whole or absent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from storage.applier import Entry, Sent
from storage.environment import Environment
from storage.errors import (
    CorruptTransaction,
    ReplicaLocked,
    StorageFull,
    UnsupportedTransaction,
)
from storage.scan import Query
from storage.txn import (
    ABSENT,
    ANY,
    Check,
    Committed,
    Compact,
    Delete,
    Init,
    Outcome,
    Put,
    Rejected,
    encode,
)
from storage.types_table import INDEX_VALUE_BYTES_MAX
from tests.unit.storage.replicas import Replica, body_at, meta, put, record_of


@pytest.fixture(params=[False, True], ids=["plain", "compressed"])
def replica(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Replica]:
    """Return an empty replica."""
    one = Replica(tmp_path / "replica", compressing=request.param)
    yield one
    one.close()


def committed(outcome: Outcome) -> Committed:
    """Return an outcome that must be a commit."""
    assert isinstance(outcome, Committed)
    return outcome


def test_a_put_returns_the_object_with_its_revision_in_the_body(replica: Replica) -> None:
    outcome = committed(replica.run(put("web", node="n1", expected=ABSENT)))
    (record,) = outcome.records
    assert record is not None
    assert outcome.revision == record.create_revision == record.mod_revision == 1
    assert record.body == body_at(1)
    assert record.meta == meta(node="n1")
    assert replica.partition.get("pods", "default", "web", None) == record


def test_an_update_keeps_the_create_revision(replica: Replica) -> None:
    replica.run(put("web"))
    outcome = committed(replica.run(put("web", expected=1)))
    (record,) = outcome.records
    assert record is not None
    assert (record.create_revision, record.mod_revision) == (1, 2)


def test_a_create_of_an_existing_object_is_rejected_with_it(replica: Replica) -> None:
    replica.run(put("web"))
    outcome = replica.run(put("web", expected=ABSENT))
    assert isinstance(outcome, Rejected)
    assert outcome == Rejected(0, replica.partition.get("pods", "default", "web", None))


def test_a_stale_update_is_rejected_and_changes_nothing(replica: Replica) -> None:
    replica.run(put("web"))
    replica.run(put("web"))
    before = replica.dump()["objects"]
    assert isinstance(replica.run(put("web", expected=1)), Rejected)
    assert replica.dump()["objects"] == before
    assert replica.partition.revision == 3


@pytest.mark.parametrize("expected", [ANY, 7])
def test_a_delete_of_nothing_is_rejected(replica: Replica, expected: int) -> None:
    assert replica.run(Delete("pods", "default", "web", expected)) == Rejected(0, None)


def test_a_delete_returns_the_last_state_at_the_revision_of_the_delete(replica: Replica) -> None:
    for _ in range(9):
        replica.run(put("web", node="n1"))
    outcome = committed(replica.run(Delete("pods", "default", "web", 9)))
    (record,) = outcome.records
    assert record is not None
    # One digit became two: the old ones must be cut out, not overwritten.
    assert record.body == body_at(10)
    assert (record.create_revision, record.mod_revision) == (1, 10)
    assert replica.partition.get("pods", "default", "web", None) is None


def test_one_failing_condition_keeps_a_whole_transaction_from_happening(replica: Replica) -> None:
    replica.run(put("a"))
    outcome = replica.run(put("b"), Check("pods", "default", "a", ABSENT), put("c"))
    assert isinstance(outcome, Rejected)
    assert outcome.op_index == 1
    assert replica.names(Query("pods")) == ["default/a"]


def test_a_transaction_returns_a_record_for_each_operation(replica: Replica) -> None:
    replica.run(put("a"), put("b", resource="services"))
    outcome = committed(
        replica.run(
            put("c"),
            Delete("pods", "default", "a"),
            Check("services", "default", "b", 1),
            Check("services", "default", "nothing", ABSENT),
            Compact(1),
        )
    )
    names = [record.name if record else None for record in outcome.records]
    assert names == ["c", "a", "b", None, None]


def test_a_rejected_first_put_of_a_resource_gives_it_no_id(replica: Replica) -> None:
    replica.run(put("a", resource="widgets", expected=5))
    assert replica.partition.types.find("widgets") is None


def test_only_the_first_init_names_the_log(replica: Replica) -> None:
    replica.run(Init(b"a" * 16))
    replica.run(Init(b"b" * 16))
    assert replica.partition.position.identity == b"a" * 16


def test_an_older_compact_is_without_effect(replica: Replica) -> None:
    for _ in range(4):
        replica.run(put("a"))
    replica.run(Compact(3))
    history = replica.dump()["events"]
    replica.run(Compact(2))
    assert replica.partition.compact_revision == 3
    assert replica.dump()["events"] == history


def test_a_compact_never_passes_its_own_revision(replica: Replica) -> None:
    replica.run(put("a"))
    replica.run(Compact(1000))
    assert replica.partition.compact_revision == 2


def test_compaction_leaves_only_live_objects_behind(replica: Replica) -> None:
    for name in ("a", "b", "a", "b", "a"):
        replica.run(put(name))
    replica.run(Delete("pods", "default", "b"))
    replica.run(Compact(7))
    dump = replica.dump()
    assert dump["events"] == dump["versions"] == []
    assert replica.names(Query("pods")) == ["default/a"]


def test_an_index_entry_moves_with_its_value(replica: Replica) -> None:
    def on(node: str) -> list[str]:
        return replica.names(Query("pods", index=("spec.nodeName", node)))

    replica.run(put("web"))
    assert (on(""), on("n1")) == (["default/web"], [])
    replica.run(put("web", node="n1"))
    assert (on(""), on("n1")) == ([], ["default/web"])
    replica.run(Delete("pods", "default", "web"))
    assert on("n1") == []
    assert replica.dump()["index"] == []


def test_values_too_long_for_an_index_key_are_told_apart(replica: Replica) -> None:
    first, second = "n" * 450 + "1", "n" * 450 + "2"
    replica.run(put("a", node=first))
    replica.run(put("b", node=second))
    assert replica.names(Query("pods", index=("spec.nodeName", second))) == ["default/b"]
    replica.run(Delete("pods", "default", "a"))
    assert replica.names(Query("pods", index=("spec.nodeName", second))) == ["default/b"]


def test_a_value_as_long_as_an_index_key_is_told_from_longer_ones(replica: Replica) -> None:
    value = "n" * INDEX_VALUE_BYTES_MAX
    replica.run(put("a", node=value))
    replica.run(put("b", node=value + "n"))
    assert replica.names(Query("pods", index=("spec.nodeName", value))) == ["default/a"]


def test_an_expiry_goes_when_its_object_does_or_is_renewed(replica: Replica) -> None:
    replica.run(put("a", expires_at_ms=100))
    replica.run(put("a", expires_at_ms=200))
    replica.run(put("b", expires_at_ms=100))
    replica.run(put("b", expires_at_ms=100))
    replica.run(put("c", expires_at_ms=100))
    replica.run(put("c"))
    assert [int.from_bytes(key[:8], "big") for key, _ in replica.dump()["expiry"]] == [100, 200]
    replica.run(Delete("pods", "default", "a"))
    replica.run(Delete("pods", "default", "b"))
    assert replica.dump()["expiry"] == []


def test_a_damaged_entry_stops_the_replica_and_undoes_its_pass(replica: Replica) -> None:
    replica.run(put("a"))
    before = replica.dump()
    with pytest.raises(CorruptTransaction, match="record 3: not a valid transaction"):
        replica.apply_records([record_of(put("b", resource="new")), b"rubbish"])
    assert replica.dump() == before
    assert replica.partition.revision == 1
    assert replica.partition.types.find("new") is None
    replica.apply_records([record_of(put("b"))])
    assert replica.partition.revision == 2


def test_an_entry_of_a_newer_format_names_its_sequence(replica: Replica) -> None:
    record = bytearray(record_of(put("a")))
    record[0] = 3
    with pytest.raises(UnsupportedTransaction, match="record 1: transaction format 3"):
        replica.apply_records([bytes(record)])


def test_a_full_map_undoes_the_pass_and_leaves_the_replica_usable(replica: Replica) -> None:
    replica.run(put("a"))
    large = Put("pods", "default", "b", b"", b"x" * (80 << 20), 0, ANY)
    before = replica.dump()
    with pytest.raises(StorageFull):
        replica.apply_records([record_of(put("c")), record_of(large)])
    assert replica.dump() == before
    assert isinstance(replica.run(put("c")), Committed)
    assert replica.partition.count("pods", None) == 2


@pytest.mark.parametrize("text", ["No space left on device", "Input/output error"])
def test_a_write_that_the_tmpfs_cut_short_is_a_lack_of_space(replica: Replica, text: str) -> None:
    # LMDB reports a short write, which only a full tmpfs makes, as EIO.
    with (
        pytest.raises(StorageFull, match=text),
        replica.partition.environment.write(),
    ):
        raise lmdb.Error(f"mdb_txn_commit: {text}")
    assert isinstance(replica.run(put("c")), Committed)


def test_a_gap_in_the_log_is_never_applied(replica: Replica) -> None:
    with pytest.raises(AssertionError, match="gap"):
        replica.partition.apply([Entry(2, 0, encode((Compact(1),), bytes(16)))])
    assert replica.partition.revision == 0


def test_counts_and_ids_survive_a_restart(replica: Replica, tmp_path: Path) -> None:
    replica.run(put("a"), put("n", resource="nodes"))
    replica.run(put("b"))
    before = replica.dump()
    replica.close()
    again = Replica(tmp_path / "replica")
    try:
        assert again.dump() == before
        assert again.partition.count("pods", None) == 2
        assert again.partition.count("nodes", None) == 1
        again.run(put("c"))
        assert again.partition.count("pods", None) == 3
    finally:
        again.close()


def test_indexes_follow_a_changed_declaration(replica: Replica, tmp_path: Path) -> None:
    replica.run(put("a", node="n1"))
    replica.close()
    bare = Replica(tmp_path / "replica", indexes={})
    assert bare.dump()["index"] == []
    assert bare.names(Query("pods", index=("spec.nodeName", "n1"))) == ["default/a"]
    bare.run(put("b", node="n1"))
    bare.close()
    again = Replica(tmp_path / "replica")
    try:
        assert len(again.dump()["index"]) == 2
        query = Query("pods", index=("spec.nodeName", "n1"))
        assert again.names(query) == ["default/a", "default/b"]
    finally:
        again.close()


def test_two_processes_cannot_apply_to_one_replica(replica: Replica) -> None:
    with pytest.raises(ReplicaLocked):
        Environment(replica.path)


def test_what_was_sent_from_here_is_applied_as_the_log_has_it(
    replica: Replica, tmp_path: Path
) -> None:
    sent_from_here = (put("a", node="n1", expected=ABSENT), Check("pods", "default", "b", ABSENT))
    record = record_of(*sent_from_here)
    other = Replica(tmp_path / "other")
    sent = {record[1:17]: Sent(record, sent_from_here)}
    try:
        applied = other.partition._applier.apply([Entry(1, 0, record)], sent)
        assert [outcome for _, outcome in applied.outcomes] == replica.apply_records([record])
        assert other.dump() == replica.dump()
    finally:
        other.close()


def test_the_log_counts_where_it_differs_from_what_was_sent(replica: Replica) -> None:
    record = record_of(put("a"))
    sent = {record[1:17]: Sent(record_of(put("b")), (put("b"),))}
    applied = replica.partition._applier.apply([Entry(1, 0, record)], sent)
    assert [event.record.name for event in applied.events] == ["a"]
