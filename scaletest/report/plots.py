"""Time lines as inline SVG: no script, nothing fetched, colours by the page's style sheet.

    +--------------------------------+
    |  legend: name, highest value   |
    |  ^ unit      | phase |  phase  |   phases are bands behind the lines
    |  |   /\\__/\\  |       |         |
    |  +--------------------------> t|
    +--------------------------------+

A line of thousands of samples is drawn as a few hundred points, each the highest of its stretch: a
peak is never lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

WIDTH: Final = 640
HEIGHT: Final = 250
_LEFT: Final = 58
_RIGHT: Final = 14
_TOP: Final = 24
_BOTTOM: Final = 26
_POINTS_MAX: Final = 320
_TICKS: Final = 4
_TIMES: Final = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
_TIME_TICKS_MAX: Final = 8
_LABEL_WIDTH: Final = 6.2
"""Of a letter in a phase's label, in pixels; what does not fit is left out."""

Point = tuple[float, float | None]
Shown = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its name and its points, (seconds, value); None is a gap."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Mark:
    """A level to compare with, such as an objective."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Band:
    """A phase: its name, and from when to when."""

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Plot:
    """What is drawn.

    Attributes:
        shown: makes text of a value.
        is_log: whether a tenfold is as wide everywhere.
    """

    title: str
    note: str
    lines: Sequence[Line]
    shown: Shown
    marks: Sequence[Mark] = field(default=())
    is_log: bool = False


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where a value or time is, in pixels."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def at(self, value: float) -> float:
        low, high = self.low, self.high
        if self.is_log:
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, low))
        share = (value - low) / (high - low)
        return self.start + (self.end - self.start) * min(1.0, max(0.0, share))


def draw(plot: Plot, bands: Sequence[Band], end_s: float) -> str:
    """Return a figure.

    Args:
        plot: what to draw.
        bands: the phases.
        end_s: where the time line ends.
    """
    lines = [Line(one.name, thinned(one.points, _POINTS_MAX)) for one in plot.lines]
    time = _Scale(0.0, max(end_s, 1.0), _LEFT, WIDTH - _RIGHT)
    values = _values(plot, lines)
    parts = [
        *_bands(bands, time),
        *_grid(values, plot.shown),
        *_time_axis(time),
        *_marks(plot.marks, values),
        *(_path(line, number, time, values) for number, line in enumerate(lines)),
    ]
    label = escape(f"{plot.title}: {plot.note}", quote=True)
    return (
        f"<figure><figcaption><h3>{escape(plot.title)}</h3><p>{escape(plot.note)}</p>"
        f"{_legend(lines, plot.shown)}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
        f"{''.join(parts)}</svg></figure>"
    )


def thinned(points: Sequence[Point], count_max: int) -> list[Point]:
    """Return at most `count_max` points; each is the highest of those it stands for."""
    if len(points) <= count_max:
        return list(points)
    found: list[Point] = []
    for at in range(count_max):
        some = points[at * len(points) // count_max : (at + 1) * len(points) // count_max]
        known = [(value, when) for when, value in some if value is not None]
        found.append((max(known)[1], max(known)[0]) if known else (some[0][0], None))
    return found


def _values(plot: Plot, lines: Sequence[Line]) -> _Scale:
    known = [value for line in lines for _, value in line.points if value is not None]
    known += [mark.value for mark in plot.marks]
    high = max(known, default=1.0) or 1.0
    if plot.is_log:
        low = min((value for value in known if value > 0), default=0.001)
        low, high = 10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high))
        return _Scale(low, max(high, low * 10), HEIGHT - _BOTTOM, _TOP, is_log=True)
    return _Scale(0.0, nice_step(high) * math.ceil(high / nice_step(high)), HEIGHT - _BOTTOM, _TOP)


def nice_step(high: float) -> float:
    """Return 1, 2, 2.5 or 5 times a power of ten, a few of which reach `high`."""
    rough = high / _TICKS
    power: float = 10.0 ** math.floor(math.log10(rough))
    return next(one * power for one in (1, 2, 2.5, 5, 10) if one * power >= rough)


def _ticks(values: _Scale) -> Iterator[float]:
    if values.is_log:
        value = values.low
        while value <= values.high * 1.001:
            yield value
            value *= 10
        return
    step = nice_step(values.high)
    for number in range(math.floor(values.high / step * 1.001) + 1):
        yield number * step


def _grid(values: _Scale, shown: Shown) -> Iterator[str]:
    for value in _ticks(values):
        y = values.at(value)
        yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>'
        yield f'<text class="tick" x="{_LEFT - 7}" y="{y + 3.5:.1f}" text-anchor="end">'
        yield f"{escape(shown(value))}</text>"


def _time_axis(time: _Scale) -> Iterator[str]:
    step = next((one for one in _TIMES if time.high / one <= _TIME_TICKS_MAX), _TIMES[-1])
    for number in range(int(time.high // step) + 1):
        seconds = number * step
        x = time.at(seconds)
        yield f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 9}" text-anchor="middle">'
        yield f"{_clock(seconds)}</text>"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _bands(bands: Sequence[Band], time: _Scale) -> Iterator[str]:
    for number, band in enumerate(bands):
        left, right = time.at(band.start_s), time.at(band.end_s)
        width = max(0.0, right - left)
        kind = "odd" if number % 2 else "even"
        yield f'<rect class="band {kind}" x="{left:.1f}" y="{_TOP - 16}" width="{width:.1f}" '
        yield f'height="{HEIGHT - _BOTTOM - _TOP + 16}"><title>{escape(band.name)}</title></rect>'
        if width > _LABEL_WIDTH * len(band.name):
            yield f'<text class="phase" x="{left + width / 2:.1f}" y="{_TOP - 5}" '
            yield f'text-anchor="middle">{escape(band.name)}</text>'


def _marks(marks: Sequence[Mark], values: _Scale) -> Iterator[str]:
    for mark in marks:
        y = values.at(mark.value)
        yield f'<path class="mark" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>'
        yield f'<text class="mark" x="{WIDTH - _RIGHT - 3}" y="{y - 4:.1f}" text-anchor="end">'
        yield f"{escape(mark.name)}</text>"


def _path(line: Line, number: int, time: _Scale, values: _Scale) -> str:
    steps, is_pen_down = [], False
    for seconds, value in line.points:
        if value is None:
            is_pen_down = False
            continue
        steps.append(f"{'L' if is_pen_down else 'M'}{time.at(seconds):.1f} {values.at(value):.1f}")
        is_pen_down = True
    return (
        f'<path class="line c{number}" d="{"".join(steps)}"><title>{escape(line.name)}</title>'
        "</path>"
    )


def _legend(lines: Sequence[Line], shown: Shown) -> str:
    items = []
    for number, line in enumerate(lines):
        high = max((value for _, value in line.points if value is not None), default=None)
        text = "—" if high is None else f"max {shown(high)}"
        items.append(f'<li><i class="b{number}"></i>{escape(line.name)} <b>{escape(text)}</b></li>')
    return f'<ul class="legend">{"".join(items)}</ul>'
