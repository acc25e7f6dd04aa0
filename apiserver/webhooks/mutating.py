"""MutatingAdmissionWebhook: webhooks that change objects, asked one after the other.

Each sees what those before have made of the object. When one has changed it, those that want that
(reinvocationPolicy IfNeeded) and were asked before are asked once more in the second round, as they
are when another plugin has changed it meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import ClassVar, Final

import orjson

from apiserver.admission.attributes import Attributes
from apiserver.admission.followed import FollowingPlugin
from apiserver.custom.resource import CustomResource
from apiserver.documents import decode_object
from apiserver.metadata import ensure_namespace
from apiserver.resources import Resource
from apiserver.server import WRITE_TIMEOUT_S, Server
from apiserver.webhooks.calling import Failed, WebhookCalls
from apiserver.webhooks.conditions import ConditionsFailed
from apiserver.webhooks.configuration import ADMIT, Hook, Invocation
from apiserver.webhooks.following import FollowedHooks
from apiserver.webhooks.matching import ShownAs, View
from apiserver.webhooks.review import JSON_PATCH, Response
from kube import status as st
from kube.field import quote
from kube.json_types import JsonObject
from kube.patch import json_patch

_MUTATION: Final = "mutation.webhook.admission.k8s.io/"
_FAILED_OPEN: Final = f"failed-open.{_MUTATION}"


class Rounds:
    """What the first round of an operation leaves for the second.

    Attributes:
        asked: who takes part in the second, if it is needed; by key.
        due: who is to be asked again.
        output: a copy of the object as the last round left it.
    """

    __slots__ = ("asked", "due", "output")

    def __init__(self) -> None:
        self.asked: set[object] = set()
        self.due: set[object] = set()
        self.output: JsonObject | None = None

    def require(self) -> None:
        """Have all that were asked before asked again."""
        self.due |= self.asked
        self.asked.clear()

    def begin(self, attributes: Attributes) -> None:
        """Begin a round: what others have changed since the last is cause for asking again."""
        if attributes.reinvocation.is_second and attributes.obj != self.output:
            self.require()

    def end(self, attributes: Attributes) -> None:
        """End a round."""
        if self.asked and not attributes.reinvocation.is_second:
            self.output = orjson.loads(orjson.dumps(attributes.obj))


class MutatingWebhooks(FollowingPlugin[FollowedHooks]):
    """The plugin."""

    name: ClassVar[str] = "MutatingAdmissionWebhook"
    mutates: ClassVar[bool] = True

    def __init__(self, server: Server, hooks: FollowedHooks, calls: WebhookCalls) -> None:
        super().__init__(server, hooks)
        self._calls = calls

    def admit(self, attributes: Attributes) -> Awaitable[None]:
        """See Plugin."""
        return self._admit(attributes)

    async def _admit(self, attributes: Attributes) -> None:
        notes = attributes.reinvocation.notes
        rounds: Rounds = notes.setdefault(self.name, Rounds())
        rounds.begin(attributes)
        view = View(self._server, attributes)
        about = self._followed.about(
            attributes.resource, attributes.subresource, attributes.operation
        )
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                for invocation in about:
                    if await self._is_due(invocation, view, rounds):
                        await self._ask(invocation, view, rounds)
        except TimeoutError as error:
            raise st.timeout("request did not complete within requested timeout") from error
        rounds.end(attributes)

    async def _is_due(self, invocation: Invocation, view: View, rounds: Rounds) -> bool:
        hook, attributes = invocation.hook, view.attributes
        if not await wants(invocation, view, self._calls):
            return False
        # Nobody is asked for the first time in the second round.
        return not attributes.reinvocation.is_second or hook.key in rounds.due

    async def _ask(self, invocation: Invocation, view: View, rounds: Rounds) -> None:
        hook, attributes = invocation.hook, view.attributes
        place = f"round_{int(attributes.reinvocation.is_second)}_index_{invocation.number}"

        def use(response: Response) -> bool:
            return _apply(hook, view, invocation.shown_as, response)

        changed = False
        try:
            changed = await self._calls.ask(invocation, view, ADMIT, f"{_FAILED_OPEN}{place}", use)
            await settle(view)
        finally:
            told = {
                "configuration": hook.configuration,
                "webhook": hook.name,
                "mutated": changed,
            }
            attributes.annotate(f"{_MUTATION}{place}", orjson.dumps(told).decode())
        if changed:
            rounds.require()
            attributes.reinvocation.wanted = True
        if hook.is_reinvoked:
            rounds.asked.add(hook.key)


async def wants(invocation: Invocation, view: View, calls: WebhookCalls) -> bool:
    """Tell whether a webhook whose rules match is to be asked about this very object.

    Raises:
        StatusError: that cannot be told.
    """
    hook, attributes = invocation.hook, view.attributes
    if not await view.selects(hook.selectors):
        return False
    await view.bring(invocation.shown_as)
    if hook.conditions is None:
        return True
    activation = view.activation(invocation.shown_as)
    try:
        return await hook.pace.run(
            attributes.caller.is_large,
            hook.conditions.are_met,
            activation,
            attributes.operation,
            calls.metrics,
        )
    except ConditionsFailed as error:
        resource = attributes.resource
        raise st.forbidden(resource.group, resource.plural, attributes.name, str(error)) from error


def _apply(hook: Hook, view: View, shown_as: ShownAs, response: Response) -> bool:
    """Put the patched object into the operation; tell whether it is another one.

    Raises:
        Failed: the patch is none.
        StatusError: 500, it does not fit, or makes what is no object of the type.
    """
    if not response.patch:
        return False
    try:
        operations = orjson.loads(response.patch)
    except orjson.JSONDecodeError as error:
        why = f"received undecodable patch in webhook response: {error}"
        raise Failed(hook, why) from error
    if not isinstance(operations, list):
        why = "received undecodable patch in webhook response: it is no list of operations"
        raise Failed(hook, why)
    if not operations:
        return False
    before = view.object_as(shown_as)
    if before is None:
        raise st.internal_error(
            f"admission webhook {quote(hook.name)} attempted to modify the object, which is not "
            "supported for this operation"
        )
    if response.patch_type != JSON_PATCH:
        raise Failed(hook, f"unsupported patch type {quote(response.patch_type)}", 400)
    try:
        patched = json_patch(before, operations)
    except st.StatusError as error:
        raise st.internal_error(str(error.__cause__ or error)) from error
    return replace_object(view, shown_as, before, patched)


def replace_object(view: View, shown_as: ShownAs, before: JsonObject, after: JsonObject) -> bool:
    """Put an object in a version into the operation, decoded and defaulted as one of a client is.

    A custom object of another version than the request's waits for `settle`.

    Args:
        view: the operation.
        shown_as: the version.
        before: the object so far, in that version.
        after: what is to be; it is not changed.

    Returns:
        Whether it is another object.

    Raises:
        StatusError: 500, it is no object of the type, or of another namespace.
    """
    attributes = view.attributes
    part = attributes.part
    resource = view.resource_as(shown_as) if part is None else attributes.resource
    try:
        # A copy of its own: decoding changes objects in place, and these are shared.
        new, _ = decode_object(resource, orjson.loads(orjson.dumps(after)), part)
        if new == before:
            return False
        other = view.other_version(shown_as)
        if other is not None:
            other.hooks.default(new)
            view.pending = other, new
            return True
        if part is None:
            new = _as_stored(attributes, resource, new)
    except st.StatusError as error:
        raise st.internal_error(error.message) from error
    attributes.obj = new
    return True


async def settle(view: View) -> None:
    """Bring what was changed in another version to that of the request.

    Raises:
        StatusError: 500, a webhook failed to convert it.
    """
    if view.pending is None:
        return
    (resource, new), view.pending = view.pending, None
    attributes = view.attributes
    asked = attributes.resource
    assert isinstance(asked, CustomResource), "versions of one type are of one kind"
    attributes.obj = _as_stored(attributes, asked, await resource.in_version(new, asked))


def _as_stored(attributes: Attributes, resource: Resource, new: JsonObject) -> JsonObject:
    old = attributes.obj or {}
    new = resource.to_storage(new)
    for key in ("kind", "apiVersion"):
        if key in old:
            new[key] = old[key]
    metadata, former = new["metadata"], old.get("metadata") or {}
    if attributes.old is None:
        ensure_namespace(resource, former.get("namespace", ""), metadata)
    # Who manages what is found out of what the client sent: nobody owns what admission adds.
    if "managedFields" in former:
        metadata["managedFields"] = former["managedFields"]
    else:
        metadata.pop("managedFields", None)
    resource.hooks.default(new)
    return new
