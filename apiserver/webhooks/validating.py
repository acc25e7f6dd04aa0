"""ValidatingAdmissionWebhook: webhooks that may refuse an object, asked all at the same time.

The first of those that refuse, in their order, is whom the client hears of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import ClassVar, Final

from apiserver.admission.attributes import Attributes
from apiserver.admission.followed import FollowingPlugin
from apiserver.server import Server
from apiserver.webhooks.calling import WebhookCalls
from apiserver.webhooks.configuration import VALIDATE
from apiserver.webhooks.following import FollowedHooks
from apiserver.webhooks.matching import View
from apiserver.webhooks.mutating import wants

_FAILED_OPEN: Final = "failed-open.validating.webhook.admission.k8s.io/"


class ValidatingWebhooks(FollowingPlugin[FollowedHooks]):
    """The plugin."""

    name: ClassVar[str] = "ValidatingAdmissionWebhook"
    validates: ClassVar[bool] = True

    def __init__(self, server: Server, hooks: FollowedHooks, calls: WebhookCalls) -> None:
        super().__init__(server, hooks)
        self._calls = calls

    def validate(self, attributes: Attributes) -> Awaitable[None]:
        """See Plugin."""
        return self._validate(attributes)

    async def _validate(self, attributes: Attributes) -> None:
        view = View(self._server, attributes)
        about = self._followed.about(
            attributes.resource, attributes.subresource, attributes.operation
        )
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
