"""String formats of the Kubernetes API: each check says, in upstream's words, what is wrong.

Rules and wording follow k8s.io/apimachinery `util/validation` and `api/validate/content`. A check
returns an empty list for a good value. Results are cached and shared, so callers must not change
the lists they get. Lengths are counted in bytes of UTF-8, as upstream counts them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from kube.text_cache import text_cache

StringCheck: TypeAlias = Callable[[str], list[str]]
NameCheck: TypeAlias = Callable[[str, bool], list[str]]

DNS_LABEL_BYTES_MAX: Final = 63
DNS_SUBDOMAIN_BYTES_MAX: Final = 253
LABEL_VALUE_BYTES_MAX: Final = 63
_CACHED: Final = 16_384

_LABEL_1123: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL_1123}(\.{_LABEL_1123})*"
_LABEL_1035: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
_WILDCARD: Final = rf"\*\.{_SUBDOMAIN}"
_QUALIFIED: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE: Final = f"({_QUALIFIED})?"
_PERCENT: Final = "[0-9]+%"
_HEADER: Final = "[-A-Za-z0-9]+"
_ENV_NAME: Final = "[-._a-zA-Z][-._a-zA-Z0-9]*"
_CONFIG_KEY: Final = "[-._a-zA-Z0-9]+"
_C_IDENTIFIER: Final = "[A-Za-z_][A-Za-z0-9_]*"
_HTTP_PATH: Final = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
_REASON: Final = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"

_match_label_1123 = re.compile(_LABEL_1123).fullmatch
_match_subdomain = re.compile(_SUBDOMAIN).fullmatch
_match_label_1035 = re.compile(_LABEL_1035).fullmatch
_match_wildcard = re.compile(_WILDCARD).fullmatch
_match_qualified = re.compile(_QUALIFIED).fullmatch
_match_label_value = re.compile(_LABEL_VALUE).fullmatch
_match_percent = re.compile(_PERCENT).fullmatch
_match_header = re.compile(_HEADER).fullmatch
_match_env_name = re.compile(_ENV_NAME).fullmatch
_match_config_key = re.compile(_CONFIG_KEY).fullmatch
_match_c_identifier = re.compile(_C_IDENTIFIER).fullmatch
_match_http_path = re.compile(_HTTP_PATH).fullmatch
_match_reason = re.compile(_REASON).fullmatch
_match_port_chars = re.compile("[-a-z0-9]+").fullmatch
_find_letter = re.compile("[a-z]").search

_LOWERCASE_LABEL: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character"
)
_LOWERCASE_SUBDOMAIN: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character"
)
_DNS_1035: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character"
)
_WILDCARD_TEXT: Final = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which "
    "must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric "
    "character"
)
_QUALIFIED_TEXT: Final = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character"
)
_ENV_NAME_TEXT: Final = (
    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', "
    "or '.', and must not start with a digit"
)
_RELAXED_ENV_TEXT: Final = (
    "a valid environment variable name must consist only of printable ASCII characters other "
    "than '='"
)
_REASON_TEXT: Final = (
    "a condition reason must start with alphabetic character, optionally followed by a string of "
    "alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'"
)


def byte_length(value: str) -> int:
    """Return how many bytes `value` has in UTF-8."""
    return len(value) if value.isascii() else len(value.encode())


def max_length_error(length: int) -> str:
    """Word a limit on a string's length."""
    return f"must be no more than {length} characters"


def max_bytes_error(length: int) -> str:
    """Word a limit on a string's length where upstream counts aloud in bytes."""
    return f"must be no more than {length} bytes"


def range_error(low: int, high: int) -> str:
    """Word an inclusive range."""
    return f"must be between {low} and {high}, inclusive"


def regex_error(text: str, pattern: str, *examples: str) -> str:
    """Word a failed pattern, with examples of what would pass."""
    if not examples:
        return f"{text} (regex used for validation is '{pattern}')"
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{text} (e.g. {shown}regex used for validation is '{pattern}')"


@text_cache(maxsize=_CACHED)
def is_dns1123_label(value: str) -> list[str]:
    """Check a DNS label by RFC 1123 (`my-name`)."""
    if len(value) <= DNS_LABEL_BYTES_MAX and _match_label_1123(value):
        return []
    errors = []
    if byte_length(value) > DNS_LABEL_BYTES_MAX:
        errors.append(max_length_error(DNS_LABEL_BYTES_MAX))
    if not _match_label_1123(value):
        if _match_subdomain(value):
            errors.append("must not contain dots")
        else:
            errors.append(regex_error(_LOWERCASE_LABEL, _LABEL_1123, "my-name", "123-abc"))
    return errors


