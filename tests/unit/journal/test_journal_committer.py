"""Choosing a group, the tail cache, the key window."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from journal.committer import choose_group
from journal.key_window import KeyWindow
from journal.record import Chunk
from journal.tail_cache import TailCache


@given(
    st.lists(st.integers(0, 100), min_size=1, max_size=30), st.integers(1, 300), st.integers(1, 10)
)
def test_a_group_is_the_longest_that_fits_and_never_empty(
    sizes: list[int], bytes_max: int, count_max: int
) -> None:
    taken = choose_group(sizes, bytes_max, count_max)
    assert 1 <= taken <= min(count_max, len(sizes))
    assert taken == 1 or sum(sizes[:taken]) <= bytes_max
    if taken < len(sizes):
        assert taken == count_max or sum(sizes[: taken + 1]) > bytes_max


def chunk(first: int, count: int, size: int = 10) -> Chunk:
    return Chunk(first, first + count, bytes([first]) * size)


def test_the_tail_cache_gives_what_holds_the_sequence_and_what_follows() -> None:
    cache = TailCache(1000)
    for first in (1, 4, 7):
        cache.push(chunk(first, 3))
    assert cache.get(5, 1000) == Chunk(4, 10, bytes([4]) * 10 + bytes([7]) * 10)
    assert cache.get(5, 15) == chunk(4, 3)
    assert cache.get(10, 1000) is None


def test_the_tail_cache_forgets_the_oldest_but_never_the_newest() -> None:
    cache = TailCache(25)
    for first in (1, 2, 3):
        cache.push(chunk(first, 1))
    assert cache.get(1, 100) is None
    assert cache.get(2, 100) is not None
    assert cache.held_bytes == 20
    cache.push(chunk(4, 1, size=100))
    assert cache.get(3, 100) is None
    assert cache.get(4, 100) == chunk(4, 1, size=100)


def test_the_key_window_holds_the_last_ones() -> None:
    window = KeyWindow(2, [(b"a", 1), (b"b", 2)])
    window.add(b"c", 3)
    assert [window.get(key) for key in (b"a", b"b", b"c")] == [None, 2, 3]
    assert len(window) == 2
