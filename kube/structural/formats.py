"""The formats that strings are checked against; others are ignored, as upstream strips them.

A format's name counts without its dashes. Each check takes a text and says whether it fits; texts
are as upstream's parsers take them, which are laxer than the standards they are named for.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import date
from email.utils import parseaddr
from functools import cache
from typing import Final

from kube.go_durations import parse_go_duration
from kube.structural.patterns import compile_pattern

Check = Callable[[str], bool]

_HEX: Final = "[0-9a-f]"
_UUIDS: Final = {
    "uuid": f"{_HEX}{{4}}-?{_HEX}{{4}}",
    "uuid3": f"3{_HEX}{{3}}-?{_HEX}{{4}}",
    "uuid4": f"4{_HEX}{{3}}-?[89ab]{_HEX}{{3}}",
    "uuid5": f"5{_HEX}{{3}}-?[89ab]{_HEX}{{3}}",
}
_HOSTNAME: Final = (
    r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)|([a-zA-Z0-9\p{S}\p{L}]"
    r"(([a-zA-Z0-9-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z\p{L}]){2,63})$"
)
_BYTE: Final = r"(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])"
_SHORT: Final = "[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_PATTERNS: Final = {
    "hexcolor": r"^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$",
    "rgbcolor": rf"^rgb\(\s*{_BYTE}\s*,\s*{_BYTE}\s*,\s*{_BYTE}\s*\)$",
    "ssn": r"^\d{3}[- ]?\d{2}[- ]?\d{4}$",
    "byte": r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$",
    "bsonobjectid": "^[0-9a-fA-F]{24}$",
    "k8sshortname": f"^{_SHORT}$",
    "k8slongname": rf"^{_SHORT}(\.{_SHORT})*$",
    **{
        name: f"(?i)^{_HEX}{{8}}-?{_HEX}{{4}}-?{middle}-?{_HEX}{{12}}$"
        for name, middle in _UUIDS.items()
    },
}
_BYTES_MAX: Final = {"k8sshortname": 63, "k8slongname": 253}
_SSN_LENGTH: Final = 11
_CARD: Final = re.compile(
    r"(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}"
    r"|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11})"
)
_TIME: Final = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|[+-][0-9]{2}:[0-9]{2})")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MAC: Final = re.compile(
    r"[0-9a-f]{2}(?:(?::[0-9a-f]{2})+|(?:-[0-9a-f]{2})+)|[0-9a-f]{4}(?:\.[0-9a-f]{4})+", re.I
)
_MAC_BYTES: Final = frozenset({6, 8, 20})
# Looked for where a number begins, and never twice: linear in the text.
_TERM: Final = re.compile(r"(?<!\d)(\d++)\s*+([A-Za-zµ]+)", re.ASCII)
# Longer ones are refused, as parsing them takes more than linear time.
_PARSED_LENGTH_MAX: Final = 4096
_UNITS: Final = ("ns", "us", "µs", "ms", "s", "m", "h", "hr", "d", "w", "wk")
_UNIT_STARTS: Final = ("nano", "micro", "milli", "sec", "min", "hour", "day", "week")
_ESCAPE: Final = re.compile(r"%(?![0-9a-fA-F]{2})")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_INT64_MAX: Final = 2**63 - 1


def _is_hostname(text: str) -> bool:
    if not compile_pattern(_HOSTNAME)(text) or len(text.encode()) > 255:
        return False
    return all(len(part.encode()) <= 63 for part in text.split("."))


def _sloppy(text: str) -> str:
    """Return an IPv4 address without leading zeros, which upstream takes."""
    parts = text.split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() for part in parts):
        return text
    return ".".join(part.lstrip("0") or "0" for part in parts)


def _is_address(text: str) -> bool:
    if "%" in text:
        return False
    head, colon, tail = text.rpartition(":")
    try:
        ipaddress.ip_address(head + colon + _sloppy(tail))
    except ValueError:
        return False
    return True


def _is_cidr(text: str) -> bool:
    address, slash, bits = text.partition("/")
    if not slash or not (bits.isascii() and bits.isdigit()) or not _is_address(address):
        return False
    return len(bits) <= 8 and int(bits) <= (128 if ":" in address else 32)


def _is_ipv6(text: str) -> bool:
    if ":" not in text or "%" in text:
        return False
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _is_mac(text: str) -> bool:
    return _MAC.fullmatch(text) is not None and (
        len(re.sub("[^0-9a-fA-F]", "", text)) // 2 in _MAC_BYTES
    )


def _is_card(text: str) -> bool:
    digits = re.sub("[^0-9]+", "", text)
    if _CARD.fullmatch(digits) is None:
        return False
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if index % 2 else 1)
        total += value % 10 + 1 if value >= 10 else value
    return total % 10 == 0


def _is_isbn10(text: str) -> bool:
    digits = re.sub(r"[\t\n\f\r -]+", "", text)
    if re.fullmatch("[0-9]{9}[0-9X]", digits) is None:
        return False
    values = [10 if digit == "X" else int(digit) for digit in digits]
    return sum((index + 1) * value for index, value in enumerate(values)) % 11 == 0


def _is_isbn13(text: str) -> bool:
    digits = re.sub(r"[\t\n\f\r -]+", "", text)
    if re.fullmatch("[0-9]{13}", digits) is None:
        return False
    total = sum(int(digit) * (3 if index % 2 else 1) for index, digit in enumerate(digits[:12]))
    return int(digits[12]) == (10 - total % 10) % 10


def _is_date(text: str) -> bool:
    if _DATE.fullmatch(text) is None:
        return False
    # Go knows a year 0, a leap year; Python does not.
    year = "0004" if text.startswith("0000") else text[:4]
    try:
        date.fromisoformat(year + text[4:])
    except ValueError:
        return False
    return True


def _is_datetime(text: str) -> bool:
    parts = text.lower().split("t")
    if len(parts) < 2 or not _is_date(parts[0]):
        return False
    found = _TIME.fullmatch(parts[1])
    return found is not None and found[1] <= "23" and found[2] <= "59" and found[3] <= "59"


def _is_duration(text: str) -> bool:
    if len(text) > _PARSED_LENGTH_MAX:
        return False
    try:
        parse_go_duration(text)
    except ValueError:
        return _has_terms(text)
    return True


def _has_terms(text: str) -> bool:
    """Tell whether a text has a term like `3 days` (anything else around it is ignored)."""
    found = False
    for count, unit in _TERM.findall(text):
        if len(count) > 19 or int(count) > _INT64_MAX:
            return False
        found = found or unit.lower() in _UNITS or unit.lower().startswith(_UNIT_STARTS)
    return found


def is_request_uri(text: str) -> bool:
    """Tell whether a text is an absolute URI or an absolute path, as Go parses a request's."""
    if not text or re.search(r"[\x00-\x1f\x7f]", text):
        return False
    if text == "*":
        return True
    rest = text
    if found := _SCHEME.match(text):
        rest = text[found.end() :]
    elif text.startswith(":"):
        return False
    rest, _, _query = rest.partition("?")
    if not rest.startswith("/"):
        # Something opaque after a scheme is fine, but not without one.
        return rest != text.partition("?")[0] and bool(rest)
    if rest.startswith("//"):
        authority, _, path = rest[2:].partition("/")
        return _is_authority(authority) and _ESCAPE.search(path) is None
    return _ESCAPE.search(rest) is None


