"""Label and field selectors: what they mean, and matching them against stored metadata.

Storage keeps beside each object one blob of its labels and fields (`build_meta`):

    \\0 key=value \\0 key2=value2 \\0   \\1 field=value \\1 field2=value2 \\1

so that most requirements are one search for `\\0key=value\\0`, without parsing the object.
Invariants: keys hold no `=`; a separator inside a value is replaced on both sides; fields with an
empty value are left out, as an absent field and an empty one select alike. Texts are parsed in
`kube.selector_parser`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias, assert_never

MetaMatch: TypeAlias = Callable[[bytes], bool]

LABEL_SEPARATOR: Final = b"\x00"
FIELD_SEPARATOR: Final = b"\x01"
_REPLACEMENT: Final = "\x02"
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_INT64_MAX: Final = 2**63 - 1


class Operator(Enum):
    """How a requirement relates a key and values."""

    IN = "in"
    NOT_IN = "notin"
    EXISTS = "exists"
    NOT_EXISTS = "!"
    GREATER = "gt"
    LESS = "lt"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label; `=` and `!=` are IN and NOT_IN of one value."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether `labels` meet the condition."""
        value = labels.get(self.key)
        match self.operator:
            case Operator.IN:
                return value in self.values
            case Operator.NOT_IN:
                return value not in self.values
            case Operator.EXISTS:
                return value is not None
            case Operator.NOT_EXISTS:
                return value is None
            case Operator.GREATER | Operator.LESS:
                return value is not None and self._compare(value)
            case _:
                assert_never(self.operator)

    def _compare(self, text: str) -> bool:
        number, limit = parse_int64(text), parse_int64(self.values[0])
        if number is None or limit is None:
            return False
        return number > limit if self.operator is Operator.GREATER else number < limit

    def compile(self) -> MetaMatch:
        """Return the condition as a function of a meta blob."""
        prefix = _needle(f"{self.key}=", LABEL_SEPARATOR)
        match self.operator:
            case Operator.IN | Operator.NOT_IN:
                ends = [_escape(value) + LABEL_SEPARATOR for value in self.values]
                wanted = self.operator is Operator.IN
                return _search([prefix + end for end in ends], is_wanted=wanted)
            case Operator.EXISTS:
                return _search([prefix], is_wanted=True)
            case Operator.NOT_EXISTS:
                return _search([prefix], is_wanted=False)
            case Operator.GREATER | Operator.LESS:
                return self._compile_comparison(prefix)
            case _:
                assert_never(self.operator)

    def _compile_comparison(self, prefix: bytes) -> MetaMatch:
        def match(meta: bytes) -> bool:
            start = meta.find(prefix)
            if start < 0:
                return False
            start += len(prefix)
            return self._compare(meta[start : meta.find(LABEL_SEPARATOR, start)].decode())

        return match

    def __str__(self) -> str:
        match self.operator:
            case Operator.EXISTS:
                return self.key
            case Operator.NOT_EXISTS:
                return f"!{self.key}"
            case Operator.GREATER:
                return f"{self.key}>{self.values[0]}"
            case Operator.LESS:
                return f"{self.key}<{self.values[0]}"
            case Operator.IN | Operator.NOT_IN:
                values = ",".join(sorted(self.values))
                if len(self.values) == 1:
                    sign = "=" if self.operator is Operator.IN else "!="
                    return f"{self.key}{sign}{values}"
                return f"{self.key} {self.operator.value} ({values})"
            case _:
                assert_never(self.operator)


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """Conditions on labels that must all hold; without any, everything is selected.

    Attributes:
        requirements: sorted by key.
        selects_nothing: an absent selector object selects nothing, whatever the labels.
    """

    requirements: tuple[Requirement, ...] = ()
    selects_nothing: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether everything is selected."""
        return not self.requirements and not self.selects_nothing

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        """Tell whether an object with these labels is selected."""
        if self.selects_nothing:
            return False
        found: Mapping[str, str] = labels or {}
        return all(requirement.matches(found) for requirement in self.requirements)

    def compile(self) -> MetaMatch | None:
        """Return the selector as a function of a meta blob, None if everything is selected."""
        if self.selects_nothing:
            return lambda _meta: False
        return _all([requirement.compile() for requirement in self.requirements])

    def exact_value(self, key: str) -> str | None:
        """Return the one value that label `key` must have, None if there is no such one."""
        for requirement in self.requirements:
            if requirement.key == key and requirement.operator is Operator.IN:
                return requirement.values[0] if len(requirement.values) == 1 else None
        return None

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """One condition on one field: it has this value, or another one."""

    field: str
    value: str
    negated: bool = False

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Tell whether `fields` meet the condition; an absent field is empty."""
        return (fields.get(self.field, "") == self.value) is not self.negated

    def compile(self) -> MetaMatch:
        """Return the condition as a function of a meta blob."""
        if not self.value:
            return _search([_needle(f"{self.field}=", FIELD_SEPARATOR)], is_wanted=self.negated)
        needle = _needle(f"{self.field}={self.value}", FIELD_SEPARATOR) + FIELD_SEPARATOR
        return _search([needle], is_wanted=not self.negated)

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
        return f"{self.field}{'!=' if self.negated else '='}{escaped}"


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """Conditions on fields that must all hold; without any, everything is selected."""

    terms: tuple[FieldTerm, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether everything is selected."""
        return not self.terms

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Tell whether an object with these fields is selected."""
        return all(term.matches(fields) for term in self.terms)

    def compile(self) -> MetaMatch | None:
        """Return the selector as a function of a meta blob, None if everything is selected."""
        return _all([term.compile() for term in self.terms])

    def exact_value(self, field: str) -> str | None:
        """Return the one value that `field` must have, None if there is no such one."""
        for term in self.terms:
            if term.field == field and not term.negated:
                return term.value
        return None

    def without(self, fields: Collection[str]) -> FieldSelector:
        """Return the selector less its conditions on `fields`: those the caller sees to."""
        return FieldSelector(tuple(term for term in self.terms if term.field not in fields))

    def __str__(self) -> str:
        return ",".join(str(term) for term in self.terms)


EVERYTHING: Final = LabelSelector()
NOTHING: Final = LabelSelector(selects_nothing=True)
EVERY_FIELD: Final = FieldSelector()


def parse_int64(text: str) -> int | None:
    """Return the number Go's ParseInt reads, None where it fails."""
    if _INTEGER.fullmatch(text) is None:
        return None
    number = int(text)
    return number if -_INT64_MAX - 1 <= number <= _INT64_MAX else None


def compile_selectors(labels: LabelSelector, fields: FieldSelector) -> MetaMatch | None:
    """Return both selectors as one function of a meta blob, None if everything is selected."""
    parts = (labels.compile(), fields.compile())
    return _all([part for part in parts if part is not None])


def build_meta(labels: Mapping[str, str] | None, fields: Mapping[str, str]) -> bytes:
    """Return the blob that compiled selectors search.

    Args:
        labels: as in the object's metadata.
        fields: values of the type's field-selector fields; the indexes of storage read them too.
    """
    head = [f"{key}={value}\0" for key, value in labels.items()] if labels else ()
    tail = [f"{key}={value}\1" for key, value in fields.items() if value]
    text = f"\0{''.join(head)}\1{''.join(tail)}"
    if text.count("\0") + text.count("\1") != len(head) + len(tail) + 2:
        return _build_escaped(labels or {}, fields)
    return text.encode()


def _build_escaped(labels: Mapping[str, str], fields: Mapping[str, str]) -> bytes:
    head = [_escape(f"{key}={value}") + LABEL_SEPARATOR for key, value in labels.items()]
    tail = [_escape(f"{key}={value}") + FIELD_SEPARATOR for key, value in fields.items() if value]
    return b"".join([LABEL_SEPARATOR, *head, FIELD_SEPARATOR, *tail])


def _escape(text: str) -> bytes:
    return text.replace("\0", _REPLACEMENT).replace("\1", _REPLACEMENT).encode()


def _needle(text: str, separator: bytes) -> bytes:
    return separator + _escape(text)


def _search(needles: list[bytes], *, is_wanted: bool) -> MetaMatch:
    """Return a function telling whether any needle is found (or, not wanted, none)."""
    # find() takes half the time of `in` on bytes (93 and 177 ns, measured).
    if len(needles) == 1:
        needle = needles[0]
        if is_wanted:
            return lambda meta: meta.find(needle) >= 0
        return lambda meta: meta.find(needle) < 0

    def match(meta: bytes) -> bool:
        for candidate in needles:
            if meta.find(candidate) >= 0:
                return is_wanted
        return not is_wanted

    return match


def _all(parts: list[MetaMatch]) -> MetaMatch | None:
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0]
    if len(parts) == 2:
        first, second = parts
        return lambda meta: first(meta) and second(meta)

    return lambda meta: all(part(meta) for part in parts)
