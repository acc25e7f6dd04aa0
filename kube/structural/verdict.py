"""What was found of a value, and how it becomes errors of fields.

Faults of the same message are one. Errors are worded as upstream words what kube-openapi finds:
what has a place says so, what has none (alternatives that did not fit) stands at `<nil>`.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import orjson

from kube import field
from kube.field import FieldError

NOWHERE: Final = "<nil>"
"""The path of faults that upstream reports without one."""
FAULTS_MAX: Final = 1000
"""No more faults of one value are told: nobody reads on, and each may take hundreds of bytes."""
PLACELESS: Final = ""
"""The kind of a fault that has no place of its own."""


class Fault(NamedTuple):
    """One fault.

    Attributes:
        kind: as in `kube.field`, or PLACELESS.
        name: where, from the root; may begin with a dot.
        text: upstream's message.
        value: what was found.
        limit: what was allowed.
    """

    kind: str
    name: str
    text: str
    value: Any = ""
    limit: Any = None


class Verdict:
    """What was found of a value.

    Attributes:
        faults: without repetition, in order.
        matches: how many checks were made, by which alternatives are ranked.
    """

    __slots__ = ("_texts", "faults", "matches")

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.matches = 0
        self._texts: set[str] = set()

    def add(self, fault: Fault) -> None:
        """Take a fault in."""
        if fault.text not in self._texts and len(self.faults) < FAULTS_MAX:
            self._texts.add(fault.text)
            self.faults.append(fault)

    def merge(self, other: Verdict) -> None:
        """Take in what was found of a part or an alternative."""
        for fault in other.faults:
            self.add(fault)
        self.matches += other.matches


def ordered(value: Any) -> Any:
    """Return a JSON value with the keys of objects in order, as Go prints maps."""
    if value.__class__ is dict:
        return {key: ordered(value[key]) for key in sorted(value)}
    if value.__class__ is list:
        return [ordered(item) for item in value]
    return value


def errors_of(verdict: Verdict, path: str = "") -> list[FieldError]:
    """Return the faults as errors of fields.

    Args:
        verdict: what was found.
        path: where the value stands in its object, "" for a whole object.
    """
    return [_error_of(fault, path) for fault in verdict.faults]


def _error_of(fault: Fault, path: str) -> FieldError:
    if fault.kind == PLACELESS:
        return field.invalid(path or NOWHERE, "", fault.text)
    name = fault.name.removeprefix(".")
    where = f"{path}.{name}" if path and name else path or name or NOWHERE
    value = ordered(fault.value)
    match fault.kind:
        case field.REQUIRED:
            return field.required(where)
        case field.NOT_SUPPORTED:
            return field.not_supported(where, value, map(_shown, fault.limit))
        case field.TOO_LONG:
            return field.too_long(where, fault.limit)
        case field.TOO_MANY:
            return field.too_many(where, fault.value, fault.limit)
        case field.TYPE_INVALID:
            return field.type_invalid(where, value, fault.text)
        case _:
            return field.invalid(where, "" if value is None else value, fault.text)


def _shown(allowed: Any) -> str:
    return allowed if isinstance(allowed, str) else orjson.dumps(ordered(allowed)).decode()
