"""Checks the tokens of one issuer, and makes users of their claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt

from apiserver.authn import AUTHENTICATED, CREDENTIAL_ID, Found, NotYet, TokenRefused, User
from apiserver.oidc.config import ClaimMapping, Issuer
from apiserver.oidc.keys import IssuerKeys
from apiserver.service_accounts import unverified_claims
from kube.field import quote
from kube.json_types import JsonObject
from runtime.clock import Clock

_CACHE_MAX: Final = 10_000
_AGAIN_S: Final = 60.0
"""After so long a signature is checked again: its key may be taken back."""
_EMAIL: Final = "email"


@dataclass(frozen=True, slots=True)
class _Checked:
    user: User
    expires_s: float
    good_until_s: float


class OidcTokens:
    """The judge of one issuer's tokens."""

    def __init__(
        self, issuer: Issuer, keys: IssuerKeys, api_audiences: tuple[str, ...], clock: Clock
    ) -> None:
        self.keys = keys
        self._issuer = issuer
        self._api_audiences = api_audiences
        self._clock = clock
        self._checked: dict[str, _Checked] = {}

    def check(self, token: str, audiences: Sequence[str]) -> Found | None:
        """See TokenJudge."""
        now_s = self._clock.now_s()
        known = self._checked.get(token)
        if known is None or known.good_until_s <= now_s:
            if unverified_claims(token).get("iss") != self._issuer.url:
                return None
            claims = self._verify(token)
            known = _Checked(self._user_of(claims), float(claims["exp"]), now_s + _AGAIN_S)
            self._checked.pop(token, None)
            if len(self._checked) >= _CACHE_MAX:
                del self._checked[next(iter(self._checked))]
            self._checked[token] = known
        if known.expires_s <= now_s:
            self._checked.pop(token, None)
            raise TokenRefused("oidc: verify token: oidc: token is expired")
        both = tuple(one for one in audiences if one in self._api_audiences)
        return Found(known.user, both) if both or not audiences else None

    def _verify(self, token: str) -> JsonObject:
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError as error:
            raise TokenRefused(f"oidc: malformed jwt: {error}") from error
        if header.get("alg") not in self._issuer.algorithms:
            text = f"oidc: verify token: oidc: unexpected signature algorithm {header.get('alg')!r}"
            raise TokenRefused(text)
        key = self.keys.find(header.get("kid"))
        if key is None:
            ready = self.keys.renewal()
            if ready is not None:
                raise NotYet(ready)
            raise TokenRefused("oidc: verify token: failed to verify signature: no such key")
        try:
            claims: JsonObject = jwt.decode(
                token,
                key.key,
                algorithms=[header["alg"]],
                issuer=self._issuer.url,
                audience=self._issuer.audiences,
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except (jwt.PyJWTError, TypeError, ValueError) as error:
            raise TokenRefused(f"oidc: verify token: {error}") from error
        if not isinstance(claims.get("exp"), int | float):
            raise TokenRefused("oidc: verify token: no expiry")
        if isinstance(claims.get("nbf"), int | float) and claims["nbf"] > self._clock.now_s() + 60:
            raise TokenRefused("oidc: verify token: current time before the nbf (not before) time")
        return claims

    def _user_of(self, claims: JsonObject) -> User:
        issuer = self._issuer
        name = _text(claims, issuer.username.claim, "username")
        if issuer.username.claim == _EMAIL and claims.get("email_verified") is False:
            raise TokenRefused("oidc: email not verified")
        for claim, wanted in issuer.required.items():
            if claim not in claims:
                raise TokenRefused(f"oidc: required claim {claim} not present in ID token")
            if claims[claim] != wanted:
                raise TokenRefused(
                    f"oidc: required claim {claim} value does not match. Got = {claims[claim]}, "
                    f"want = {wanted}"
                )
        uid = _text(claims, issuer.uid_claim, "uid") if issuer.uid_claim else ""
        groups = _groups(claims, issuer.groups) if issuer.groups is not None else []
        extra = {}
        if isinstance(claims.get("jti"), str):
            extra[CREDENTIAL_ID] = [f"JTI={claims['jti']}"]
        named = tuple(dict.fromkeys((*groups, AUTHENTICATED)))
        return User(issuer.username.prefix + name, named, uid, extra)


def _text(claims: JsonObject, claim: str, what: str) -> str:
    value = claims.get(claim)
    if not isinstance(value, str) or not value:
        why = "claim not present" if value is None else "not a string"
        raise TokenRefused(f"oidc: parse {what} claims {quote(claim)}: {why}")
    return value


def _groups(claims: JsonObject, mapping: ClaimMapping) -> list[str]:
    value: Any = claims.get(mapping.claim)
    if value is None:
        return []
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise TokenRefused(
            f"oidc: parse groups claim {quote(mapping.claim)}: not a list of strings"
        )
    return [mapping.prefix + one for one in values]
