"""Label keys and values."""

from __future__ import annotations

import pytest

from kube.label_syntax import key_faults, value_faults


@pytest.mark.parametrize("key", ["a", "app.kubernetes.io/name", "A_b-c.d", "x" * 63])
def test_good_keys_have_no_faults(key: str) -> None:
    assert key_faults(key) == ()


@pytest.mark.parametrize(
    ("key", "beginnings"),
    [
        ("", ["name part must be non-empty", "name part must consist"]),
        ("/a", ["prefix part must be non-empty"]),
        ("UP/a", ["prefix part a lowercase RFC 1123 subdomain must consist"]),
        ("a/b/c", ["a valid label key must consist"]),
        ("x" * 64, ["name part must be no more than 63 bytes"]),
        (f"{'x' * 254}/a", ["prefix part must be no more than 253 bytes"]),
        ("a\n", ["name part must consist"]),
    ],
)
def test_bad_keys_are_explained(key: str, beginnings: list[str]) -> None:
    faults = key_faults(key)
    assert len(faults) == len(beginnings)
    for fault, beginning in zip(faults, beginnings, strict=True):
        assert fault.startswith(beginning)


def test_values_may_be_empty_but_not_long_or_odd() -> None:
    assert value_faults("") == ()
    assert value_faults("é" * 40)[0] == "must be no more than 63 bytes"
    assert value_faults("a b")[0].startswith("a valid label must be an empty string or consist")
