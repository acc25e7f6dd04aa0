"""Named formats: `format.dns1123Label().validate(x)` gives what is wrong with a text."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from typing import Final

from kube.cel.errors import CelError
from kube.cel.library.moments import parse_date, parse_timestamp
from kube.cel.library.urls import parse_url
from kube.cel.overloads import Declarations
from kube.cel.types import opaque, type_of
from kube.cel.values import NONE, Opaque, Optional, traversal
from kube.label_syntax import key_faults, value_faults

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
_LABEL_MAX: Final = 63
_SUBDOMAIN_MAX: Final = 253
_UUID: Final = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.I)
_LABEL_FAULT: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    f"for validation is '{_LABEL}')"
)
_SUBDOMAIN_FAULT: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    f"for validation is '{_SUBDOMAIN}')"
)
_LABEL_1035_FAULT: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
    f"regex used for validation is '{_LABEL_1035}')"
)
Check = Callable[[str], Iterable[str]]


class Format(Opaque):
    """A format by its name; how long a pattern it checks by decides what that costs."""

    __slots__ = ("check", "name", "pattern_length")
    type_name = "kubernetes.NamedFormat"

    def __init__(self, name: str, pattern_length: int, check: Check) -> None:
        self.name = name
        self.pattern_length = pattern_length
        self.check = check


def _pattern(pattern: str, size_max: int, fault: str, *, prefix: bool) -> Check:
    match = re.compile(pattern).fullmatch

    def check(text: str) -> Iterable[str]:
        # Of a prefix, more is to come: a dash at its end is covered by a letter.
        judged = text[:-1] + "a" if prefix and text.endswith("-") else text
        if len(judged.encode("utf-8", "surrogatepass")) > size_max:
            yield f"must be no more than {size_max} bytes"
        if not match(judged):
            yield fault

    return check


def _raising(parse: Callable[[str], object], fault: str = "") -> Check:
    def check(text: str) -> Iterable[str]:
        try:
            parse(text)
        except (ValueError, CelError) as exc:
            yield fault or f'parse "{text}": {exc}'

    return check


def _uuid(text: str) -> None:
    if not _UUID.fullmatch(text):
        raise ValueError(text)


def _base64(text: str) -> None:
    try:
        base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeError) as exc:
        raise ValueError(text) from exc


_FORMATS: Final[dict[str, Format]] = {
    name: Format(name, pattern_length, check)
    for name, pattern_length, check in (
        ("dns1123Label", 30, _pattern(_LABEL, _LABEL_MAX, _LABEL_FAULT, prefix=False)),
        (
            "dns1123Subdomain",
            60,
            _pattern(_SUBDOMAIN, _SUBDOMAIN_MAX, _SUBDOMAIN_FAULT, prefix=False),
        ),
        ("dns1035Label", 30, _pattern(_LABEL_1035, _LABEL_MAX, _LABEL_1035_FAULT, prefix=False)),
        ("qualifiedName", 60, key_faults),
        ("dns1123LabelPrefix", 30, _pattern(_LABEL, _LABEL_MAX, _LABEL_FAULT, prefix=True)),
        (
            "dns1123SubdomainPrefix",
            60,
            _pattern(_SUBDOMAIN, _SUBDOMAIN_MAX, _SUBDOMAIN_FAULT, prefix=True),
        ),
        (
            "dns1035LabelPrefix",
            30,
            _pattern(_LABEL_1035, _LABEL_MAX, _LABEL_1035_FAULT, prefix=True),
        ),
        ("labelValue", 40, value_faults),
        ("uri", 1103, _raising(lambda text: parse_url(text, request=True))),
        ("uuid", 60, _raising(_uuid, "does not match the UUID format")),
        ("byte", 84, _raising(_base64, "invalid base64")),
        ("date", 160, _raising(parse_date, "invalid date")),
        ("datetime", 160, _raising(parse_timestamp, "invalid datetime")),
    )
}


def declare(to: Declarations) -> None:
    """Declare the formats and `validate`."""
    kind = Format.type_name
    to.types[kind] = type_of(opaque(kind))
    to.method(
        "validate",
        "format-validate",
        f"{kind}, string -> optional_type(list(string))",
        _validate,
        _cost,
    )
    to.function("format.named", "format-named", f"string -> optional_type({kind})", _named)
    for name, found in _FORMATS.items():
        to.function(f"format.{name}", f"format.{name}", f"-> {kind}", _constant(found))


def _constant(value: Format) -> Callable[[], Format]:
    return lambda: value


def _cost(named: Format, text: str) -> int:
    return traversal(len(text)) * traversal(named.pattern_length, 0.25)


def _validate(named: Format, text: str) -> Optional:
    faults = list(named.check(text))
    return Optional(faults) if faults else NONE


def _named(name: str) -> Optional:
    found = _FORMATS.get(name)
    return NONE if found is None else Optional(found)
