"""Long work in a thread that gives way: it gets a tenth of what others get who want the same core.

Its calls into C (copying, compressing, hashing, writing) hold no lock of the interpreter, and are
most of its time.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, TypeVar

NICENESS: Final = 10
_T = TypeVar("_T")


async def in_background(work: Callable[[], _T], give_up: Callable[[], object]) -> _T:
    """Run blocking work; if cancelled, still wait for its end, as it uses what others close.

    Args:
        work: what is done.
        give_up: called then, has it end soon.
    """
    # A thread of its own: it can't get its priority back, and the threads it starts inherit it.
    executor = ThreadPoolExecutor(1, thread_name_prefix="background", initializer=_give_way)
    future = asyncio.get_running_loop().run_in_executor(executor, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        give_up()
        await asyncio.wait([future])
        if not future.cancelled():
            future.exception()  # nobody asks for it any more
        raise
    finally:
        executor.shutdown(wait=False)


def _give_way() -> None:
    with suppress(OSError):  # where threads have no priorities of their own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
