"""Upstream's list of conformance specs: the names that cases and reports are keyed by.

The list is `specs.tsv`, names only. A spec is known by its text: upstream's tools put its labels
("[Serial]", "[Slow]") in the middle of the name or at its end, so `key` leaves them out, and two
names of one spec, from different tools or releases, meet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Final

RELEASE: Final = "1.37"
_FILE: Final = Path(__file__).with_name("specs.tsv")
_SIG: Final = re.compile(r"\[(sig-[a-z-]+)\]")
_LABEL: Final = re.compile(r"\[[^\]]*\]")


class Needs(Enum):
    """What a spec asks of a cluster besides an API server with its own controllers."""

    API = "api"
    WEBHOOK = "webhook"
    """A pod that serves a webhook, which a case can serve from this machine instead."""
    CONTROLLERS = "controllers"
    """Workload controllers that make pods; no container has to run."""
    NODES = "nodes"
    """Nodes whose kubelets tell of Pods that run; nobody asks what their containers do."""
    CONTAINERS = "containers"


@dataclass(frozen=True, slots=True)
class Spec:
    """One conformance spec.

    Attributes:
        name: upstream's, in full.
        needs: what it asks of a cluster.
        since: the release that made it a conformance spec.
    """

    name: str
    needs: Needs
    since: str

    @property
    def sig(self) -> str:
        """The special interest group that it belongs to, such as sig-auth."""
        found = _SIG.search(self.name)
        return found.group(1) if found else ""

    @property
    def serial(self) -> bool:
        """Whether nothing else may run at the same time."""
        return "[Serial]" in self.name

    @property
    def slow(self) -> bool:
        """Whether it takes minutes."""
        return "[Slow]" in self.name


def key(name: str) -> str:
    """Return what all names of a spec have in common: its group and its text, without labels."""
    found = _SIG.search(name)
    text = " ".join(_LABEL.sub(" ", name).split())
    return f"{found.group(1)}: {text}" if found else text


@cache
def all_specs() -> tuple[Spec, ...]:
    """Return the whole list, in upstream's order."""
    return tuple(_parse(_FILE.read_text(encoding="utf-8")))


@cache
def by_key() -> dict[str, Spec]:
    """Return the list by `key`."""
    return {key(spec.name): spec for spec in all_specs()}


def _parse(text: str) -> list[Spec]:
    specs = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        try:
            needs, since, name = line.split("\t")
            specs.append(Spec(name, Needs(needs), since))
        except ValueError as error:
            raise ValueError(f"{_FILE.name} line {number}: {error}") from error
    return specs
