"""An authorizer that is far away: a server of the operator's, asked over HTTPS by access reviews.

What it answered is kept for a while. While it does not answer, the next is asked, or everything is
refused, as its failure policy says. What its conditions leave out it is not asked at all.
"""

from __future__ import annotations

import logging
from typing import Final

from apiserver.authn import User
from apiserver.authorization.conditions import ConditionFailed, are_met
from apiserver.authorization.config import WebhookSpec
from apiserver.authorization.reviews import spec_of, whole_spec_of
from apiserver.authz import NO_OPINION, Attributes, Decision
from apiserver.remembered import Remembered
from kube.access import read_access
from kube.client import ApiClient, ClientLimits, Unreachable
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.clock import Clock

_log: Final = logging.getLogger(__name__)
_GROUP: Final = "authorization.k8s.io"
_BOTH: Final = "webhook subject access review returned both allow and deny response"
_KEPT_MAX: Final = 10_000
_KEPT_LENGTH_MAX: Final = 10_000
"""A question that is longer is asked each time, as upstream does."""
_Key = tuple[object, ...]


class AuthorizationWebhook:
    """Asks and remembers; `async with` it before it is asked.

    Raises (at making):
        AccessError: the file that says where it is cannot be used.
    """

    def __init__(self, name: str, spec: WebhookSpec, clock: Clock) -> None:
        limits = ClientLimits(request_timeout_s=spec.timeout_s, retries_max=2, pause_s_max=1.0)
        self._client = ApiClient(read_access(spec.file), clock=clock, limits=limits)
        self._name = name
        self._spec = spec
        self._at_failure = Decision(allowed=False, denied=spec.denies_at_failure)
        self._kept: Remembered[Decision] = Remembered(_KEPT_MAX, clock)

    async def __aenter__(self) -> AuthorizationWebhook:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.__aexit__(None, None, None)

    def decide(self, user: User, asked: Attributes) -> Decision | None:
        """Return what it said before, or that it has no say; None: it has to be asked."""
        found = self._kept.get(_key(user, asked))
        if found is not None:
            return found
        if not self._spec.conditions:
            return None
        try:
            is_met = are_met(self._spec.conditions, whole_spec_of(user, asked))
        except ConditionFailed as error:
            _log.warning("authorization webhook %s: %s", self._name, error)
            return self._at_failure
        return None if is_met else NO_OPINION

    async def ask(self, user: User, asked: Attributes) -> Decision:
        """Return what it says, or what its failure policy does."""
        review = {
            "kind": "SubjectAccessReview",
            "apiVersion": f"{_GROUP}/{self._spec.version}",
            "spec": self._shown(spec_of(user, asked)),
        }
        try:
            answer = await self._client.request("POST", "", review)
        except (StatusError, Unreachable) as error:
            _log.warning("authorization webhook %s does not answer: %s", self._name, error)
            return self._at_failure
        status = answer.get("status")
        if not isinstance(status, dict):
            _log.warning("authorization webhook %s answers without a status", self._name)
            return self._at_failure
        decision = _decision(status)
        key = _key(user, asked)
        if len(repr(key)) <= _KEPT_LENGTH_MAX:
            lasts_s = self._spec.allowed_s if decision.allowed else self._spec.refused_s
            self._kept.put(key, decision, lasts_s)
        return decision

    def _shown(self, spec: JsonObject) -> JsonObject:
        """Return a spec as the webhook's version has it: groups were `group` before v1."""
        if self._spec.version == "v1beta1" and "groups" in spec:
            spec["group"] = spec.pop("groups")
        return spec


def _decision(status: JsonObject) -> Decision:
    reason = str(status.get("reason") or "")
    denied, allowed = status.get("denied") is True, status.get("allowed") is True
    if denied and allowed:
        return Decision(allowed=False, reason=reason or _BOTH, denied=True)
    return Decision(allowed, reason, denied)


def _key(user: User, asked: Attributes) -> _Key:
    extra = tuple((name, tuple(values)) for name, values in sorted(user.extra.items()))
    # Of a resource the path adds nothing to what else is known.
    about = asked._replace(path="") if asked.resource else asked
    return user.name, user.uid, user.groups, extra, about
