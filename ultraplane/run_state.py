"""What runs, written by `ultraplane up` for `ultraplane status`: <data_dir>/run/state.json.

The file outlives a killed supervisor, so a reader checks that the processes it names still run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ultraplane.files import write_private
from ultraplane.supervisor import Phase, ProcessState


@dataclass(frozen=True, slots=True)
class RunState:
    """A running `ultraplane up`."""

    pid: int
    host: str
    port: int
    kubeconfig: str
    processes: tuple[ProcessState, ...]


def state_path(data_dir: Path) -> Path:
    """Return where the state of a data directory's supervisor is written."""
    return data_dir / "run" / "state.json"


def write_state(path: Path, state: RunState) -> None:
    """Replace the state file."""
    content = asdict(state)
    content["processes"] = [_encode(process) for process in state.processes]
    write_private(path, json.dumps(content, indent=1).encode())


def read_state(path: Path) -> RunState | None:
    """Return the state written last, with dead processes shown as such.

    None if there is none, or one of another version.
    """
    try:
        content = json.loads(path.read_bytes())
        processes = [
            ProcessState(**{**process, "phase": Phase(process["phase"])})
            for process in content["processes"]
        ]
        if not is_running(content["pid"]):
            processes = _all_stopped(processes)
        return RunState(**{**content, "processes": tuple(processes)})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def is_running(pid: int) -> bool:
    """Whether there is a live process of that id (which may be somebody else's by now)."""
    try:
        facts = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # A zombie has ended; only its parent has not noticed.
    return facts.rpartition(")")[2].split()[0] not in ("Z", "X")


def _encode(process: ProcessState) -> dict[str, object]:
    return {**asdict(process), "phase": process.phase.value}


def _all_stopped(processes: Sequence[ProcessState]) -> list[ProcessState]:
    return [
        ProcessState(process.name, Phase.STOPPED, process.address, restarts=process.restarts)
        for process in processes
    ]
