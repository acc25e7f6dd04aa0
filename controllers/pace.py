"""Long work in small slices, between which the event loop has its turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from itertools import islice
from time import perf_counter
from typing import Final, TypeVar

SLICE_S: Final = 0.002
_CHUNK: Final = 64
T = TypeVar("T")


async def paced(items: Iterable[T], slice_s: float = SLICE_S) -> AsyncIterator[list[T]]:
    """Yield items in small lists, and let others run when a slice of time is used up.

    Args:
        items: must not change meanwhile.
        slice_s: how long the event loop may be held, with what the caller does with a list.
    """
    rest = iter(items)
    until_s = perf_counter() + slice_s
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk
        if perf_counter() >= until_s:
            await asyncio.sleep(0)
            until_s = perf_counter() + slice_s
