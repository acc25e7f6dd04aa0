"""Caches keyed by texts do not outgrow the large bodies that fill them."""

from __future__ import annotations

from apiserver.types.formats import is_dns1123_label
from kube.label_syntax import value_faults
from kube.text_cache import LARGE_BYTES_MAX, note_large_body, text_cache


def test_the_caches_are_emptied_when_enough_large_bodies_were_read() -> None:
    asked = []

    @text_cache(maxsize=16)
    def length(text: str) -> int:
        asked.append(text)
        return len(text)

    note_large_body(LARGE_BYTES_MAX + 1)  # whatever others have noted
    assert [length("abc"), length("abc")] == [3, 3]
    note_large_body(LARGE_BYTES_MAX)
    assert length("abc") == 3
    assert asked == ["abc"]
    note_large_body(1)
    assert length("abc") == 3
    assert asked == ["abc", "abc"]


def test_the_checks_of_names_and_labels_are_among_them() -> None:
    for check in (is_dns1123_label, value_faults):
        check("abc")
        assert check.cache_info().currsize
        note_large_body(LARGE_BYTES_MAX + 1)
        assert not check.cache_info().currsize
