"""One webhook asked, whatever its kind: the call, its failures by policy, and what is told of it.

A failure to ask is the cluster's, so upstream answers with a 500 where the policy is to fail. What
a webhook denies is answered with the Status it gave.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Final

from apiserver.admission.attributes import Attributes
from apiserver.types.formats import is_qualified_name
from apiserver.webhooks.client import CallFailed, WebhookClient
from apiserver.webhooks.configuration import Hook, Invocation
from apiserver.webhooks.matching import View
from apiserver.webhooks.metrics import CALLING_ERROR, NO_ERROR, SERVER_ERROR, WebhookMetrics
from apiserver.webhooks.review import BadReview, Response, ask_of, denial, read_answer
from apiserver.webhooks.target import BadTarget, target_of
from kube import status as st
from kube.client import status_error
from kube.field import quote

_log: Final = logging.getLogger(__name__)
_WITHOUT_EFFECTS: Final = ("None", "NoneOnDryRun")
_UNAVAILABLE: Final = 503
_BAD_REQUEST: Final = 400
_INTERNAL: Final = 500
_OK: Final = 200
Use = Callable[[Response], bool]
"""Does what an answer of the mutating phase asks for; tells whether the object has changed."""


class Failed(Exception):
    """A webhook could not be asked, or its answer is of no use; policy decides what that means.

    Attributes:
        code: as metrics count it.
    """

    def __init__(self, hook: Hook, reason: str, code: int = _UNAVAILABLE) -> None:
        super().__init__(f"failed calling webhook {quote(hook.name)}: {reason}")
        self.code = code


class Denied(Exception):
    """The webhook does not allow the request."""

    def __init__(self, error: st.StatusError) -> None:
        super().__init__(str(error))
        self.error = error


class WebhookCalls:
    """Asks webhooks of both kinds."""

    def __init__(self, client: WebhookClient, metrics: WebhookMetrics) -> None:
        self._client = client
        self.metrics = metrics

    async def ask(
        self, invocation: Invocation, view: View, step: str, note: str, use: Use | None
    ) -> bool:
        """Ask one webhook, and do what it says.

        Args:
            invocation: whom, and what it wants to see.
            view: the operation.
            step: of admission, as metrics name it.
            note: the key of the audit annotation for a failure that is ignored.
            use: of the mutating phase.

        Returns:
            Whether it has changed the object.

        Raises:
            StatusError: it denies the request, or failed and must not.
        """
        hook = invocation.hook
        labels = (hook.name, step, view.attributes.operation)
        began_s = monotonic()
        code, rejected = _OK, True
        try:
            changed = await self._ask(invocation, view, use)
            rejected = False
        except Denied as denied:
            code = denied.error.code
            self.metrics.rejected(labels, NO_ERROR, code)
            raise denied.error from denied
        except Failed as failed:
            code, rejected = failed.code, not hook.fails_open
            if rejected:
                self.metrics.rejected(labels, CALLING_ERROR, code)
                _log.warning("%s", failed)
                raise st.internal_error(str(failed)) from failed
            _log.warning("ignored: %s", failed)
            self.metrics.failed_open(hook.name, step)
            view.attributes.annotate(note, hook.name)
            return False
        except st.StatusError:
            code = 0
            self.metrics.rejected(labels, SERVER_ERROR, 0)
            raise
        except BaseException:
            rejected = False  # the client has gone: no fault of the webhook
            raise
        else:
            return changed
        finally:
            self.metrics.called(labels, monotonic() - began_s, code, rejected=rejected)

    async def _ask(self, invocation: Invocation, view: View, use: Use | None) -> bool:
        hook = invocation.hook
        if view.attributes.dry_run and hook.side_effects not in _WITHOUT_EFFECTS:
            why = f"admission webhook {quote(hook.name)} does not support dry run"
            raise st.bad_request(why)
        try:
            question = ask_of(view, invocation.shown_as, hook.reviews)
        except BadReview as error:
            why = f"could not create admission objects: {error}"
            raise Failed(hook, why, _BAD_REQUEST) from error
        try:
            target = target_of(hook.client)
            answer = await self._client.call(target, question.body, timeout_s=hook.timeout_s)
        except BadTarget as error:
            raise Failed(hook, f"could not get REST client: {error}", _INTERNAL) from error
        except CallFailed as error:
            code = error.status.code if error.status is not None else _UNAVAILABLE
            raise Failed(hook, f"failed to call webhook: {error}", code) from error
        try:
            response = read_answer(answer, question, mutates=use is not None)
        except BadReview as error:
            raise Failed(hook, f"received invalid webhook response: {error}") from error
        _note(view.attributes, hook, response)
        if not response.is_allowed:
            raise Denied(status_error(denial(hook.name, response.status)))
        return use(response) if use is not None else False


def _note(attributes: Attributes, hook: Hook, response: Response) -> None:
    """Tell the client and the auditor what the webhook says beside its answer."""
    for key, value in response.annotations.items():
        full = f"{hook.name}/{key}"
        if is_qualified_name(full):
            _log.warning("webhook %s: %r is no key of an audit annotation", hook.name, key)
            continue
        attributes.annotate(full, value)
    for text in response.warnings:
        attributes.warn(text)
