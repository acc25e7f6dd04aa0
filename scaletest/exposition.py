"""Reads pages of metrics in the Prometheus text format, again and again, from one server.

A page of a busy server has thousands of lines, and most differ from the last page's in nothing but
the number at their end. So what stands before the number is taken apart once, and looked up after.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

_LABEL: Final = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_ESCAPE: Final = re.compile(r'\\([\\"n])')
_SERIES_MAX: Final = 200_000


class Series(NamedTuple):
    """What a line is about."""

    name: str
    labels: Mapping[str, str]


class Exposition:
    """See the module's head.

    Args of the constructor:
        wanted: names of samples; other lines are passed over.
    """

    def __init__(self, wanted: Iterable[str]) -> None:
        self._wanted = frozenset(wanted)
        self._known: dict[bytes, Series | None] = {}

    def read(self, lines: Iterable[bytes]) -> dict[str, list[tuple[Mapping[str, str], float]]]:
        """Return the wanted samples of a page: by name, labels and value of each line.

        Raises:
            ValueError: a line is no sample.
        """
        found: dict[str, list[tuple[Mapping[str, str], float]]] = {}
        for line in lines:
            if not line or line[0] == 35:  # a comment
                continue
            head, _, value = line.rpartition(b" ")
            series = self._known.get(head, _UNKNOWN)
            if series is _UNKNOWN:
                series = self._learn(head)
            if series is not None:
                found.setdefault(series.name, []).append((series.labels, float(value)))
        return found

    def _learn(self, head: bytes) -> Series | None:
        text = head.decode()
        name, _, labels = text.partition("{")
        series = None
        if name in self._wanted:
            series = Series(name, {key: _plain(value) for key, value in _LABEL.findall(labels)})
        if len(self._known) >= _SERIES_MAX:
            self._known.clear()
        self._known[head] = series
        return series


_UNKNOWN: Final = Series("", {})


def _plain(value: str) -> str:
    if "\\" not in value:
        return value
    return _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], value)
