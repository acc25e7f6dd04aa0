"""The files in deploy/three-zones work: three servers from nats.conf, API servers in two zones."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import nats_program
from tests.integration.cluster import ROOT, Answer, Cluster, run_cluster
from tests.integration.nats_servers import HOST, NatsCluster, NatsServer, free_ports

pytestmark = [pytest.mark.nats, pytest.mark.slow]

_FILES = ROOT / "deploy" / "three-zones"
_PASSWORD = "s3cret-of-the-zones"
_OUTAGE_S_MAX = 40.0


class _Zone(NatsServer):
    """A zone's server, started as its unit does: the file as it is, and an environment."""

    environment: dict[str, str]

    def start(self) -> None:
        program = nats_program()
        assert program is not None
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [program, "-c", str(self.directory / "nats.conf")],
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
            )


def _configuration(directory: Path, monitor_port: int) -> str:
    text = (_FILES / "nats.conf").read_text()
    text = text.replace("/var/lib/nats", str(directory / "store"))
    text = text.replace("127.0.0.1:8222", f"{HOST}:{monitor_port}").replace("200GB", "2GB")
    # Servers before 2.10 do not know it, as the README says.
    return text.replace("  sync_interval: always\n", "")


@contextmanager
def _zones(directory: Path) -> Iterator[NatsCluster]:
    ports = free_ports(9)
    cluster = NatsCluster([])
    routes = [f"nats://route:{_PASSWORD}@{HOST}:{port}" for port in ports[6:]]
    for index in range(3):
        zone = _Zone(
            f"zone-{index + 1}", directory / f"zone-{index}", ports[index], ports[3 + index]
        )
        zone.directory.mkdir()
        (zone.directory / "nats.conf").write_text(_configuration(zone.directory, ports[3 + index]))
        zone.environment = {
            "ZONE": zone.name,
            "NATS_PASSWORD": f'"{_PASSWORD}"',
            "NATS_LISTEN": f'"{HOST}:{ports[index]}"',
            "NATS_ROUTE_LISTEN": f'"{HOST}:{ports[6 + index]}"',
            **{f"NATS_ROUTE_{number}": f'"{url}"' for number, url in enumerate(routes, 1)},
        }
        cluster.servers.append(zone)
    try:
        for server in cluster.servers:
            server.start()
        cluster.wait_healthy()
        yield cluster
    finally:
        cluster.stop()


def _settings(directory: Path, nats: NatsCluster, **more: Any) -> dict[str, Any]:
    settings: dict[str, Any] = yaml.safe_load((_FILES / "ultraplane.yaml").read_text())
    password = directory / "nats.password"
    password.write_text(_PASSWORD)
    settings["journal"]["address"] = nats.url
    settings["nats"]["password_file"] = str(password)
    del settings["data_dir"], settings["server"]
    return {**settings, "memory_dir": str(directory / "memory"), **more}


def _asked(cluster: Cluster, method: str, body: Any, codes: tuple[int, ...]) -> Answer:
    """Return an answer; what is refused while a leader is elected is asked again."""
    deadline_s = time.monotonic() + _OUTAGE_S_MAX
    while True:
        answer = cluster.call(method, "/api/v1/namespaces/default/configmaps", body)
        if answer.code in codes:
            return answer
        assert answer.code in (503, 504), answer.body
        assert time.monotonic() < deadline_s, answer.body
        time.sleep(0.1)


def _create(cluster: Cluster, name: str) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    _asked(cluster, "POST", body, (201, 409))


def test_a_zone_may_go_and_nothing_is_lost(tmp_path: Path) -> None:
    one_dir, other_dir = tmp_path / "one", tmp_path / "other"
    with ExitStack() as stack:
        nats = stack.enter_context(_zones(tmp_path))
        for path in (one_dir, other_dir):
            path.mkdir()
        one = stack.enter_context(run_cluster(one_dir, _settings(one_dir, nats)))
        # What step 3 of the README copies.
        copied = tmp_path / "copied"
        shutil.copytree(one.directory / "pki", copied / "pki")
        more = {"join": str(copied), "supervisor": {"controllers": False}}
        other = stack.enter_context(run_cluster(other_dir, _settings(other_dir, nats, **more)))
        _create(one, "before")
        nats.leader_of("ultraplane-log-default").kill()
        _create(other, "after")
        for cluster in (one, other):
            found = _asked(cluster, "GET", None, (200,)).json["items"]
            assert {"before", "after"} <= {item["metadata"]["name"] for item in found}
