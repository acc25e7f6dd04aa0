"""Fills the store before anything is launched, so that all else happens beside that many objects.

It ends at the plan's number, or with the store's size, or with its time, or when the server says
that it runs out of room, or when the machine has no more memory than nodes and pods will want:
which of them is said, and what is there by then has to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scaletest import manifests
from scaletest.load import Write
from scaletest.machine import available_bytes
from scaletest.samples import PhaseRecord
from scaletest.stage import Stage

_CONNECTIONS: Final = 16
_NUMBER: Final = 0
_SIZE: Final = 1
_TIME: Final = 2
_ALARM: Final = 3
_MEMORY: Final = 4
_LOOK_EVERY: Final = 500
REASONS: Final = {
    _NUMBER: "all were added",
    _SIZE: "the store has its size",
    _TIME: "the time was over",
    _ALARM: "the server had an alarm",
    _MEMORY: "the machine's memory was wanted for the rest",
}
"""Why it ended, by the figure `ended_by`."""


async def fill(stage: Stage, phase: PhaseRecord) -> None:
    """See the module's head."""
    plan = stage.plan
    for number in range(manifests.FILL_NAMESPACES if plan.filling else 0):
        await stage.namespace(manifests.fill_namespace(number))
    phase.total = plan.filling
    began_s = stage.now_s()
    done = await stage.send(_writes(stage, phase, began_s), phase, _CONNECTIONS)
    took_s = stage.now_s() - began_s
    phase.figures |= {"objects": done, "seconds": took_s, "objects_per_s": done / max(took_s, 1e-9)}


def _writes(stage: Stage, phase: PhaseRecord, began_s: float) -> Iterator[Write]:
    ended_by = _NUMBER
    for number in range(stage.plan.filling):
        if number % _LOOK_EVERY == 0:
            ended_by = _reason_to_end(stage, began_s)
            if ended_by != _NUMBER:
                break
        path, body = manifests.filling(number)
        yield Write("POST", path, body)
    phase.figures["ended_by"] = ended_by


def _reason_to_end(stage: Stage, began_s: float) -> int:
    plan = stage.plan
    last = stage.record.samples[-1] if stage.record.samples else None
    if last is not None and last.store_bytes >= plan.store_bytes_max:
        return _SIZE
    if last is not None and last.alarm:
        return _ALARM
    if stage.now_s() - began_s > plan.fill_timeout_s():
        return _TIME
    if 0 < available_bytes() < plan.spared_bytes:
        return _MEMORY
    return _NUMBER
