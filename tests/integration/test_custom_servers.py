"""Custom types with several workers and servers, and with processes that are killed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.integration.api_calls import collection, named
from tests.integration.cluster import Cluster, run_cluster
from tests.integration.definitions import (
    API,
    await_condition,
    await_gone,
    definition,
    install,
    version,
)
from tests.integration.test_two_servers import two_servers

pytestmark = pytest.mark.slow
GROUP = "servers.example.com"
SCHEMA = {
    "type": "object",
    "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}},
}


def test_all_workers_serve_a_type_once_one_has_established_it(tmp_path: Path) -> None:
    with run_cluster(tmp_path, {"server": {"workers": 2}}) as cluster:
        for number in range(8):
            kind = f"Kind{number}"
            install(cluster, definition(GROUP, kind, version(schema=SCHEMA), scope="Cluster"))
            made = collection(cluster, "", f"{kind.lower()}s", f"{GROUP}/v1")
            for one in range(4):  # each on a connection of its own, and so at any worker
                made.made({**named(f"o-{one}"), "spec": {"a": "x", "b": "y"}})
                assert made.get(f"o-{one}").json["spec"] == {"a": "x"}
            assert len(made.names()) == 4
            document = cluster.call("GET", f"/apis/{GROUP}/v1").json
            assert f"{kind.lower()}s" in [one["name"] for one in document["resources"]]
            assert cluster.call("DELETE", f"{API}/{kind.lower()}s.{GROUP}").code == 200
            await_gone(cluster, f"{kind.lower()}s.{GROUP}")
            assert [made.list().code for _ in range(4)] == [404] * 4


def test_what_was_begun_before_a_kill_is_done_after_it(tmp_path: Path) -> None:
    name = f"kinds.{GROUP}"
    with run_cluster(tmp_path) as cluster:
        made = definition(GROUP, "Kind", scope="Cluster")
        assert cluster.call("POST", API, made).code == 201
        # Whatever it has said of the definition by now, the next one says the rest.
        _kill(cluster)
        await_condition(cluster, name, "Established", "True")
        objects = collection(cluster, "", "kinds", f"{GROUP}/v1")
        for one in range(20):
            objects.made(named(f"o-{one}"))
        assert cluster.call("DELETE", f"{API}/{name}").code == 200
        _kill(cluster)
        await_gone(cluster, name)
        assert objects.list().code == 404


def _kill(cluster: Cluster) -> None:
    pid = cluster.pid_of("apiserver")
    cluster.kill("apiserver")
    while cluster.find_pid("apiserver") in (None, pid):
        time.sleep(0.02)
    cluster.wait_ready()


def test_a_type_established_at_one_server_is_served_by_the_other_at_once(tmp_path: Path) -> None:
    with two_servers(tmp_path) as (_, one, other):
        for number in range(6):
            writer, reader = (one, other) if number % 2 else (other, one)
            kind = f"Kind{number}"
            install(writer, definition(GROUP, kind, version(schema=SCHEMA), scope="Cluster"))
            plural = f"{kind.lower()}s"
            there = collection(reader, "", plural, f"{GROUP}/v1")
            assert there.made({**named("a"), "spec": {"a": "x", "b": "y"}})["spec"] == {"a": "x"}
            # A create that meets a deletion under way elsewhere is refused, or is deleted with all.
            assert writer.call("DELETE", f"{API}/{plural}.{GROUP}").code == 200
            late = there.create(named("late")).code
            assert late in (201, 403, 404)
            await_gone(reader, f"{plural}.{GROUP}")
            install(reader, definition(GROUP, kind, version(schema=SCHEMA), scope="Cluster"))
            assert collection(writer, "", plural, f"{GROUP}/v1").names() == []
