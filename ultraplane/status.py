"""`ultraplane status`: what runs, where, and how far each partition is.

Three sources: the supervisor's state file, /readyz, and the API server's own account of its
partitions. Each may be missing; what is known is shown, and the cluster is ready only if /readyz
says so. One that is not ready still tells of its partitions: one may be away, and the others not.
"""

from __future__ import annotations

import json
import shlex
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from apiserver.settings import STATUS_PATH
from ultraplane.config import Config
from ultraplane.errors import UserError
from ultraplane.parts import client_context, server_url
from ultraplane.pki import Pki, locate_pki
from ultraplane.run_state import RunState, read_state, state_path
from ultraplane.state_display import age_s, bytes_text, show_state
from ultraplane.supervisor import ProcessState

_TIMEOUT_S: Final = 5.0
_MORE: Final = ("alarms", "journal", "disks", "quotas")


class NotRunning(UserError):
    """Nothing was ever started with this data directory."""


@dataclass(frozen=True, slots=True)
class Status:
    """A cluster now.

    Attributes:
        ready: whether /readyz answers 200.
        reason: why not, or why nothing is known of partitions.
        server: URL of the API server.
        kubeconfig: where it is.
        processes: those the supervisor keeps.
        partitions: the API server's account: name, ready, failure, revision, objects, bytes, lag.
        told: the whole of that account, with alarms, the journal's counters, disks and quotas.
    """

    ready: bool
    reason: str
    server: str
    kubeconfig: str
    processes: tuple[ProcessState, ...]
    partitions: tuple[dict[str, Any], ...]
    told: dict[str, Any] = field(default_factory=dict)


def read_status(config: Config) -> Status:
    """Return the state of the cluster that uses the configured data directory.

    Raises:
        NotRunning: there is none.
    """
    state = read_state(state_path(config.data_dir))
    pki = locate_pki(config.data_dir / "pki")
    if state is None:
        if not pki.ca_certificate.exists():
            raise NotRunning(
                f"nothing has been started in {config.data_dir}; start it: ultraplane up"
            )
        # The parts were started one by one, without a supervisor.
        kubeconfig = str(config.data_dir / "kubeconfig")
        state = RunState(0, config.server.bind, config.server.port, kubeconfig, ())
    server = server_url(config, state.port)
    ready, reason, told = _ask_server(config, pki, server)
    partitions = tuple(told.get("partitions", ()))
    return Status(ready, reason, server, state.kubeconfig, state.processes, partitions, told)


def as_json(status: Status) -> str:
    """Return a status for programs."""
    content: dict[str, Any] = {
        "ready": status.ready,
        "reason": status.reason,
        "server": status.server,
        "kubeconfig": status.kubeconfig,
        "processes": [
            {
                "name": process.name,
                "state": process.phase.value,
                "pid": process.pid,
                "restarts": process.restarts,
                "address": process.address,
            }
            for process in status.processes
        ],
        "partitions": list(status.partitions),
        **{key: status.told[key] for key in _MORE if key in status.told},
    }
    return json.dumps(content, indent=2)


def show(status: Status, console: Console) -> None:
    """Show a status to people."""
    reason, kubeconfig = escape(status.reason), escape(shlex.quote(status.kubeconfig))
    console.print("[green]ready[/]" if status.ready else f"[red]not ready[/]: {reason}")
    console.print(f"export KUBECONFIG={kubeconfig}\n", highlight=False, soft_wrap=True)
    processes = Table("process", "state", "pid", "restarts", "address", box=None, pad_edge=False)
    for process in status.processes:
        processes.add_row(
            process.name,
            process.phase.value,
            str(process.pid or "-"),
            str(process.restarts),
            escape(process.address),
        )
    if status.processes:
        console.print(processes)
    if status.ready and status.reason:
        console.print(f"\n[yellow]partitions unknown[/]: {reason}")
    if status.partitions:
        heads = ("partition", "state", "revision", "objects", "memory", "lag", "checkpoint")
        partitions = Table(*(f"\n{head}" for head in heads), box=None, pad_edge=False)
        for partition in status.partitions:
            partitions.add_row(
                partition["name"],
                _state_of(partition),
                str(partition["revision"]),
                str(partition["objects"]),
                bytes_text(partition["bytes"]),
                _lag_of(partition),
                _age_text(partition.get("checkpoint_at_ms", 0)),
            )
        console.print(partitions)
    show_state(status.told, console)


def _state_of(partition: dict[str, Any]) -> str:
    if partition["failure"]:
        return "failed"
    return "ready" if partition["ready"] else "not ready"


def _lag_of(partition: dict[str, Any]) -> str:
    late_s = partition.get("lag_s", 0)
    return f"{partition['lag']}, {late_s:.0f} s" if late_s >= 1 else str(partition["lag"])


def _age_text(at_ms: int) -> str:
    return f"{age_s(at_ms):.0f} s old" if at_ms else "none"


def _ask_server(config: Config, pki: Pki, server: str) -> tuple[bool, str, dict[str, Any]]:
    try:
        context = client_context(config.server.tls_ca_file or pki.ca_certificate, pki)
        reason = _why_not_ready(server, context)
    except (OSError, ValueError, HTTPException) as error:
        return False, f"{server}/readyz: {error}", {}
    ready = not reason
    try:
        content = json.loads(_get(server + STATUS_PATH, context))
        partitions = content["partitions"]
        waiting = [f"{one['name']} ({_why(one)})" for one in partitions if not one["ready"]]
    except (OSError, ValueError, KeyError, TypeError, HTTPException) as error:
        return ready, reason or f"{server}{STATUS_PATH}: {error}", {}
    if not ready and waiting:
        reason = f"{reason}; partitions: {', '.join(waiting)}"
    return ready, reason, content


def _why_not_ready(server: str, context: ssl.SSLContext) -> str:
    """Return "" if the server says that it is ready, else what it says."""
    try:
        _get(f"{server}/readyz", context)
    except urllib.error.HTTPError as error:
        with error:
            return f"{server}/readyz: {error}"
    return ""


def _why(partition: dict[str, Any]) -> str:
    return partition["failure"] or "its replica is away, or catches up"


def _get(url: str, context: ssl.SSLContext) -> bytes:
    # No proxy of the environment may come between: the certificate would not match anyway.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    with opener.open(url, timeout=_TIMEOUT_S) as answer:
        content: bytes = answer.read()
        return content