def _is_authority(text: str) -> bool:
    host = text.rpartition("@")[2]
    if host.startswith("["):
        inside, bracket, port = host[1:].rpartition("]")
        return bool(bracket) and _is_port(port) and _ESCAPE.search(inside) is None
    name, colon, port = host.partition(":")
    if re.search(r'[ "<>\\^`{|}]', name) or "%" in name:
        return False
    return not colon or _is_port(f":{port}")


def _is_port(text: str) -> bool:
    return not text or (text.startswith(":") and (text == ":" or text[1:].isdigit()))


def _is_email(text: str) -> bool:
    if len(text) > _PARSED_LENGTH_MAX:
        return False
    _name, address = parseaddr(text)
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain or re.search(r"[\s()<>,;:\\\"\[\]]", domain):
        return False
    if not local.startswith('"') and (".." in local or local[0] == "." or local[-1] == "."):
        return False
    return ".." not in domain and domain[0] != "." and domain[-1] != "."


_CHECKS: Final[dict[str, Check]] = {
    "cidr": _is_cidr,
    "creditcard": _is_card,
    "date": _is_date,
    "datetime": _is_datetime,
    "duration": _is_duration,
    "email": _is_email,
    "hostname": _is_hostname,
    "ipv4": lambda text: "." in text and _is_address(text),
    "ipv6": _is_ipv6,
    "isbn": lambda text: _is_isbn10(text) or _is_isbn13(text),
    "isbn10": _is_isbn10,
    "isbn13": _is_isbn13,
    "mac": _is_mac,
    "password": lambda _text: True,
    "uri": is_request_uri,
}
NAMES: Final = frozenset({*_CHECKS, *_PATTERNS})
"""The formats of strings that are known, without dashes."""
_NUMBERS: Final = {"integer": ("int32", "int64"), "number": ("float", "double")}


@cache
def _check_by_pattern(name: str) -> Check:
    match = compile_pattern(_PATTERNS[name])
    limit = _BYTES_MAX.get(name)
    if name == "ssn":
        return lambda text: len(text.encode()) == _SSN_LENGTH and match(text)
    if limit is not None:
        return lambda text: len(text) <= limit and match(text)
    return match


def check_of(name: str) -> Check:
    """Return the check of a known format of strings."""
    known = name.replace("-", "")
    return _CHECKS.get(known) or _check_by_pattern(known)


def is_known(name: str, type_: str) -> bool:
    """Tell whether a format means something for a type ("" where the schema names none)."""
    if type_ in {"", "string"}:
        return name.replace("-", "") in NAMES
    return name in _NUMBERS.get(type_, ())
