"""Two API servers, each with a replica of its own, on one journal: to clients they are one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from journal.client import JournalClient
from storage.environment import Environment
from storage.partition_map import DEFAULT_PARTITIONS
from storage.position import read_position
from storage.state_hash import stored_hash, walked_hash
from tests.integration.cluster import Cluster, run_cluster
from tests.integration.journal_child import JournalChild, running_journal
from tests.integration.kill_model import Key
from tests.integration.kill_traffic import collection, new_object
from tests.integration.shared_load import GOES_ON_S, SharedLoad

pytestmark = pytest.mark.slow

_REQUESTS_A_PHASE: Final = 700


@contextmanager
def two_servers(
    directory: Path, workers: int = 1
) -> Iterator[tuple[JournalChild, Cluster, Cluster]]:
    """Run a journal and two API servers, the second of which joined the first."""
    first, second = directory / "first", directory / "second"
    for path in (first, second):
        path.mkdir()
    with running_journal(directory, "--segment-mib=1") as journal:
        shared: dict[str, Any] = {
            "server": {"workers": workers},
            "journal": {"address": journal.address, "external": True},
            "storage": {"checkpoint_interval_s": 1},
            "supervisor": {"restart_delay_s_max": 0, "controllers": False},
        }
        with (
            run_cluster(first, {**shared, "memory_dir": str(first / "memory")}) as one,
            run_cluster(
                second,
                {**shared, "memory_dir": str(second / "memory"), "join": str(one.directory)},
            ) as other,
        ):
            yield journal, one, other


def _hashes(memory: Path) -> dict[str, tuple[int, str]]:
    """Return each partition's position and the digest of its state, of a server that has ended."""
    found = {}
    for name in DEFAULT_PARTITIONS:
        environment = Environment(memory / name, map_bytes=1 << 30)
        try:
            txn = environment.read()
            revision = read_position(environment, txn).applied_sequence
            found[name] = (revision, walked_hash(environment, txn))
            assert stored_hash(environment, txn) == found[name][1]
            txn.abort()
        finally:
            environment.close()
    return found


def test_requests_to_two_servers_have_one_order_whatever_is_killed(tmp_path: Path) -> None:
    with two_servers(tmp_path) as (journal, one, other):
        with SharedLoad([one, other]) as load:
            load.wait_more(_REQUESTS_A_PHASE)
            other.kill("apiserver")
            load.wait_more(_REQUESTS_A_PHASE)
            journal.kill()
            journal.start()
            load.wait_more(_REQUESTS_A_PHASE)
            other.wait_ready()
            one.kill("apiserver")
            load.wait_more(_REQUESTS_A_PHASE)
            one.wait_ready()
            load.wait_more(_REQUESTS_A_PHASE)
        load.judge()
    assert _hashes(tmp_path / "first/memory") == _hashes(tmp_path / "second/memory")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_write_through_one_server_is_seen_at_once_through_the_other(
    tmp_path: Path, workers: int
) -> None:
    with two_servers(tmp_path, workers) as (journal, one, other):
        both = [one, other]
        for turn in range(30):
            writer, reader = both[turn % 2], both[1 - turn % 2]
            made = writer.call(
                "POST", "/api/v1/namespaces", {"metadata": {"name": f"space-{turn}"}}
            )
            assert made.code == 201, made.body
            # Across partitions too: a Lease in a namespace that the other server made.
            path = collection("leases", f"space-{turn}")
            key = Key("leases", f"space-{turn}", "l")
            lease = reader.call("POST", path, new_object(key, "a"))
            assert lease.code == 201, lease.body
            changed = lease.json | {"spec": {"holderIdentity": "other"}}
            assert writer.call("PUT", f"{path}/l", changed).code == 200
            assert reader.call("GET", f"{path}/l").json["spec"] == changed["spec"]
            assert len(reader.call("GET", path).json["items"]) == 1
            assert writer.call("DELETE", f"{path}/l").code == 200
            assert reader.call("GET", f"{path}/l").code == 404
            assert reader.call("DELETE", f"{path}/l").code == 404
        # One kubeconfig's token is good for both.
        token = (one.directory / "pki/admin.token").read_text()
        assert token == (other.directory / "pki/admin.token").read_text()
        _check_tokens(one, other)
        _check_holds(journal, both)


def test_a_server_joins_a_cluster_whose_log_is_trimmed(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    with running_journal(tmp_path, "--segment-mib=1") as journal:
        shared: dict[str, Any] = {
            "journal": {"address": journal.address, "external": True},
            "storage": {"checkpoint_interval_s": 1},
            "supervisor": {"controllers": False},
        }
        with run_cluster(tmp_path / "first", shared) as one:
            path = "/api/v1/namespaces/default/configmaps"
            deadline_s = time.monotonic() + GOES_ON_S
            while _streams(journal)["default"]["first"] == 1:
                assert time.monotonic() < deadline_s, "the log is not trimmed"
                large = {"metadata": {"generateName": "c-"}, "data": {"a": "x" * 500_000}}
                assert one.call("POST", path, large).code == 201
                time.sleep(
                    0.3
                )  # a checkpoint is copied at a measured pace: it must not fall behind
            join = {**shared, "join": str(one.directory)}
            with run_cluster(tmp_path / "second", join) as other:
                names = [
                    sorted(item["metadata"]["name"] for item in c.call("GET", path).json["items"])
                    for c in (one, other)
                ]
                assert names[0] == names[1]
                assert len(names[0]) > 2


def _streams(journal: JournalChild) -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        async with JournalClient(journal.address) as client:
            return await client.stats()

    streams: dict[str, Any] = asyncio.run(ask())["streams"]
    return streams


def _check_tokens(one: Cluster, other: Cluster) -> None:
    """A service account's token that one server gives is good at the other."""
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    assert one.call("POST", accounts, {"metadata": {"name": "robot"}}).code == 201
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    given = one.call("POST", f"{accounts}/robot/token", asked)
    assert given.code == 201, given.body
    review = {"spec": {"token": given.json["status"]["token"]}}
    told = other.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
    assert told.json["status"]["authenticated"] is True
    assert told.json["status"]["user"]["username"] == "system:serviceaccount:default:robot"


def _check_holds(journal: JournalChild, both: Sequence[Cluster]) -> None:
    """Both write checkpoints, and the journal knows what each still needs."""
    deadline_s = time.monotonic() + GOES_ON_S
    while not all(_has_checkpoints(cluster) for cluster in both):
        assert time.monotonic() < deadline_s, "no checkpoints are written"
        for cluster in both:
            space = {"metadata": {"name": f"more-{time.monotonic_ns()}"}}
            assert cluster.call("POST", "/api/v1/namespaces", space).code == 201
        time.sleep(0.1)

    holds = _streams(journal)["default"]["holds"]
    assert len(holds) == 2
    assert min(holds.values()) > 1


def _has_checkpoints(cluster: Cluster) -> bool:
    return len(list(cluster.directory.glob("checkpoints/default/*.ckpt"))) == 2
