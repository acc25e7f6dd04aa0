"""What may be a label's key and value; rules and words of apimachinery `api/validate/content`."""

from __future__ import annotations

import re
from typing import Final

from kube.text_cache import text_cache

_NAME: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE: Final = f"({_NAME})?"
_DNS_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_DNS_LABEL}(\.{_DNS_LABEL})*"
_match_name = re.compile(_NAME).fullmatch
_match_value = re.compile(_VALUE).fullmatch
_match_subdomain = re.compile(_SUBDOMAIN).fullmatch
_NAME_BYTES_MAX: Final = 63
_PREFIX_BYTES_MAX: Final = 253
_CACHED: Final = 16_384

_CHARACTERS: Final = (
    "consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character"
)
_NAME_FAULT: Final = (
    f"must {_CHARACTERS} (e.g. 'MyName',  or 'my.name',  or '123-abc', "
    f"regex used for validation is '{_NAME}')"
)
_VALUE_FAULT: Final = (
    f"a valid label must be an empty string or {_CHARACTERS} (e.g. 'MyValue',  or 'my_value',  or "
    f"'12345', regex used for validation is '{_VALUE}')"
)
_PREFIX_FAULT: Final = (
    "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric "
    "characters, '-' or '.', and must start and end with an alphanumeric character (e.g. "
    f"'example.com', regex used for validation is '{_SUBDOMAIN}')"
)


def _too_long(limit: int) -> str:
    return f"must be no more than {limit} bytes"


@text_cache(maxsize=_CACHED)
def key_faults(key: str) -> tuple[str, ...]:
    """Return what is wrong with a label key (`app`, `example.com/name`): nothing if it is good."""
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        return (
            f"a valid label key {_NAME_FAULT} with an optional DNS subdomain prefix and '/' "
            "(e.g. 'example.com/MyName')",
        )
    faults = []
    if slash and not prefix:
        faults.append("prefix part must be non-empty")
    elif prefix:
        if len(prefix.encode()) > _PREFIX_BYTES_MAX:
            faults.append(f"prefix part {_too_long(_PREFIX_BYTES_MAX)}")
        if not _match_subdomain(prefix):
            faults.append(_PREFIX_FAULT)
    if not name:
        faults.append("name part must be non-empty")
    elif len(name.encode()) > _NAME_BYTES_MAX:
        faults.append(f"name part {_too_long(_NAME_BYTES_MAX)}")
    if not _match_name(name):
        faults.append(f"name part {_NAME_FAULT}")
    return tuple(faults)


@text_cache(maxsize=_CACHED)
def value_faults(value: str) -> tuple[str, ...]:
    """Return what is wrong with a label value: nothing if it is good; empty is good."""
    faults = []
    if len(value.encode()) > _NAME_BYTES_MAX:
        faults.append(_too_long(_NAME_BYTES_MAX))
    if not _match_value(value):
        faults.append(_VALUE_FAULT)
    return tuple(faults)
