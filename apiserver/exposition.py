"""The large families of metrics as text, without an object for each line.

A server that has been up for a while has a few hundred series of requests and of commits, with two
dozen buckets each: ten thousand lines, which prometheus-client makes samples of and renders one by
one, for a tenth of a second in which nothing else is done. Here a series keeps what its lines begin
with, so that a line is that, a bucket's end and a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

_ESCAPED: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def labels_text(names: Sequence[str], values: Sequence[str]) -> str:
    """Return labels as they stand in a line, sorted as all clients sort them, without braces."""
    pairs = sorted(zip(names, values, strict=True))
    return ",".join(f'{name}="{value.translate(_ESCAPED)}"' for name, value in pairs)


class Family:
    """One family of counters or of histograms.

    Args of the constructor:
        name: of it; a counter's ends with "_total".
        documentation: one line.
        kind: "counter" or "histogram".
        bounds: of a histogram's buckets, ascending.
    """

    def __init__(
        self, name: str, documentation: str, kind: str, bounds: Sequence[float] = ()
    ) -> None:
        self.head = f"# HELP {name} {documentation}\n# TYPE {name} {kind}\n"
        self._name = name
        self._ends = tuple(f'{bound}"}} ' for bound in (*map(str, bounds), "+Inf"))

    def counter(self, labels: str, value: float) -> str:
        """Return the line of a counter."""
        return f"{self._name}{{{labels}}} {value}\n"

    def histogram(self, labels: str, counts: Sequence[int], sum_s: float) -> Iterator[str]:
        """Yield the lines of a histogram.

        Args:
            labels: see `labels_text`.
            counts: by bucket, not added up; one more than there are bounds.
            sum_s: of all values.
        """
        prefix = f'{self._name}_bucket{{{labels},le="'
        total = 0
        for end, total in zip(self._ends, accumulate(counts), strict=True):
            yield f"{prefix}{end}{total}\n"
        yield f"{self._name}_count{{{labels}}} {total}\n"
        yield f"{self._name}_sum{{{labels}}} {sum_s}\n"
