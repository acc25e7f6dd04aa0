"""What a campaign does, decided beforehand by its seed alone.

A plan is rounds, each of one cluster's life; a round is steps, each one fault. When a step comes is
counted in acknowledged writes, not seconds, so that a slow machine meets the same faults at the
same places of its load. What threads and disks do in between is theirs: a replay makes the same
choices, not the same race.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tests.faults.rig import TOPOLOGIES, Topology

PLAN_VERSION: Final = 1
WEIGHTS: Final = {
    "kill": 60,
    "supervisor": 3,
    "stop": 5,
    "link": 12,
    "clock": 3,
    "slow-disk": 3,
    "sync-error": 3,
    "torn": 6,
    "damage": 2,
    "reboot": 3,
    "forget": 2,
    "checkpoint-damage": 2,
    "disk-full": 2,
    "checkpoints-full": 1,
    "memory-full": 1,
}
"""How often each fault comes, relative to the others."""
NEEDS_PROXY: Final = frozenset({"link"})
NEEDS_KEEPER: Final = frozenset({"forget"})
"""The replica's files can be taken from under a server only where another process keeps them."""
FULL: Final = {"disk-full": "journal", "checkpoints-full": "checkpoints", "memory-full": "memory"}
LINK_MODES: Final = ("cut", "cut-frame", "swallow", "freeze", "delay")
STEPS_A_ROUND: Final = 40
_PARTS_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class Step:
    """One fault.

    Attributes:
        after: how many writes are acknowledged since the last step before it comes.
        parts: whom it meets; see rig.py.
        hold_ms: how long it lasts, where it lasts.
        mode: which of several kinds.
        seed: of what is chosen while it happens.
    """

    fault: str
    after: int
    parts: tuple[str, ...] = ()
    hold_ms: int = 0
    mode: str = ""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Round:
    """The faults of one cluster's life."""

    number: int
    topology: str
    seed: str
    steps: tuple[Step, ...]

    @property
    def full(self) -> frozenset[str]:
        """Which of its disks will be filled."""
        return frozenset(FULL[step.fault] for step in self.steps if step.fault in FULL)


def plan_rounds(
    seed: int,
    faults: Sequence[str] = tuple(WEIGHTS),
    topologies: Sequence[str] = tuple(TOPOLOGIES),
    steps: int = STEPS_A_ROUND,
) -> Iterator[Round]:
    """Yield rounds without end; each follows from the seed and its number."""
    number = 0
    while True:
        chance = random.Random(f"{seed}/{number}")
        topology = TOPOLOGIES[topologies[number % len(topologies)]]
        possible = [fault for fault in faults if _fits(fault, topology)]
        chosen = chance.choices(possible, [WEIGHTS[fault] for fault in possible], k=steps)
        yield plan_round(f"{seed}/{number}", topology, chosen, number)
        number += 1


def plan_round(seed: str, topology: Topology, faults: Sequence[str], number: int = 0) -> Round:
    """Return a round of just these faults, in this order."""
    chance = random.Random(f"{seed}/steps")
    made = tuple(_plan_step(fault, topology, chance) for fault in faults)
    return Round(number, topology.name, seed, made)


def _fits(fault: str, topology: Topology) -> bool:
    if fault in NEEDS_PROXY:
        return topology.is_proxied
    return fault not in NEEDS_KEEPER or topology.workers > 1


def _plan_step(fault: str, topology: Topology, chance: random.Random) -> Step:
    after, hold_ms, seed = (
        chance.randint(1, 40),
        chance.randint(50, 900),
        chance.getrandbits(32),
    )
    parts: tuple[str, ...] = ()
    mode = ""
    if fault in ("kill", "stop"):
        most = min(_PARTS_MAX, len(topology.parts))
        count = chance.choices(range(1, most + 1), [6, 3, 1][:most])[0] if fault == "kill" else 1
        parts = tuple(sorted(chance.sample(topology.parts, count)))
    elif fault in ("supervisor", "forget", "checkpoint-damage"):
        parts = (f"{chance.randrange(topology.servers)}:",)
    elif fault == "link":
        mode = chance.choice(LINK_MODES)
        parts = (f"{chance.randrange(topology.servers)}:",)
    elif fault == "clock":
        hours = chance.choice((-30, -3, 2, 26))
        mode = f"{hours:+d}h"
        whom = [*(f"{n}:" for n in range(topology.servers)), "journal", "all"]
        parts = (chance.choice(whom if topology.is_proxied else ["all"]),)
    elif fault == "sync-error":
        mode = chance.choice(("kept", "dropped"))
    elif fault == "torn":
        mode = chance.choice(("prefix", "sectors"))
    return Step(fault, after, parts, hold_ms, mode, seed)


def save_plan(path: Path, seed: int, rounds: Sequence[Round]) -> None:
    """Write what was done, to be done again."""
    content = {"version": PLAN_VERSION, "seed": seed, "rounds": [asdict(one) for one in rounds]}
    path.write_text(json.dumps(content, indent=1))


def load_plan(path: Path) -> tuple[int, list[Round]]:
    """Return a saved plan's seed and rounds.

    Raises:
        ValueError: it is not one.
    """
    try:
        content: Any = json.loads(path.read_bytes())
        if content["version"] != PLAN_VERSION:
            raise ValueError(f"version {content['version']}")
        rounds = [_round_from(one) for one in content["rounds"]]
        return int(content["seed"]), rounds
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no plan of a campaign: {error!r}") from error


def _round_from(content: Any) -> Round:
    steps = tuple(Step(**{**step, "parts": tuple(step["parts"])}) for step in content["steps"])
    if content["topology"] not in TOPOLOGIES or any(step.fault not in WEIGHTS for step in steps):
        raise ValueError("an unknown topology or fault")
    return Round(content["number"], content["topology"], content["seed"], steps)
