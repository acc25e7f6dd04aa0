"""Supervised tasks: a background loop that dies is heard of.

Invariants:
    - Every task of the project is spawned by a `TaskScope`; none can fail unnoticed or be garbage
      collected while it runs.
    - A crash is logged with its traceback at once, cancels the scope's other tasks, and is raised
      by `wait`, `stop` and the end of `async with`. Any exception is one; so is a cancellation
      that nobody asked of the task: it awaited something that others cancelled.
    - After `stop` or `async with`, no task of the scope is running.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

_log = logging.getLogger(__name__)

T = TypeVar("T")


class TaskCrashed(Exception):
    """A supervised task ended with an exception; the scope's other tasks were cancelled.

    `__cause__` is the task's own exception.
    """

    def __init__(self, scope: str, task: str, cause: BaseException) -> None:
        super().__init__(f"task {task!r} of {scope!r} crashed: {cause!r}")
        self.task = task
        self.__cause__ = cause


class ScopeClosed(RuntimeError):
    """A task was spawned in a scope that has ended or crashed; the task never started."""


class TaskScope:
    """A group of tasks that live and die together.

    Use it around a block (`async with TaskScope("up") as scope`), where a crash also cancels the
    block; or as a part of something with `start` and `stop`, where the owner awaits `stop` and may
    give `on_crash` to hear of a crash at once.
    """

    def __init__(self, name: str, *, on_crash: Callable[[TaskCrashed], None] | None = None) -> None:
        self._name = name
        self._on_crash = on_crash
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._crash: TaskCrashed | None = None
        self._parent: asyncio.Task[Any] | None = None
        self._parent_cancelled = False

    @property
    def crash(self) -> TaskCrashed | None:
        """The first crash, or None."""
        return self._crash

    @property
    def running(self) -> int:
        """How many tasks have not ended."""
        return len(self._tasks)

    def spawn(self, coroutine: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Start a task; its result may be awaited, its failure ends the scope.

        Raises:
            ScopeClosed: the scope has ended or crashed; the coroutine was closed unstarted.
        """
        if self._closed or self._crash is not None:
            coroutine.close()
            raise ScopeClosed(f"scope {self._name!r} has ended, {name!r} was not started")
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    async def wait(self) -> None:
        """Return when every task has ended by itself.

        Raises:
            TaskCrashed: a task failed.
        """
        while self._tasks:
            await asyncio.wait(list(self._tasks))
        self._raise_crash()

    async def stop(self) -> None:
        """Cancel what runs and wait until it has ended.

        Raises:
            TaskCrashed: a task had failed before, or failed on being cancelled.
        """
        self._closed = True
        await self._cancel_all()
        self._raise_crash()

    async def __aenter__(self) -> TaskScope:
        self._parent = asyncio.current_task()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        parent = self._parent
        if kind is None and self._crash is None:
            try:
                while self._tasks:
                    await asyncio.wait(list(self._tasks))
            except asyncio.CancelledError as cancelled:
                kind, error = asyncio.CancelledError, cancelled
        self._parent = None
        self._closed = True
        await self._cancel_all()
        if self._parent_cancelled and parent is not None:
            # Our own cancellation is taken back; one that came from outside still counts.
            outside = parent.uncancel() > 0
            if not outside and kind is asyncio.CancelledError:
                self._raise_crash()
        if error is None:
            self._raise_crash()
        elif kind is asyncio.CancelledError:
            raise error
        return False

    async def _cancel_all(self) -> None:
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(list(self._tasks))

    def _raise_crash(self) -> None:
        if self._crash is not None:
            raise self._crash

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error: BaseException | None
        if not task.cancelled():
            error = task.exception()
        elif task.cancelling():
            error = None
        else:
            error = asyncio.CancelledError("nobody cancelled the task, but what it awaited")
        if error is None:
            return
        _log.critical(
            "task %r of %r crashed; the others of its scope are cancelled",
            task.get_name(),
            self._name,
            exc_info=error,
        )
        if self._crash is not None:
            return
        self._crash = TaskCrashed(self._name, task.get_name(), error)
        for sibling in self._tasks:
            sibling.cancel()
        if self._parent is not None and not self._parent.done():
            self._parent_cancelled = True
            self._parent.cancel()
        if self._on_crash is not None:
            self._on_crash(self._crash)
