"""The clusters that faults are done to: real processes, in four shapes.

    one          everything in one API server, kept by the supervisor, with the controllers
    workers      two workers and a storage process, kept by the supervisor
    partitions   two workers, a storage process for each partition, a journal behind a proxy
    two          two servers of two workers each, on one journal, each behind a proxy of its own

Parts are named `server:part`, as `0:apiserver-2`; the journal is `journal` in every shape.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from storage.partition_map import DEFAULT_PARTITIONS
from tests.faults.full_disks import SmallDisk, small_disk
from tests.faults.proxy import Proxy
from tests.faults.switches import Switches
from tests.integration.cluster import Cluster, run_cluster
from tests.integration.journal_child import JournalChild

_BASE: Final[dict[str, Any]] = {
    # Small and often, so that recovery meets checkpoints, trimmed logs and segment ends.
    "journal": {"segment_mib": 1},
    "storage": {"checkpoint_interval_s": 1, "compaction_age_s": 3600},
    "supervisor": {"restart_delay_s_max": 0},
}


@dataclass(frozen=True, slots=True)
class Topology:
    """A shape of cluster.

    Attributes:
        parts: what may be killed or stopped.
        servers: how many `ultraplane up` there are.
        workers: of each.
        is_proxied: whether the journal is ours, behind proxies; else the supervisor's.
    """

    name: str
    parts: tuple[str, ...]
    servers: int = 1
    workers: int = 1
    is_proxied: bool = False
    by_partition: bool = False


_KEEPERS: Final = tuple(f"storage-{name}" for name in DEFAULT_PARTITIONS)
TOPOLOGIES: Final = {
    shape.name: shape
    for shape in (
        Topology("one", ("journal", "0:apiserver", "0:controllers")),
        Topology("workers", ("journal", "0:apiserver-1", "0:apiserver-2", "0:storage"), workers=2),
        Topology(
            "partitions",
            ("journal", "0:apiserver-1", "0:apiserver-2", *(f"0:{name}" for name in _KEEPERS)),
            workers=2,
            is_proxied=True,
            by_partition=True,
        ),
        Topology(
            "two",
            (
                "journal",
                *(
                    f"{n}:{part}"
                    for n in (0, 1)
                    for part in ("apiserver-1", "apiserver-2", "storage")
                ),
            ),
            servers=2,
            workers=2,
            is_proxied=True,
        ),
    )
}


@dataclass
class Rig:
    """Running clusters.

    Attributes:
        disks: the small file systems there are, by what is on them: journal, checkpoints, memory.
        switches: of the servers, and last of the journal.
    """

    directory: Path
    topology: Topology
    clusters: list[Cluster] = field(default_factory=list)
    proxies: list[Proxy] = field(default_factory=list)
    switches: list[Switches] = field(default_factory=list)
    disks: dict[str, SmallDisk] = field(default_factory=dict)
    journal: JournalChild | None = None

    @property
    def journal_directory(self) -> Path:
        """Where the log is."""
        return journal_directory(self.directory, self.topology)

    def memory(self, server: int) -> Path:
        """Return where a server's replica is."""
        told = orjson.loads((self.clusters[server].directory / "run/apiserver.json").read_bytes())
        return Path(told["memory_dir"])

    def pids(self, part: str) -> list[int]:
        """Return the process of a part; none if it is just not there."""
        if part == "journal" and self.journal is not None:
            return [self.journal.pid] if self.journal.runs else []
        server, _, name = part.rpartition(":")
        pid = self.clusters[int(server or 0)].find_pid(name)
        return [] if pid is None else [pid]

    def kill(self, *parts: str) -> int:
        """End parts with kill -9, all at once; return how many there were."""
        pids = [pid for part in parts for pid in self.pids(part)]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if "journal" in parts and self.journal is not None:
            self.journal.kill()
            self.journal.start()
        return len(pids)

    @contextmanager
    def held_down(self, *parts: str) -> Iterator[None]:
        """Kill parts, and have nobody start them again until the block ends."""
        for cluster in self.clusters:
            os.kill(cluster.process.pid, signal.SIGSTOP)
        try:
            for part in parts:
                for pid in self.pids(part):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                if part == "journal" and self.journal is not None:
                    self.journal.kill()
            yield
        finally:
            if "journal" in parts and self.journal is not None:
                self.journal.start()
            for cluster in self.clusters:
                os.kill(cluster.process.pid, signal.SIGCONT)

    def wait_ready(self) -> None:
        """Return when all servers serve."""
        for cluster in self.clusters:
            cluster.wait_ready()


def journal_directory(directory: Path, topology: Topology) -> Path:
    """Return where the log of a rig is."""
    return directory / "journal" if topology.is_proxied else directory / "s0/data/journal"


@contextmanager
def running_rig(directory: Path, topology: Topology, full: frozenset[str]) -> Iterator[Rig]:
    """Run a rig in a directory with a short path until the block ends.

    Args:
        full: what is to be on a small file system of its own, as it will be filled.
    """
    rig = Rig(directory, topology)
    with ExitStack() as stack:
        for what, path in _places(rig).items():
            if what in full:
                rig.disks[what] = stack.enter_context(small_disk(path, what))
        addresses = _run_journal(rig, stack) if topology.is_proxied else [""]
        for server in range(topology.servers):
            place = directory / f"s{server}"
            place.mkdir(exist_ok=True)
            switches = Switches(directory / f"switches-{server}")
            rig.switches.insert(server, switches)
            running = run_cluster(
                place, _config(rig, server, addresses[server]), switches.environment()
            )
            cluster = stack.enter_context(running)
            cluster.wait_started()
            rig.clusters.append(cluster)
        yield rig


def _places(rig: Rig) -> dict[str, Path]:
    return {
        "journal": rig.journal_directory,
        "checkpoints": rig.directory / "s0/data/checkpoints",
        "memory": rig.directory / "m0",
    }


def _run_journal(rig: Rig, stack: ExitStack) -> list[str]:
    """Start the journal and its proxies; return an address for each server."""
    switches = Switches(rig.directory / "switches-journal")
    rig.switches.append(switches)
    child = JournalChild(rig.directory, "--segment-mib=1", environment=switches.environment())
    rig.journal = child
    child.start()
    stack.callback(child.stop)
    addresses = []
    for server in range(rig.topology.servers):
        path = rig.directory / f"p{server}.sock"
        proxy = Proxy(path, rig.directory / "journal.sock")
        stack.callback(proxy.close)
        rig.proxies.append(proxy)
        addresses.append(f"unix:{path}")
    return addresses


def _config(rig: Rig, server: int, address: str) -> dict[str, Any]:
    shape = rig.topology
    config: dict[str, Any] = {name: dict(section) for name, section in _BASE.items()}
    config["server"] = {"workers": shape.workers}
    if "memory" in rig.disks and not server:
        config["memory_dir"] = str(rig.disks["memory"].path)
    if shape.is_proxied:
        config["journal"] |= {"address": address, "external": True}
        config["supervisor"]["controllers"] = False
    config["storage"]["process_per_partition"] = shape.by_partition
    if server:
        config["join"] = str(rig.clusters[0].directory)
    return config
