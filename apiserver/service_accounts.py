"""Service account tokens: JWTs signed with the cluster's key, as TokenRequest makes them.

A token is bound to its service account's uid, and to a pod, secret or node where one is named: it
is worth nothing once that object is gone. What was checked is remembered; each time it is only
looked at whether the objects are still at the revisions that they had then. Tokens of the old kind,
kept in secrets, are good as long as their secret holds them.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from apiserver.authn import AUTHENTICATED, CREDENTIAL_ID, Found, TokenRefused, User
from apiserver.rbac.coverage import quoted
from apiserver.signing_keys import SigningKeys
from kube import times
from kube.json_types import JsonObject
from runtime.clock import Clock
from storage.store_view import StoreView

PRIVATE_CLAIM: Final = "kubernetes.io"
LEGACY_ISSUER: Final = "kubernetes/serviceaccount"
_LEGACY_CLAIM: Final = "kubernetes.io/serviceaccount/"
INVALID_SINCE: Final = "kubernetes.io/legacy-token-invalid-since"
EXTENDED_S: Final = 365 * 24 * 3600
"""How long a token of a pod holds that asks for `WARN_ONLY_S`: old clients never read it again."""
WARN_ONLY_S: Final = 3607
_BOUND_RESOURCES: Final = {"pod": "pods", "secret": "secrets", "node": "nodes"}
_EXTRA: Final = "authentication.kubernetes.io/"
_CACHE_MAX: Final = 10_000
_TOKEN_LENGTH_MAX: Final = 16_384
_LEEWAY_S: Final = 60
"""A token goes on for so long after what it is bound to began to be deleted."""
_ODD: Final = "the service account token's claims are not those of one"
_INVALIDATED: Final = "service account token has been invalidated"
_Key = tuple[str, str, str]


@dataclass(slots=True)
class _Checked:
    """A token whose signature is good.

    Attributes:
        objects: what it is bound to, at the revisions at which that was looked at; empty: anew.
    """

    claims: JsonObject
    audiences: tuple[str, ...]
    user: User | None
    objects: dict[_Key, int]


class ServiceAccountTokens:
    """Makes and checks tokens."""

    def __init__(self, keys: SigningKeys, issuer: str, store: StoreView, clock: Clock) -> None:
        self.keys = keys
        self.issuer = issuer
        self._store = store
        self._clock = clock
        self._checked: dict[str, _Checked] = {}

    def issue(
        self,
        account: JsonObject,
        audiences: Sequence[str],
        lifetime_s: int,
        bound: Sequence[tuple[str, JsonObject]],
    ) -> tuple[str, int]:
        """Return a token for a service account and when it is to be renewed (Unix seconds).

        Args:
            account: the ServiceAccount.
            audiences: whom it is for; none: this API server.
            lifetime_s: how long it holds.
            bound: kinds ("pod", "secret", "node") and objects it is bound to, or tells of.
        """
        metadata = account["metadata"]
        now_s = int(self._clock.now_s())
        expires_s = ends_s = now_s + lifetime_s
        private: JsonObject = {
            "namespace": metadata["namespace"],
            "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]},
        }
        for kind, obj in bound:
            private[kind] = {"name": obj["metadata"]["name"]}
            if uid := obj["metadata"].get("uid"):
                private[kind]["uid"] = uid
        wanted = list(audiences) or [self.issuer]
        if lifetime_s == WARN_ONLY_S and "pod" in private and wanted == [self.issuer]:
            private["warnafter"] = expires_s
            ends_s = now_s + EXTENDED_S
        claims = {
            "aud": wanted,
            "exp": ends_s,
            "iat": now_s,
            "iss": self.issuer,
            "jti": str(uuid.uuid4()),
            "nbf": now_s,
            "sub": f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}",
            PRIVATE_CLAIM: private,
        }
        return self.keys.sign(claims), expires_s

    def check(self, token: str, audiences: Sequence[str]) -> Found | None:
        """See TokenJudge."""
        known = self._checked.get(token)
        if known is None:
            known = self._verify(token)
            if known is None:
                return None
        both = tuple(one for one in known.audiences if one in audiences)
        if not both:
            raise TokenRefused(
                f"token audiences {quoted(known.audiences)} is invalid for the target audiences "
                f"{quoted(audiences)}"
            )
        self._check_times(token, known.claims)
        if not known.objects or not self._are_unchanged(known.objects):
            known.objects = {}
            known.user = self._resolve(token, known)
        assert known.user is not None
        return Found(known.user, both)

    def _verify(self, token: str) -> _Checked | None:
        """Return a token of ours whose signature is good, None if it is none of ours."""
        issuer = _issuer_of(token)
        if issuer not in (self.issuer, LEGACY_ISSUER):
            return None
        claims = self.keys.verify(token, issuer)
        if claims is None:
            raise TokenRefused("no key of this cluster has signed the service account token")
        if issuer == LEGACY_ISSUER:
            audiences: tuple[str, ...] = (self.issuer,)
        else:
            _check_shape(claims)
            given = claims["aud"]
            audiences = (given,) if isinstance(given, str) else tuple(given)
        known = _Checked(claims, audiences, None, {})
        if len(self._checked) >= _CACHE_MAX:
            del self._checked[next(iter(self._checked))]
        self._checked[token] = known
        return known

    def _check_times(self, token: str, claims: JsonObject) -> None:
        now_s = self._clock.now_s()
        if claims.get("nbf", 0) > now_s + _LEEWAY_S:
            raise TokenRefused("service account token is not valid yet")
        if "exp" in claims and claims["exp"] <= now_s:
            self._checked.pop(token, None)
            raise TokenRefused("service account token has expired")

    def _are_unchanged(self, objects: dict[_Key, int]) -> bool:
        get = self._store.get
        for key, revision in objects.items():
            record = get(*key)
            if record is None or record.mod_revision != revision:
                return False
        return True

    def _resolve(self, token: str, known: _Checked) -> User:
        claims = known.claims
        if claims["iss"] == LEGACY_ISSUER:
            return self._resolve_legacy(token, known)
        private = claims[PRIVATE_CLAIM]
        namespace, account = private["namespace"], private["serviceaccount"]
        found: dict[_Key, int] = {}
        self._find("serviceaccounts", namespace, account, found)
        extra = {}
        if jti := claims.get("jti"):
            extra[CREDENTIAL_ID] = [f"JTI={jti}"]
        for kind, resource in _BOUND_RESOURCES.items():
            bound = private.get(kind)
            if bound is None:
                continue
            # The node of a pod's token is told and nothing more: the pod is what it stands for.
            if kind != "node" or "pod" not in private:
                self._find(resource, "" if kind == "node" else namespace, bound, found)
            extra[f"{_EXTRA}{kind}-name"] = [bound["name"]]
            if "uid" in bound:
                extra[f"{_EXTRA}{kind}-uid"] = [bound["uid"]]
        known.objects = found if -1 not in found.values() else {}
        return User(claims["sub"], _groups(namespace), account["uid"], extra)

    def _resolve_legacy(self, token: str, known: _Checked) -> User:
        name_of = {
            key: str(known.claims.get(_LEGACY_CLAIM + key) or "")
            for key in ("namespace", "secret.name", "service-account.name", "service-account.uid")
        }
        namespace, uid = name_of["namespace"], name_of["service-account.uid"]
        name = name_of["service-account.name"]
        found: dict[_Key, int] = {}
        account = {"name": name, "uid": uid}
        self._find("serviceaccounts", namespace, account, found)
        secret = self._find("secrets", namespace, {"name": name_of["secret.name"]}, found)
        held = (secret.get("data") or {}).get("token", "")
        if held != base64.b64encode(token.encode()).decode():
            raise TokenRefused(_INVALIDATED)
        if INVALID_SINCE in (secret["metadata"].get("labels") or {}):
            raise TokenRefused(_INVALIDATED)
        known.objects = found if -1 not in found.values() else {}
        subject = f"system:serviceaccount:{namespace}:{name}"
        return User(subject, _groups(namespace), uid)

    def _find(
        self, resource: str, namespace: str, reference: dict[str, Any], found: dict[_Key, int]
    ) -> JsonObject:
        """Return what a token is bound to, and note its revision.

        Raises:
            TokenRefused: it is gone, another one by now, or has been going for a while.
        """
        name = str(reference.get("name") or "")
        record = self._store.get(resource, namespace, name)
        if record is None:
            raise TokenRefused(_INVALIDATED)
        obj: JsonObject = orjson.loads(record.body)
        metadata = obj["metadata"]
        if "uid" in reference and metadata["uid"] != reference["uid"]:
            raise TokenRefused(_INVALIDATED)
        found[resource, namespace, name] = record.mod_revision
        if (deleted := metadata.get("deletionTimestamp")) is not None:
            if times.epoch_seconds(deleted) < self._clock.now_s() - _LEEWAY_S:
                raise TokenRefused(_INVALIDATED)
            found[resource, namespace, name] = -1  # time alone will end it
        return obj


def _groups(namespace: str) -> tuple[str, ...]:
    return ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)


def unverified_claims(token: str) -> JsonObject:
    """Return what a JWT says, whoever made it; {} if it is none."""
    parts = token.split(".", 3)
    if len(parts) != 3 or len(token) > _TOKEN_LENGTH_MAX:
        return {}
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}


def _issuer_of(token: str) -> str:
    issuer = unverified_claims(token).get("iss")
    return issuer if isinstance(issuer, str) else ""


def _check_shape(claims: JsonObject) -> None:
    """Look at what our own key has signed: another cluster may have the same one.

    Raises:
        TokenRefused: it is not what this server makes.
    """
    private = claims.get(PRIVATE_CLAIM)
    if not isinstance(private, dict) or not isinstance(claims.get("exp"), int | float):
        raise TokenRefused(_ODD)
    account, audiences = private.get("serviceaccount"), claims.get("aud")
    if not isinstance(account, dict) or not isinstance(audiences, str | list):
        raise TokenRefused(_ODD)
    named = [private.get("namespace"), account.get("name"), account.get("uid")]
    subject = f"system:serviceaccount:{named[0]}:{named[1]}"
    if not all(isinstance(one, str) for one in named) or claims.get("sub") != subject:
        raise TokenRefused(_ODD)
    for kind in _BOUND_RESOURCES:
        bound = private.get(kind)
        if bound is not None and not (isinstance(bound, dict) and "name" in bound):
            raise TokenRefused(_ODD)
