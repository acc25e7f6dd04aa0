"""What has to be written before a pod is bound (upstream's PreBind): volumes, device claims.

Most pods need nothing and go on at once. Each other has a task of its own, as it may wait for
minutes; of these there are a few thousand at most, and whoever brings more waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from controllers.scheduler.binder import Binding, Failed
from kube.client import Unreachable
from kube.status import StatusError
from runtime.tasks import TaskScope

_TASKS_MAX: Final = 4096
Put = Callable[[Binding], Awaitable[None]]


class NotPrepared(Exception):
    """A pod cannot be bound as it was decided; the message says why. It is decided again."""


class Step(Protocol):
    """Something that is written before."""

    @property
    def plugin(self) -> str:
        """Whose step it is."""
        ...

    def has_work(self, uid: str) -> bool:
        """Tell whether anything is to be done for a pod."""
        ...

    async def prepare(self, binding: Binding) -> None:
        """Do it, and wait until it is done.

        Raises:
            NotPrepared: it cannot be done.
            StatusError, Unreachable: it is not done, as far as is known.
        """
        ...


class Preparations:
    """See the module's head.

    Args of the constructor:
        put: takes what is prepared.
        failed: called, with the reason, for each that is to be decided again.
        expect: tells the API where a pod is to go, before anything is waited for.
    """

    def __init__(self, put: Put, failed: Failed, expect: Put) -> None:
        self.steps: Sequence[Step] = ()
        self._expect = expect
        self._put = put
        self._failed = failed
        self._scope: TaskScope | None = None
        self._room = asyncio.Semaphore(_TASKS_MAX)

    def start(self, scope: TaskScope) -> None:
        """Take bindings from now on."""
        self._scope = scope

    async def put(self, binding: Binding) -> None:
        """Have a pod prepared and bound."""
        uid = binding.pod.uid
        if not any(step.has_work(uid) for step in self.steps):
            await self._put(binding)
            return
        assert self._scope is not None
        await self._room.acquire()
        self._scope.spawn(self._prepare(binding), name=f"preparing {binding.pod.key}")

    async def _prepare(self, binding: Binding) -> None:
        try:
            await self._expect(binding)
            for step in self.steps:
                if not step.has_work(binding.pod.uid):
                    continue
                try:
                    await step.prepare(binding)
                except (NotPrepared, StatusError, Unreachable) as error:
                    self._failed(binding, f'running PreBind plugin "{step.plugin}": {error}')
                    return
            await self._put(binding)
        finally:
            self._room.release()
