"""Flame graphs as plain SVG, and tables of shares, from samples of stacks. Pure.

A graph has the outermost function at the top; a block is as wide as the share of samples in which
its function, called from the one above, was at work. Lines of one function are one block, blocks of
less than a five-hundredth are left out, and colours tell the parts of the program apart. No script:
the whole text of a block is its title.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from html import escape
from typing import Final

Stack = tuple[str, ...]
_WIDTH, _ROW, _HEAD = 1200, 17, 30
_PART_MIN: Final = 0.002
_LETTER: Final = 6.3
_TEXT_MIN: Final = 30
_ROWS_MAX: Final = 45
_COLOURS: Final = {
    "apiserver": "#9ecae1",
    "storage": "#a1d99b",
    "journal": "#fdae6b",
    "kube": "#c7b8e0",
    "controllers": "#f2a7a7",
    "runtime": "#d9cf8f",
    "scaletest": "#cfcfcf",
    "ultraplane": "#cfcfcf",
}
_ELSEWHERE: Final = "libraries"
_SKIPPED: Final = ("<frozen runpy>",)
_LINES: Final = 12
_AROUND: Final = (_ELSEWHERE, "ultraplane")
_ROOTS: Final = ("<module>", "main", "run")
"""Functions of which it says nothing that a function of them is at the root of a stack."""


def read_stacks(text: str) -> dict[Stack, int]:
    """Return how often each stack was seen, outermost function first.

    Args:
        text: lines "function (file:line);… count", as py-spy writes them.
    """
    found: Counter[Stack] = Counter()
    for line in text.splitlines():
        frames, _, count = line.rpartition(" ")
        if not frames or not count.isdigit():
            continue
        # A frame that was read while it changed may be of any letters: XML knows not all.
        clean = "".join(letter for letter in frames if letter.isprintable())
        names = (_function(one) for one in clean.split(";"))
        found[tuple(one for one in names if not one.endswith(_SKIPPED))] += int(count)
    return dict(found)


def _function(frame: str) -> str:
    """Return "function  file" of a frame: lines of one function are one."""
    name, _, place = frame.rpartition(" (")
    file = place.rstrip(")").rpartition(":")[0] or place.rstrip(")")
    return f"{name}  {file}"


def area_of(function: str) -> str:
    """Return which part of the program a function is of."""
    top = function.rpartition("  ")[2].partition("/")[0]
    return top if top in _COLOURS else _ELSEWHERE


def flame_graph(title: str, stacks: Mapping[Stack, int]) -> str:
    """Return a graph as SVG."""
    total = sum(stacks.values())
    blocks = list(_blocks(sorted(stacks.items()), 0, 0, total))
    rows = 1 + max((depth for depth, *_ in blocks), default=0)
    height = _HEAD + rows * _ROW + 4
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" font-family="monospace" font-size="10.5">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="6" y="19" font-size="14" font-family="sans-serif">{escape(title)}</text>',
    ]
    at = _WIDTH - 8
    for area, colour in [(_ELSEWHERE, "#e8e8e8"), *reversed(list(_COLOURS.items())[:6])]:
        at -= len(area) * 7 + 22
        parts.append(
            f'<rect x="{at}" y="9" width="12" height="12" fill="{colour}"/>'
            f'<text x="{at + 16}" y="19">{area}</text>'
        )
    parts += (_drawn(block, total) for block in blocks)
    return "\n".join([*parts, "</svg>", ""])


Block = tuple[int, int, int, str]


def _blocks(stacks: list[tuple[Stack, int]], depth: int, start: int, total: int) -> Iterator[Block]:
    """Yield depth, first sample, number of samples and function of each block."""
    at = 0
    while at < len(stacks):
        name = stacks[at][0][depth] if depth < len(stacks[at][0]) else None
        end, count = at, 0
        while end < len(stacks) and _at(stacks[end][0], depth) == name:
            count += stacks[end][1]
            end += 1
        if name is not None and count >= _PART_MIN * total and depth < _ROWS_MAX:
            yield depth, start, count, name
            yield from _blocks(stacks[at:end], depth + 1, start, total)
        start += count
        at = end


def _at(stack: Stack, depth: int) -> str | None:
    return stack[depth] if depth < len(stack) else None


def _drawn(block: Block, total: int) -> str:
    depth, start, count, name = block
    left, width = _WIDTH * start / total, _WIDTH * count / total
    top = _HEAD + depth * _ROW
    colour = _COLOURS.get(area_of(name), "#e8e8e8")
    whole = f"{name}: {100 * count / total:.1f}%"
    shown = ""
    if width >= _TEXT_MIN:
        text = name.partition("  ")[0][: int((width - 4) / _LETTER)]
        shown = f'<text x="{left + 3:.1f}" y="{top + 12}">{escape(text)}</text>'
    return (
        f"<g><title>{escape(whole)}</title>"
        f'<rect x="{left:.1f}" y="{top}" width="{max(0.2, width - 0.5):.1f}" '
        f'height="{_ROW - 1}" fill="{colour}"/>{shown}</g>'
    )


def _is_around(function: str) -> bool:
    return area_of(function) in _AROUND or function.partition("  ")[0] in _ROOTS


def shares_table(process: str, stacks: Mapping[Stack, int], taken: int) -> str:
    """Return, in Markdown, how busy a process was, with what part of it, and in which functions.

    Args:
        process: its name.
        stacks: of its busy moments.
        taken: how many looks were had at it, idle moments included.
    """
    total = sum(stacks.values())
    areas: Counter[str] = Counter()
    inner: Counter[str] = Counter()
    outer: Counter[str] = Counter()
    for stack, count in stacks.items():
        if not stack:
            continue
        areas[area_of(stack[-1])] += count
        inner[stack[-1]] += count
        for name in set(stack):
            outer[name] += count
    lines = [
        f"### {process}: busy {min(1.0, total / taken):.0%} of the time",
        "",
        "By part: " + ", ".join(f"{area} {n / total:.0%}" for area, n in areas.most_common()) + ".",
        "",
        "| In the function itself | | With all it calls | |",
        "| --- | --- | --- | --- |",
    ]
    calls = [one for one in outer.most_common() if not _is_around(one[0])]
    for (own, own_n), (whole, whole_n) in zip(inner.most_common(_LINES), calls, strict=False):
        cells = f"`{own}` | {own_n / total:.1%} | `{whole}` | {whole_n / total:.1%}"
        lines.append(f"| {cells} |")
    return "\n".join([*lines, ""])
