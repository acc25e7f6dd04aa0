"""Work on large bodies, off the event loop, so that one client's megabytes hold up nobody else.

A body may hold a million small objects, and checking each takes a microsecond or five. One thread
does that work, one body at a time: with more of them the event loop would get less than half of the
interpreter. It changes threads ten times as often as usual meanwhile, as the loop needs its turn
for every socket that is ready.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

LARGE_BYTES: Final = 128 << 10
"""Bodies up to this size cost less than a change of threads is worth."""
_SWITCH_S: Final = 0.0005
_thread: Final = ThreadPoolExecutor(1, thread_name_prefix="large-bodies")

Given = ParamSpec("Given")
Result = TypeVar("Result")


async def aside(
    function: Callable[Given, Result], *args: Given.args, **options: Given.kwargs
) -> Result:
    """Return what a function that touches nothing but its arguments returns; raise as it does."""

    def work() -> Result:
        before_s = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_S)
        try:
            return function(*args, **options)
        finally:
            sys.setswitchinterval(before_s)

    return await asyncio.get_running_loop().run_in_executor(_thread, work)
