"""What is read out of a record without parsing its body."""

from __future__ import annotations

import pytest

from storage.record import field_needle, field_value, label_value

META = b"\x00zone=\x00app=web\x00a/zone=z-1\x00\x01spec.nodeName=n1\x01zone=no\x01"


@pytest.mark.parametrize(
    ("label", "value"), [("app", "web"), ("a/zone", "z-1"), ("zone", ""), ("ap", None), ("b", None)]
)
def test_a_label_is_found_by_its_whole_key_and_only_among_labels(
    label: str, value: str | None
) -> None:
    assert label_value(META, label) == value
    assert label_value(b"\x01app=web\x01", label) is None
    assert label_value(b"", label) is None


def test_a_field_is_found_by_its_whole_key() -> None:
    assert field_value(META, field_needle("spec.nodeName")) == b"n1"
    assert field_value(META, field_needle("nodeName")) is None
