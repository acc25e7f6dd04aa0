"""The cases there are, each under the exact name of the upstream spec whose steps it takes.

A case that stands in for a part of the cluster, because upstream would run a container for it, is
marked `local`: it proves the server, not the cluster, and reports say so.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from conformance import cases
from conformance.specs import Spec, all_specs
from conformance.stage import Stage

CASE_S_MAX: Final = 120.0
Body = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Case:
    """One case.

    Attributes:
        spec: whose steps it takes.
        body: the steps.
        local: whether it plays a part that upstream gives to a container.
        timeout_s: after which it has failed.
    """

    spec: Spec
    body: Body
    local: bool
    timeout_s: float

    @property
    def name(self) -> str:
        """The spec's name."""
        return self.spec.name


_cases: dict[str, Case] = {}


def case(
    name: str, *, local: bool = False, timeout_s: float = CASE_S_MAX
) -> Callable[[Body], Body]:
    """Register the decorated function as the case of the spec `name`.

    Raises:
        ValueError: there is no such spec, or a case of it already.
    """

    def register(body: Body) -> Body:
        spec = _by_name().get(name)
        if spec is None:
            raise ValueError(f"upstream has no conformance spec {name!r}")
        if name in _cases:
            raise ValueError(f"there are two cases of {name!r}")
        _cases[name] = Case(spec, body, local, timeout_s)
        return body

    return register


def all_cases() -> tuple[Case, ...]:
    """Return every case, in the order of upstream's list."""
    for module in pkgutil.iter_modules(cases.__path__, f"{cases.__name__}."):
        importlib.import_module(module.name)
    return tuple(_cases[spec.name] for spec in all_specs() if spec.name in _cases)


def _by_name() -> dict[str, Spec]:
    return {spec.name: spec for spec in all_specs()}
