"""Checks the tokens of one issuer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import jwt

from apiserver.authn import Found, NotYet, TokenRefused, User
from apiserver.oidc.issuer import Issuer
from apiserver.oidc.keys import IssuerKeys
from apiserver.oidc.mapping import user_of
from apiserver.service_accounts import unverified_claims
from kube.json_types import JsonObject
from runtime.clock import Clock

_CACHE_MAX: Final = 10_000
_AGAIN_S: Final = 60.0
"""After so long a signature is checked again: its key may be taken back."""


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
            known = _Checked(user_of(self._issuer, claims), float(claims["exp"]), now_s + _AGAIN_S)
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
