"""Fills the store before anything is launched, so that all else happens beside that many objects.

It ends at the plan's number, or with the store's size, or with its time, or when the server says
that it runs out of room: which of them is said, and what is there by then has to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scaletest import manifests
from scaletest.load import Write
from scaletest.samples import PhaseRecord
from scaletest.stage import Stage

_CONNECTIONS: Final = 16
_NUMBER: Final = 0
_SIZE: Final = 1
_TIME: Final = 2
_ALARM: Final = 3
REASONS: Final = {
    _NUMBER: "all were added",
    _SIZE: "the store has its size",
    _TIME: "the time was over",
    _ALARM: "the server had an alarm",
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
    plan, ended_by = stage.plan, _NUMBER
    for number in range(plan.filling):
        last = stage.record.samples[-1] if stage.record.samples else None
        if last is not None and last.store_bytes >= plan.store_bytes_max:
            ended_by = _SIZE
        elif last is not None and last.alarm:
            ended_by = _ALARM
        elif stage.now_s() - began_s > plan.fill_timeout_s():
            ended_by = _TIME
        if ended_by != _NUMBER:
            break
        path, body = manifests.filling(number)
        yield Write("POST", path, body)
    phase.figures["ended_by"] = ended_by
