"""Users made of a token's claims, as its issuer's configuration says; its rules are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from apiserver.authn import AUTHENTICATED, CREDENTIAL_ID, TokenRefused, User
from apiserver.oidc.expressions import Expression, ExpressionFailed
from apiserver.oidc.issuer import ClaimMapping, Issuer, Rule
from kube.field import quote
from kube.json_types import JsonObject

_EMAIL: Final = "email"
_NO_TEXTS: Final = "expression must return a string or a list of strings"


def user_of(issuer: Issuer, claims: JsonObject) -> User:
    """Return the user that checked claims name.

    Raises:
        TokenRefused: they name nobody, or break a rule; worded as upstream.
    """
    name = _name(issuer.username, claims)
    groups = _groups(issuer.groups, claims)
    uid = _uid(issuer.uid, claims)
    extra = _extra(issuer.extra, claims)
    _check_required(issuer.required, claims)
    _check_rules(issuer.claim_rules, claims, "claim validation expression")
    if issuer.user_rules:
        info = {"username": name, "uid": uid, "groups": groups, "extra": extra}
        _check_rules(issuer.user_rules, info, "user info validation rule")
    if isinstance(claims.get("jti"), str):
        extra[CREDENTIAL_ID] = [f"JTI={claims['jti']}"]
    return User(name, tuple(dict.fromkeys((*groups, AUTHENTICATED))), uid, extra)


def _name(mapping: ClaimMapping | Expression, claims: JsonObject) -> str:
    if isinstance(mapping, Expression):
        return _one_text(mapping, claims, "username")
    name = _claim(claims, mapping.claim, "username claims")
    # Standard claims of OpenID Connect Core 1.0, 5.1: an email counts once it was verified.
    if mapping.claim == _EMAIL and claims.get("email_verified", True) is not True:
        if not isinstance(claims["email_verified"], bool):
            raise TokenRefused("oidc: parse 'email_verified' claim: not a bool")
        raise TokenRefused("oidc: email not verified")
    return mapping.prefix + name


def _uid(mapping: ClaimMapping | Expression | None, claims: JsonObject) -> str:
    if mapping is None:
        return ""
    if isinstance(mapping, Expression):
        return _one_text(mapping, claims, "uid")
    return _claim(claims, mapping.claim, "uid claim")


def _groups(mapping: ClaimMapping | Expression | None, claims: JsonObject) -> list[str]:
    if mapping is None:
        return []
    if isinstance(mapping, Expression):
        return _texts(mapping, claims, "group claim expression")
    value: Any = claims.get(mapping.claim)
    if value is None:
        return []
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise TokenRefused(
            f"oidc: parse groups claim {quote(mapping.claim)}: not a list of strings"
        )
    return [mapping.prefix + one for one in values]


def _extra(mappings: Sequence[tuple[str, Expression]], claims: JsonObject) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, expression in mappings:
        if values := _texts(expression, claims, "extra claim expression"):
            found[key] = values
    return found


def _check_required(required: Mapping[str, str], claims: JsonObject) -> None:
    for claim, wanted in required.items():
        if claim not in claims:
            raise TokenRefused(f"oidc: required claim {claim} not present in ID token")
        if claims[claim] != wanted:
            raise TokenRefused(
                f"oidc: required claim {claim} value does not match. Got = {claims[claim]}, "
                f"want = {wanted}"
            )


def _check_rules(rules: Sequence[Rule], value: JsonObject, what: str) -> None:
    for rule in rules:
        if _evaluated(rule.expression, value, what) is not True:
            raise TokenRefused(
                f"oidc: error evaluating {what}: validation expression "
                f"'{rule.expression.text}' failed: {rule.message}"
            )


def _claim(claims: JsonObject, claim: str, what: str) -> str:
    value = claims.get(claim)
    if not isinstance(value, str) or not value:
        why = "claim not present" if value is None else "not a string"
        raise TokenRefused(f"oidc: parse {what} {quote(claim)}: {why}")
    return value


def _one_text(expression: Expression, claims: JsonObject, what: str) -> str:
    value = _evaluated(expression, claims, f"{what} claim expression")
    if not isinstance(value, str):
        text = f"{what} claim expression must return a string"
        raise TokenRefused(f"oidc: error evaluating {what} claim expression: {text}")
    return value


def _texts(expression: Expression, claims: JsonObject, what: str) -> list[str]:
    """Return the strings that an expression gives; empty ones count as not there."""
    value = _evaluated(expression, claims, what)
    values = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(one, str) for one in values):
        raise TokenRefused(f"oidc: error evaluating {what}: {_NO_TEXTS}")
    return [one for one in values if one]


def _evaluated(expression: Expression, value: JsonObject, what: str) -> Any:
    try:
        return expression.evaluate(value)
    except ExpressionFailed as error:
        raise TokenRefused(f"oidc: error evaluating {what}: {error}") from error
