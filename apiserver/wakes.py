"""Waking whoever looks after a type, whenever one of its objects has changed.

What has changed is not told: who is woken looks at what there is, so nothing is lost with events.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from runtime.clock import Clock
from storage.errors import StorageError
from storage.store_view import StoreView
from storage.watcher import Scope

_log: Final = logging.getLogger(__name__)
_CAPACITY: Final = 1000


async def run_wakes(
    store: StoreView, clock: Clock, storage: str, wake: Callable[[], None], retry_s: float
) -> None:
    """Call `wake` at once and after each change, until cancelled.

    Args:
        store: the replica.
        clock: for pauses.
        storage: the type.
        wake: takes no time.
        retry_s: how long to wait where the type cannot be followed.
    """
    while True:
        try:
            revision = store.current_revision(storage)
            watcher = store.watch(Scope(storage), from_revision=revision, capacity=_CAPACITY)
            # What was missed meanwhile is looked at as it is then.
            wake()
            try:
                while True:
                    await watcher.next_batch()
                    wake()
            finally:
                watcher.close()
        except StorageError as error:
            _log.info("watching %s again: %s", storage, error)
            await clock.sleep(retry_s)
