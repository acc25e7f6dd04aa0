"""Bootstrap tokens: what a machine shows that is about to join the cluster.

Each is a Secret of kube-system, `bootstrap-token-<id>`; the token is `<id>.<secret>`. It is looked
up each time, so a deleted or changed one counts at once.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Sequence
from typing import Final

import orjson

from apiserver.authn import AUTHENTICATED, Found, User
from kube import times
from kube.json_types import JsonObject
from runtime.clock import Clock
from storage.store_view import StoreView

TYPE: Final = "bootstrap.kubernetes.io/token"
GROUP: Final = "system:bootstrappers"
_TOKEN: Final = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_EXTRA_GROUP: Final = re.compile(rf"{GROUP}:[a-z0-9:-]{{0,255}}[a-z0-9]")


class BootstrapTokens:
    """Checks bootstrap tokens."""

    def __init__(self, api_audiences: tuple[str, ...], store: StoreView, clock: Clock) -> None:
        self._api_audiences = api_audiences
        self._store = store
        self._clock = clock

    def check(self, token: str, audiences: Sequence[str]) -> Found | None:
        """See TokenJudge."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        both = tuple(one for one in audiences if one in self._api_audiences)
        if audiences and not both:
            return None
        record = self._store.get("secrets", "kube-system", f"bootstrap-token-{match[1]}")
        if record is None:
            return None
        secret: JsonObject = orjson.loads(record.body)
        data = {key: _decoded(value) for key, value in (secret.get("data") or {}).items()}
        if secret.get("type") != TYPE or secret["metadata"].get("deletionTimestamp"):
            return None
        same = hmac.compare_digest(data.get("token-secret", "").encode(), match[2].encode())
        if not same or data.get("token-id") != match[1]:
            return None
        if self._has_expired(data) or data.get("usage-bootstrap-authentication") != "true":
            return None
        groups = _groups_of(data.get("auth-extra-groups", ""))
        if groups is None:
            return None
        return Found(User(f"system:bootstrap:{match[1]}", (*groups, AUTHENTICATED)), both)

    def _has_expired(self, data: dict[str, str]) -> bool:
        expiration = data.get("expiration")
        if not expiration:
            return False
        try:
            return times.epoch_seconds(expiration) < self._clock.now_s()
        except times.TimeError:
            return True  # as upstream: what cannot be read has passed


def _groups_of(text: str) -> tuple[str, ...] | None:
    """Return the groups of a token, None if one of them is not a bootstrapper's."""
    extra = {name for name in text.split(",") if name}
    if any(_EXTRA_GROUP.fullmatch(name) is None for name in extra):
        return None
    return (GROUP, *sorted(extra - {GROUP}))


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
