"""Work on large objects, off the event loop, so that one client's megabytes hold up nobody else.

A body that comes may hold a million small objects, and checking each takes a microsecond or five.
One thread does that work, one body at a time: with more of them the event loop would get less than
half of the interpreter. It changes threads ten times as often as usual meanwhile, as the loop needs
its turn for every socket that is ready.

Answers are made there too where that takes long: a megabyte of YAML takes a fifth of a second.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

from kube import status as st

LARGE_BYTES: Final = 128 << 10
"""Bodies, and stored objects, up to this size cost less than a change of threads is worth."""
WAITING_MAX: Final = 64
"""Whoever comes when so many are there is told to come back: each holds up to 3 MiB."""
_SWITCH_S: Final = 0.0005
_thread: Final = ThreadPoolExecutor(1, thread_name_prefix="large-bodies")

Given = ParamSpec("Given")
Result = TypeVar("Result")


class _Load:
    """How many bodies are looked at, or wait for it."""

    count = 0


async def aside(
    function: Callable[Given, Result], *args: Given.args, **options: Given.kwargs
) -> Result:
    """Return what a function that touches nothing but its arguments returns; raise as it does.

    Raises:
        StatusError: 429, too many wait already.
    """
    if _Load.count >= WAITING_MAX:
        raise st.too_many_requests("Too many requests, please try again later.", 1)
    loop = asyncio.get_running_loop()
    working = loop.run_in_executor(_thread, partial(_work, function, *args, **options))
    _Load.count += 1
    # When it has really ended: work in a thread goes on though nobody waits for it any more.
    working.add_done_callback(_end)
    return await asyncio.shield(working)


async def rendered(
    function: Callable[Given, Result], *args: Given.args, **options: Given.kwargs
) -> Result:
    """Return as `aside`, but refuse nobody: for what is made of objects for an answer.

    What was written, or answered in part, cannot be refused any more. Who may wait here is bounded
    by who was let in: each request has one part of its answer made at a time, and who gives up
    before its turn leaves nothing behind.
    """
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_thread, partial(_work, function, *args, **options))


def _work(function: Callable[Given, Result], *args: Given.args, **options: Given.kwargs) -> Result:
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        return function(*args, **options)
    finally:
        sys.setswitchinterval(before_s)


def _end(working: asyncio.Future[Any]) -> None:
    _Load.count -= 1
    if not working.cancelled():
        working.exception()  # looked at, or the loop complains when nobody waits for it
