"""Whatever is presented as a token, it is a user's or it is refused: nothing else happens."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any, cast

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as some

from apiserver.authn import Authenticator
from apiserver.bootstrap_tokens import BootstrapTokens
from apiserver.exchange import Exchange
from apiserver.oidc.issuer import ClaimMapping, Issuer
from apiserver.oidc.keys import IssuerKeys
from apiserver.oidc.tokens import OidcTokens
from apiserver.service_accounts import ServiceAccountTokens
from apiserver.signing_keys import KeyUseless, SigningKeys, read_checking_keys
from kube.status import StatusError
from runtime.clock import SimulatedClock
from storage.errors import JournalUnavailable

ISSUER = "https://kubernetes.default.svc"
OTHER = "https://example.com"
KEY = ec.generate_private_key(ec.SECP256R1())
PEM = KEY.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)
CLOCK = SimulatedClock()


def _authenticator(store: Any) -> Authenticator:
    issuer = Issuer(OTHER, ("a",), ClaimMapping("sub"))
    keys = IssuerKeys(issuer, CLOCK)
    keys._next_s = float("inf")
    judges = [
        ServiceAccountTokens(SigningKeys(PEM), ISSUER, store, CLOCK),
        BootstrapTokens((ISSUER,), store, CLOCK),
        OidcTokens(issuer, keys, (ISSUER,), CLOCK),
    ]
    return Authenticator({}, judges, lambda user, _: user, api_audiences=(ISSUER,))


NOTHING_STORED = SimpleNamespace(get=lambda *_key: None)
AUTHENTICATOR = _authenticator(NOTHING_STORED)


def _code(authenticator: Authenticator, token: bytes) -> int:
    exchange = SimpleNamespace(
        connection=None, authorization=b"Bearer " + token, impersonation=(), path="/x"
    )
    with pytest.raises(StatusError) as refused:
        authenticator.authenticate(cast("Exchange", exchange))
    return refused.value.code


def _part(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


_json = some.recursive(
    some.none() | some.booleans() | some.integers(-(2**63), 2**63) | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=5), inner),
    max_leaves=6,
)
_claims = some.fixed_dictionaries(
    {},
    optional={
        "iss": some.sampled_from([ISSUER, OTHER, "kubernetes/serviceaccount"]) | _json,
        "aud": _json,
        "exp": _json,
        "nbf": _json,
        "sub": _json,
        "kubernetes.io": _json,
    },
)


@settings(deadline=None)
@given(header=some.binary(max_size=40) | _json.map(orjson.dumps), claims=_claims)
def test_a_made_up_token_is_refused(header: bytes, claims: Any) -> None:
    token = b".".join((_part(header), _part(orjson.dumps(claims)), b"sig"))
    assert _code(AUTHENTICATOR, token) == 401


@settings(deadline=None)
@given(some.binary(min_size=1, max_size=60).filter(lambda token: token.strip()))
def test_bytes_are_refused(token: bytes) -> None:
    assert _code(AUTHENTICATOR, token) == 401


@settings(deadline=None)
@given(claims=_claims)
def test_odd_claims_under_our_own_signature_are_refused(claims: Any) -> None:
    try:
        token = jwt.encode({**claims, "iss": ISSUER}, KEY, "ES256")
    except TypeError:
        return  # the library does not sign such claims
    assert _code(AUTHENTICATOR, token.encode()) == 401


def test_a_deeply_nested_header_is_refused() -> None:
    payload = _part(orjson.dumps({"iss": ISSUER}))
    token = b".".join((_part(b"[" * 9000), payload, b"sig"))
    assert _code(AUTHENTICATOR, token) == 401


def test_while_nothing_can_be_read_a_good_token_has_to_come_again() -> None:
    def away(*_key: str) -> None:
        raise JournalUnavailable("the store is not started")

    account = {"metadata": {"namespace": "a", "name": "b", "uid": "u"}}
    tokens = ServiceAccountTokens(SigningKeys(PEM), ISSUER, NOTHING_STORED, CLOCK)  # type: ignore[arg-type]
    token, _ = tokens.issue(account, [], 600, [])
    assert _code(_authenticator(SimpleNamespace(get=away)), token.encode()) == 503


@pytest.mark.parametrize(
    "pem", [b"", b"x", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"]
)
def test_a_file_without_keys_is_refused(pem: bytes) -> None:
    with pytest.raises(KeyUseless):
        read_checking_keys(pem)