@text_cache(maxsize=_CACHED)
def is_dns1123_subdomain(value: str) -> list[str]:
    """Check dot-separated DNS labels by RFC 1123 (`example.com`)."""
    if len(value) <= DNS_SUBDOMAIN_BYTES_MAX and _match_subdomain(value):
        return []
    return _subdomain_faults(value, max_length_error)


def _subdomain_faults(value: str, length_error: Callable[[int], str]) -> list[str]:
    errors = []
    if byte_length(value) > DNS_SUBDOMAIN_BYTES_MAX:
        errors.append(length_error(DNS_SUBDOMAIN_BYTES_MAX))
    if not _match_subdomain(value):
        errors.append(regex_error(_LOWERCASE_SUBDOMAIN, _SUBDOMAIN, "example.com"))
    return errors


@text_cache(maxsize=_CACHED)
def is_dns1035_label(value: str) -> list[str]:
    """Check a DNS label by RFC 1035: as RFC 1123, but starting with a letter."""
    errors = []
    if byte_length(value) > DNS_LABEL_BYTES_MAX:
        errors.append(max_length_error(DNS_LABEL_BYTES_MAX))
    if not _match_label_1035(value):
        errors.append(regex_error(_DNS_1035, _LABEL_1035, "my-name", "abc-123"))
    return errors


@text_cache(maxsize=_CACHED)
def is_wildcard_dns1123_subdomain(value: str) -> list[str]:
    """Check a host name whose first label is `*`."""
    errors = []
    if byte_length(value) > DNS_SUBDOMAIN_BYTES_MAX:
        errors.append(max_length_error(DNS_SUBDOMAIN_BYTES_MAX))
    if not _match_wildcard(value):
        errors.append(regex_error(_WILDCARD_TEXT, _WILDCARD, "*.example.com"))
    return errors


@text_cache(maxsize=_CACHED)
def is_qualified_name(value: str) -> list[str]:
    """Check a label key: a name with an optional DNS prefix (`example.com/MyName`)."""
    prefix, slash, name = value.rpartition("/")
    if "/" in prefix:
        text = regex_error(_QUALIFIED_TEXT, _QUALIFIED, "MyName", "my.name", "123-abc")
        return [
            f"a valid label key {text} with an optional DNS subdomain prefix and '/' "
            "(e.g. 'example.com/MyName')"
        ]
    errors = []
    if slash and not prefix:
        errors.append("prefix part must be non-empty")
    elif prefix:
        errors.extend(f"prefix part {m}" for m in _subdomain_faults(prefix, max_bytes_error))
    if not name:
        errors.append("name part must be non-empty")
    elif byte_length(name) > LABEL_VALUE_BYTES_MAX:
        errors.append(f"name part {max_bytes_error(LABEL_VALUE_BYTES_MAX)}")
    if not _match_qualified(name):
        text = regex_error(_QUALIFIED_TEXT, _QUALIFIED, "MyName", "my.name", "123-abc")
        errors.append(f"name part {text}")
    return errors


@text_cache(maxsize=_CACHED)
def is_valid_label_value(value: str) -> list[str]:
    """Check a label's value; empty is good."""
    errors = []
    if byte_length(value) > LABEL_VALUE_BYTES_MAX:
        errors.append(max_bytes_error(LABEL_VALUE_BYTES_MAX))
    if not _match_label_value(value):
        text = f"a valid label must be an empty string or {_QUALIFIED_TEXT.removeprefix('must ')}"
        errors.append(regex_error(text, _LABEL_VALUE, "MyValue", "my_value", "12345"))
    return errors


def is_valid_port_num(port: int) -> list[str]:
    """Check a port number other than zero."""
    return [] if 1 <= port <= 65_535 else [range_error(1, 65_535)]


def is_in_range(value: int, low: int, high: int) -> list[str]:
    """Check a number against an inclusive range."""
    return [] if low <= value <= high else [range_error(low, high)]


def is_valid_user_or_group_id(value: int) -> list[str]:
    """Check a Unix user or group id."""
    return is_in_range(value, 0, 2**31 - 1)


@text_cache(maxsize=_CACHED)
def is_valid_port_name(port: str) -> list[str]:
    """Check an IANA service name: at most 15 of `[-a-z0-9]`, at least one letter."""
    errors = []
    if byte_length(port) > 15:
        errors.append(max_length_error(15))
    if not _match_port_chars(port):
        errors.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not _find_letter(port):
        errors.append("must contain at least one letter (a-z)")
    if "--" in port:
        errors.append("must not contain consecutive hyphens")
    if port.startswith("-") or port.endswith("-"):
        errors.append("must not begin or end with a hyphen")
    return errors


