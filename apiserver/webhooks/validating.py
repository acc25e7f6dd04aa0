"""ValidatingAdmissionWebhook: webhooks that may refuse an object, asked all at the same time.

The first of those that refuse, in their order, is whom the client hears of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar, Final

from apiserver.admission.attributes import Attributes
from apiserver.admission.chain import Plugin
from apiserver.resources import Resource
from apiserver.server import Server
from apiserver.webhooks.calling import WebhookCalls
from apiserver.webhooks.configuration import VALIDATE
from apiserver.webhooks.following import FollowedHooks
from apiserver.webhooks.matching import View
from apiserver.webhooks.mutating import wants

_FAILED_OPEN: Final = "failed-open.validating.webhook.admission.k8s.io/"


class ValidatingWebhooks(Plugin):
    """The plugin."""

    name: ClassVar[str] = "ValidatingAdmissionWebhook"
    validates: ClassVar[bool] = True
    is_dynamic: ClassVar[bool] = True

    def __init__(self, server: Server, hooks: FollowedHooks, calls: WebhookCalls) -> None:
        self._server = server
        self._hooks = hooks
        self._calls = calls

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return bool(self._hooks.about(resource, subresource, operation))

    def settle(self) -> bool:
        """See Plugin."""
        return self._hooks.settle()

    def when_due(self, tell: Callable[[], None]) -> None:
        """See Plugin."""
        self._hooks.when_due(tell)

    def validate(self, attributes: Attributes) -> Awaitable[None]:
        """See Plugin."""
        return self._validate(attributes)

    async def _validate(self, attributes: Attributes) -> None:
        view = View(self._server, attributes)
        about = self._hooks.about(attributes.resource, attributes.subresource, attributes.operation)
        asked = [found for found in about if await wants(found, view, self._calls)]
        if not asked:
            return
        answers = await asyncio.gather(
            *(
                self._calls.ask(found, view, VALIDATE, f"{_FAILED_OPEN}round_0_index_{index}", None)
                for index, found in enumerate(asked)
            ),
            return_exceptions=True,
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
