"""Every setting of Ultraplane: its type, its default, its meaning and its limits.

Sections are in modules of their own (server_config.py and so on). The models are the single
description: `ultraplane config` prints them, config_reader.py checks files and environment against
them. Values are checked here once; the parts below the command line get plain frozen values made
from them (ultraplane.server_settings, ultraplane.parts).
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Literal

from pydantic import Field

from ultraplane.access_config import AdmissionSection, AuditSection, AuthSection
from ultraplane.backend_config import AggregationSection, KubeletSection
from ultraplane.controllers_config import ControllersSection
from ultraplane.fleet_config import FleetSection
from ultraplane.nats_config import NatsSection
from ultraplane.sections import Location, Section
from ultraplane.server_config import ServerSection
from ultraplane.storage_config import SOCKET_PATH_BYTES_MAX, JournalSection, StorageSection
from ultraplane.supervisor_config import SupervisorSection


def default_data_dir() -> Path:
    """Return where data is kept unless told otherwise, by the XDG base directory rules."""
    home = os.environ.get("XDG_DATA_HOME", "")
    base = Path(home) if home.startswith("/") else Path("~/.local/share").expanduser()
    return base / "ultraplane"


class Config(Section):
    """The whole configuration."""

    data_dir: Location = Field(
        default_factory=default_data_dir,
        description="Everything durable: journal, checkpoints, certificates, kubeconfig, logs.",
    )
    memory_dir: Location | None = Field(
        default=None,
        description="A directory on tmpfs for the replica's memory maps; unset is one in /dev/shm "
        "that belongs to the data directory. May vanish with a reboot.",
    )
    join: Location | None = Field(
        default=None,
        description="Data directory of another API server of the same cluster. What all must have "
        "alike (CA, service account key, admin's token) and its checkpoints are copied from there "
        "at the first start.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="How much the processes write to <data_dir>/logs."
    )
    server: ServerSection = Field(default_factory=ServerSection, description="The API server.")
    journal: JournalSection = Field(default_factory=JournalSection, description="The log.")
    nats: NatsSection = Field(
        default_factory=NatsSection, description="NATS, where it is the journal."
    )
    storage: StorageSection = Field(default_factory=StorageSection, description="The replica.")
    auth: AuthSection = Field(default_factory=AuthSection, description="Who is let in.")
    audit: AuditSection = Field(default_factory=AuditSection, description="The audit log.")
    admission: AdmissionSection = Field(
        default_factory=AdmissionSection, description="What looks at writes."
    )
    kubelet: KubeletSection = Field(
        default_factory=KubeletSection, description="How kubelets are spoken to."
    )
    aggregation: AggregationSection = Field(
        default_factory=AggregationSection, description="How extension API servers are."
    )
    controllers: ControllersSection = Field(
        default_factory=ControllersSection, description="How the controllers act."
    )
    fleet: FleetSection = Field(default_factory=FleetSection, description="Simulated nodes.")
    supervisor: SupervisorSection = Field(
        default_factory=SupervisorSection, description="How `ultraplane up` treats its processes."
    )

    @property
    def memory_path(self) -> Path:
        """The memory directory, given or derived from the data directory and the user."""
        if self.memory_dir is not None:
            return self.memory_dir
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:12]
        return Path("/dev/shm") / f"ultraplane-{os.getuid()}-{digest}"

    @property
    def journal_address(self) -> str:
        """Where the journal listens, given or derived from the data directory."""
        if self.journal.address is not None:
            return self.journal.address
        return self._socket_address("journal.sock")

    @property
    def near_address(self) -> str | None:
        """Where the API server listens for our own parts, without TLS; None: they go by TLS.

        Several workers share a TCP port, which the kernel has an eye on; sockets it does not share.
        """
        return self._socket_address("apiserver.sock") if self.server.workers == 1 else None

    @property
    def runs_controllers(self) -> bool:
        """Whether `up` runs the controllers."""
        return self._acts and "controllers" not in self.supervisor.without

    @property
    def runs_fleet(self) -> bool:
        """Whether `up` runs simulated nodes."""
        return self._acts and self.has_fleet

    @property
    def has_fleet(self) -> bool:
        """Whether there are simulated nodes, if maybe run beside another API server."""
        return self.fleet.nodes > 0 and "fleet" not in self.supervisor.without

    @property
    def _acts(self) -> bool:
        chosen = self.supervisor.controllers
        return self.join is None if chosen is None else chosen

    @property
    def controllers_address(self) -> str:
        """Where the controllers accept connections when they are ready."""
        return self._socket_address("controllers.sock")

    @property
    def fleet_address(self) -> str:
        """Where the fleet accepts connections when it is ready."""
        return self._socket_address("fleet.sock")

    @property
    def runs_scheduler(self) -> bool:
        """Whether `up` runs the scheduler."""
        return self._acts and "scheduler" not in self.supervisor.without

    @property
    def scheduler_address(self) -> str:
        """Where the scheduler accepts connections when it is ready."""
        return self._socket_address("scheduler.sock")

    def storage_address(self, name: str) -> str:
        """Where a storage process accepts connections when it is ready."""
        return self._socket_address(f"{name}.sock")

    def _socket_address(self, name: str) -> str:
        path = self.data_dir / name
        if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
            path = self.memory_path / name
        return f"unix:{path}"