@text_cache(maxsize=1024)
def is_valid_percent(value: str) -> list[str]:
    """Check a percentage such as `25%`."""
    if _match_percent(value):
        return []
    text = "a valid percent string must be a numeric string followed by an ending '%'"
    return [regex_error(text, _PERCENT, "1%", "93%")]


@text_cache(maxsize=1024)
def is_http_header_name(value: str) -> list[str]:
    """Check an HTTP header's name."""
    if _match_header(value):
        return []
    text = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [regex_error(text, _HEADER, "X-Header-Name")]


def _parent_directory_faults(value: str) -> list[str]:
    if value in {".", ".."}:
        return [f"must not be '{value}'"]
    return ["must not start with '..'"] if value.startswith("..") else []


@text_cache(maxsize=_CACHED)
def is_env_var_name(value: str) -> list[str]:
    """Check an environment variable's name, by the strict rule."""
    errors = []
    if not _match_env_name(value):
        examples = ("my.env-name", "MY_ENV.NAME", "MyEnvName1")
        errors.append(regex_error(_ENV_NAME_TEXT, _ENV_NAME, *examples))
    return errors + _parent_directory_faults(value)


@text_cache(maxsize=_CACHED)
def is_relaxed_env_var_name(value: str) -> list[str]:
    """Check an environment variable's name, by the rule in force for pods."""
    if not value:
        return ["environment variable name must be non-empty"]
    if not value.isascii() or not value.isprintable() or "=" in value:
        return [_RELAXED_ENV_TEXT]
    return []


@text_cache(maxsize=_CACHED)
def is_config_map_key(value: str) -> list[str]:
    """Check a key of a ConfigMap or Secret."""
    if len(value) <= DNS_SUBDOMAIN_BYTES_MAX and value[:1] != "." and _match_config_key(value):
        return []
    errors = []
    if byte_length(value) > DNS_SUBDOMAIN_BYTES_MAX:
        errors.append(max_length_error(DNS_SUBDOMAIN_BYTES_MAX))
    if not _match_config_key(value):
        text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        errors.append(regex_error(text, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    return errors + _parent_directory_faults(value)


@text_cache(maxsize=1024)
def is_c_identifier(value: str) -> list[str]:
    """Check an identifier of C."""
    if _match_c_identifier(value):
        return []
    text = (
        "a valid C identifier must start with alphabetic character or '_', followed by a string "
        "of alphanumeric characters or '_'"
    )
    return [regex_error(text, _C_IDENTIFIER, "my_name", "MY_NAME", "MyName")]


@text_cache(maxsize=1024)
def is_http_path(value: str) -> list[str]:
    """Check the characters of an HTTP path."""
    return [] if _match_http_path(value) else [regex_error("Invalid path", _HTTP_PATH)]


@text_cache(maxsize=1024)
def is_condition_reason(value: str) -> list[str]:
    """Check the reason of a condition."""
    if _match_reason(value):
        return []
    examples = ("my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB")
    return [regex_error(_REASON_TEXT, _REASON, *examples)]


def is_path_segment_name(name: str) -> list[str]:
    """Check that a name can stand in a URL path as it is."""
    if name in {".", ".."}:
        return [f"may not be '{name}'"]
    return is_path_segment_prefix(name)


def is_path_segment_prefix(name: str) -> list[str]:
    """Check that a name with more appended can stand in a URL path as it is."""
    return [f"may not contain '{char}'" for char in "/%" if char in name]


def mask_trailing_dash(name: str) -> str:
    """Return a generateName as it is checked: a final dash is fine, as characters follow it."""
    return f"{name[:-2]}a" if len(name) > 1 and name.endswith("-") else name


def _named(check: StringCheck) -> NameCheck:
    # Names are rarely seen twice: remembering them costs more than the check.
    fresh: StringCheck = getattr(check, "__wrapped__", check)
    return lambda name, prefix: fresh(mask_trailing_dash(name) if prefix else name)


name_is_dns_subdomain: Final[NameCheck] = _named(is_dns1123_subdomain)
name_is_dns_label: Final[NameCheck] = _named(is_dns1123_label)
name_is_path_segment: Final[NameCheck] = lambda name, prefix: (  # noqa: E731 (untyped bool)
    is_path_segment_prefix(name) if prefix else is_path_segment_name(name)
)
