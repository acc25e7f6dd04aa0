"""Service account tokens: JWTs signed with the cluster's key (ES256), as TokenRequest makes them.

A token is bound to its service account's uid, and to a pod, secret or node where one is named: it
is worth nothing once that object is gone. Checked tokens are remembered until they expire; what
they are bound to is looked up each time, which costs one read from memory.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final

import jwt
import orjson
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from apiserver.authn import AUTHENTICATED, User
from kube.json_types import JsonObject
from runtime.clock import Clock
from storage.store_view import StoreView

PRIVATE_CLAIM: Final = "kubernetes.io"
_BOUND_RESOURCES: Final = {"pod": "pods", "secret": "secrets", "node": "nodes"}
_CACHE_MAX: Final = 10_000


class ServiceAccountTokens:
    """Makes and checks tokens."""

    def __init__(self, key_pem: bytes, issuer: str, store: StoreView, clock: Clock) -> None:
        private = load_pem_private_key(key_pem, password=None)
        self._key = key_pem
        self._public = private.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        self.issuer = issuer
        self._store = store
        self._clock = clock
        self._checked: dict[str, JsonObject] = {}

    def issue(
        self,
        account: JsonObject,
        audiences: Sequence[str],
        lifetime_s: int,
        bound: tuple[str, JsonObject] | None,
    ) -> tuple[str, int]:
        """Return a token for a service account and when it expires (Unix seconds).

        Args:
            account: the ServiceAccount.
            audiences: whom it is for; none: this API server.
            lifetime_s: how long it holds.
            bound: kind ("pod", "secret", "node") and object it is bound to.
        """
        metadata = account["metadata"]
        now_s = int(self._clock.now_s())
        expires_s = now_s + lifetime_s
        private: JsonObject = {
            "namespace": metadata["namespace"],
            "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]},
        }
        if bound is not None:
            kind, obj = bound
            private[kind] = {"name": obj["metadata"]["name"], "uid": obj["metadata"]["uid"]}
        claims = {
            "aud": list(audiences) or [self.issuer],
            "exp": expires_s,
            "iat": now_s,
            "iss": self.issuer,
            "jti": str(uuid.uuid4()),
            "nbf": now_s,
            "sub": f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}",
            PRIVATE_CLAIM: private,
        }
        return jwt.encode(claims, self._key, algorithm="ES256"), expires_s

    def check(self, token: str, audiences: Sequence[str] = ()) -> User | None:
        """Return whom a token names, None if it is not ours, expired, or bound to what is gone."""
        wanted = list(audiences) or [self.issuer]
        claims = self._checked.get(token)
        if claims is None:
            claims = self._verify(token)
            if claims is None:
                return None
            if len(self._checked) >= _CACHE_MAX:
                self._checked.clear()
            self._checked[token] = claims
        if claims["exp"] <= self._clock.now_s():
            self._checked.pop(token, None)
            return None
        if not set(wanted) & set(claims["aud"]):
            return None
        return self._user_of(claims)

    def _verify(self, token: str) -> JsonObject | None:
        try:
            claims: JsonObject = jwt.decode(
                token,
                self._public,
                algorithms=["ES256"],
                issuer=self.issuer,
                options={"verify_aud": False, "verify_exp": False, "require": ["exp", "sub"]},
            )
        except jwt.InvalidTokenError:
            return None
        return claims if isinstance(claims.get(PRIVATE_CLAIM), dict) else None

    def _user_of(self, claims: JsonObject) -> User | None:
        private = claims[PRIVATE_CLAIM]
        namespace = private["namespace"]
        account = private["serviceaccount"]
        if not self._is_there("serviceaccounts", namespace, account):
            return None
        extra = {"authentication.kubernetes.io/credential-id": [f"JTI={claims['jti']}"]}
        for kind, resource in _BOUND_RESOURCES.items():
            bound = private.get(kind)
            if bound is None:
                continue
            if not self._is_there(resource, "" if kind == "node" else namespace, bound):
                return None
            extra[f"authentication.kubernetes.io/{kind}-name"] = [bound["name"]]
            extra[f"authentication.kubernetes.io/{kind}-uid"] = [bound["uid"]]
        groups = (
            "system:serviceaccounts",
            f"system:serviceaccounts:{namespace}",
            AUTHENTICATED,
        )
        return User(claims["sub"], groups, account["uid"], extra)

    def _is_there(self, resource: str, namespace: str, reference: dict[str, Any]) -> bool:
        record = self._store.get(resource, namespace, reference["name"])
        if record is None:
            return False
        return bool(orjson.loads(record.body)["metadata"]["uid"] == reference["uid"])
