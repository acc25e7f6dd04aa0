"""The authorizer that is asked last, over HTTPS: a server of the operator's, by access reviews.

What it answered is kept for a while, as upstream keeps it: five minutes where it allowed, half a
minute where it did not. While it does not answer, whoever nobody else allows is refused.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from apiserver.authn import User
from apiserver.authz import NO_OPINION, Attributes, Decision
from kube.access import read_access
from kube.client import ApiClient, ClientLimits, Unreachable
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.clock import Clock

_log: Final = logging.getLogger(__name__)
_API_VERSION: Final = "authorization.k8s.io/v1"
ALLOWED_S: Final = 300.0
REFUSED_S: Final = 30.0
_KEPT_MAX: Final = 10_000
_KEPT_LENGTH_MAX: Final = 10_000
"""A question that is longer is asked each time, as upstream does."""
_LIMITS: Final = ClientLimits(request_timeout_s=10.0, retries_max=2, pause_s_max=1.0)
_Key = tuple[object, ...]


class AuthorizationWebhook:
    """Asks and remembers; `async with` it before it is asked.

    Raises (at making):
        AccessError: the file that says where it is cannot be used.
    """

    def __init__(self, config_file: Path, clock: Clock) -> None:
        self._client = ApiClient(read_access(config_file), clock=clock, limits=_LIMITS)
        self._clock = clock
        self._kept: dict[_Key, tuple[Decision, float]] = {}

    async def __aenter__(self) -> AuthorizationWebhook:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.__aexit__(None, None, None)

    def known(self, user: User, asked: Attributes) -> Decision | None:
        """Return what it said before, None if that has to be asked."""
        found = self._kept.get(_key(user, asked))
        if found is None or found[1] <= self._clock.monotonic_s():
            return None
        return found[0]

    async def ask(self, user: User, asked: Attributes) -> Decision:
        """Return what it says; nothing, if it does not answer."""
        try:
            answer = await self._client.request("POST", "", _review(user, asked))
        except (StatusError, Unreachable) as error:
            _log.warning("the authorization webhook does not answer: %s", error)
            return NO_OPINION
        status = answer.get("status") or {}
        decision = Decision(status.get("allowed") is True, str(status.get("reason") or ""))
        self._keep(_key(user, asked), decision)
        return decision

    def _keep(self, key: _Key, decision: Decision) -> None:
        if len(repr(key)) > _KEPT_LENGTH_MAX:
            return
        self._kept.pop(key, None)
        if len(self._kept) >= _KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        lasts_s = ALLOWED_S if decision.allowed else REFUSED_S
        self._kept[key] = decision, self._clock.monotonic_s() + lasts_s


def _key(user: User, asked: Attributes) -> _Key:
    extra = tuple((name, tuple(values)) for name, values in sorted(user.extra.items()))
    # Of a resource the path adds nothing to what else is known.
    about = asked._replace(path="") if asked.resource else asked
    return user.name, user.uid, user.groups, extra, about


def _review(user: User, asked: Attributes) -> JsonObject:
    spec: JsonObject = {"user": user.name, "groups": list(user.groups)}
    if user.uid:
        spec["uid"] = user.uid
    if user.extra:
        spec["extra"] = user.extra
    if asked.resource:
        about: JsonObject = {
            "verb": asked.verb,
            "group": asked.group,
            "version": asked.version,
            "resource": asked.resource,
            "subresource": asked.subresource,
            "namespace": asked.namespace,
            "name": asked.name,
        }
        wanted = {key: value for key, value in about.items() if value}
        for key, selector in zip(("fieldSelector", "labelSelector"), asked.selectors, strict=True):
            if selector:
                wanted[key] = {"rawSelector": selector}
        spec["resourceAttributes"] = wanted
    else:
        spec["nonResourceAttributes"] = {"verb": asked.verb, "path": asked.path}
    return {"kind": "SubjectAccessReview", "apiVersion": _API_VERSION, "spec": spec}
