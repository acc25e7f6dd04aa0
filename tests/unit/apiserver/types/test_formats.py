"""String formats: each rule, in upstream's words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apiserver.types import formats

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    r"for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
NAME_PART = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (formats.is_dns1123_label, "a-1"),
        (formats.is_dns1123_label, "1" * 63),
        (formats.is_dns1123_subdomain, "a.b-c.d"),
        (formats.is_dns1035_label, "web-1"),
        (formats.is_wildcard_dns1123_subdomain, "*.example.com"),
        (formats.is_qualified_name, "example.com/My_Name.1"),
        (formats.is_qualified_name, "app"),
        (formats.is_valid_label_value, ""),
        (formats.is_valid_label_value, "A_b.c-1"),
        (formats.is_valid_port_name, "http-1"),
        (formats.is_valid_percent, "25%"),
        (formats.is_http_header_name, "X-Forwarded-For"),
        (formats.is_env_var_name, "my.env-NAME_1"),
        (formats.is_relaxed_env_var_name, "1 odd-but:fine"),
        (formats.is_config_map_key, ".hidden"),
        (formats.is_config_map_key, "tls.crt"),
        (formats.is_c_identifier, "_name1"),
        (formats.is_condition_reason, "AsExpected"),
        (formats.is_path_segment_name, "odd name:x"),
    ],
)
def test_good_value_has_no_faults(check: Callable[[str], list[str]], value: str) -> None:
    assert check(value) == []


@pytest.mark.parametrize(
    ("check", "value", "faults"),
    [
        (formats.is_dns1123_label, "A", [LABEL]),
        (formats.is_dns1123_label, "a.b", ["must not contain dots"]),
        (formats.is_dns1123_label, "a" * 64, ["must be no more than 63 characters"]),
        (formats.is_dns1123_label, "a\n", [LABEL]),
        (formats.is_dns1123_subdomain, "a..b", [SUBDOMAIN]),
        (formats.is_dns1123_subdomain, "", [SUBDOMAIN]),
        (formats.is_dns1123_subdomain, "a" * 254, ["must be no more than 253 characters"]),
        (formats.is_qualified_name, "a b", [NAME_PART]),
        (formats.is_qualified_name, "", ["name part must be non-empty", NAME_PART]),
        (formats.is_qualified_name, "/a", ["prefix part must be non-empty"]),
        (formats.is_qualified_name, "A/a", [f"prefix part {SUBDOMAIN}"]),
        (formats.is_qualified_name, "a" * 64, ["name part must be no more than 63 bytes"]),
        (formats.is_valid_label_value, "v" * 64, ["must be no more than 63 bytes"]),
        (
            formats.is_valid_port_name,
            "-0--",
            [
                "must contain at least one letter (a-z)",
                "must not contain consecutive hyphens",
                "must not begin or end with a hyphen",
            ],
        ),
        (formats.is_valid_port_name, "a" * 16, ["must be no more than 15 characters"]),
        (formats.is_config_map_key, "..", ["must not be '..'"]),
        (formats.is_config_map_key, "..a", ["must not start with '..'"]),
        (formats.is_path_segment_name, ".", ["may not be '.'"]),
        (formats.is_path_segment_name, "a/b%", ["may not contain '/'", "may not contain '%'"]),
        (formats.is_relaxed_env_var_name, "", ["environment variable name must be non-empty"]),
    ],
)
def test_bad_value_is_named_as_upstream_names_it(
    check: Callable[[str], list[str]], value: str, faults: list[str]
) -> None:
    assert check(value) == faults


def test_qualified_name_with_two_slashes_is_described_as_a_whole() -> None:
    (fault,) = formats.is_qualified_name("a/b/c")
    assert fault.startswith("a valid label key must consist of alphanumeric characters")
    assert fault.endswith(
        "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
    )


def test_lengths_are_counted_in_bytes() -> None:
    assert "must be no more than 63 bytes" in formats.is_valid_label_value("é" * 32)


@pytest.mark.parametrize(("port", "good"), [(0, False), (1, True), (65_535, True), (65_536, False)])
def test_port_number_is_in_range(port: int, *, good: bool) -> None:
    expected = [] if good else ["must be between 1 and 65535, inclusive"]
    assert formats.is_valid_port_num(port) == expected


def test_trailing_dash_is_fine_in_a_prefix_only() -> None:
    assert formats.name_is_dns_subdomain("web-", True) == []  # noqa: FBT003
    assert formats.name_is_dns_subdomain("web-", False) == [SUBDOMAIN]  # noqa: FBT003
