"""The text form in which Indexed Jobs list completed and failed indexes: `1,3-5,7`."""

from __future__ import annotations

from collections.abc import Iterator

from kube.field import quote


class IndexesError(ValueError):
    """A list of indexes is malformed; the message is upstream's."""


def count_indexes(text: str, completions: int) -> int:
    """Return how many indexes `text` lists.

    Raises:
        IndexesError: it is malformed, out of order, or beyond `completions`.
    """
    if not text:
        return 0
    total = 0
    previous: int | None = None
    for part in text.split(","):
        first, last = _parse_interval(part, completions)
        if previous is not None and previous >= first:
            raise IndexesError(f"non-increasing order, previous: {previous}, current: {first}")
        total += last - first + 1
        previous = last
    return total


def first_overlap(left: str, right: str, completions: int) -> int | None:
    """Return the first index that both texts list; malformed parts are passed over."""
    lefts, rights = _intervals(left, completions), _intervals(right, completions)
    one, other = next(lefts, None), next(rights, None)
    while one is not None and other is not None:
        if one[0] <= other[1] and other[0] <= one[1]:
            return max(one[0], other[0])
        if one[0] <= other[0]:
            one = next(lefts, None)
        else:
            other = next(rights, None)
    return None


def _intervals(text: str, completions: int) -> Iterator[tuple[int, int]]:
    for part in text.split(",") if text else ():
        try:
            yield _parse_interval(part, completions)
        except IndexesError:
            # Reported where the text itself is checked.
            continue


def _parse_interval(text: str, completions: int) -> tuple[int, int]:
    ends = text.split("-")
    if len(ends) > 2:
        raise IndexesError(
            f"the fragment {quote(text)} violates the requirement that an index interval can have "
            "at most two parts separated by '-'"
        )
    first = _parse_index(ends[0], completions)
    if len(ends) == 1:
        return first, first
    last = _parse_index(ends[1], completions)
    if first >= last:
        raise IndexesError(f"non-increasing order, previous: {first}, current: {last}")
    return first, last


def _parse_index(text: str, completions: int) -> int:
    if not text.isascii() or not text.isdigit():
        raise IndexesError(f"cannot convert string to integer for index: {quote(text)}")
    index = int(text)
    if index >= completions:
        raise IndexesError(f"too large index: {quote(text)}")
    return index
