"""Users made of claims by expressions, and the rules that claims and users have to keep."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.authn import TokenRefused, User
from apiserver.oidc.config import parse_configuration
from apiserver.oidc.mapping import user_of

Json = dict[str, Any]
CLAIMS: Json = {
    "iss": "https://example.com",
    "sub": "jo",
    "email": "jo@example.com",
    "email_verified": True,
    "roles": ["dev", "", "ops"],
    "level": 3,
    "nested": {"team": "red"},
    "jti": "7",
}


def _user(claims: Json | None = None, rules: Json | None = None, **mappings: Any) -> User:
    entry = {
        "issuer": {"url": "https://example.com", "audiences": ["a"]},
        "claimMappings": {"username": {"expression": "claims.sub"}, **mappings},
        **(rules or {}),
    }
    document = {
        "kind": "AuthenticationConfiguration",
        "apiVersion": "apiserver.config.k8s.io/v1",
        "jwt": [entry],
    }
    ((issuer,), _) = parse_configuration(document)
    return user_of(issuer, CLAIMS if claims is None else claims)


def test_expressions_make_name_groups_uid_and_extra() -> None:
    user = _user(
        username={"expression": "'x:' + claims.nested.team + ':' + claims.sub"},
        groups={"expression": "claims.roles.map(one, 'g:' + one)"},
        uid={"expression": "string(claims.level)"},
        extra=[{"key": "example.com/roles", "valueExpression": "claims.roles"}],
    )
    assert (user.name, user.uid) == ("x:red:jo", "3")
    assert user.groups == ("g:dev", "g:", "g:ops", "system:authenticated")
    # Empty strings count as not there.
    assert user.extra["example.com/roles"] == ["dev", "ops"]
    assert user.extra["authentication.kubernetes.io/credential-id"] == ["JTI=7"]


@pytest.mark.parametrize(
    ("expression", "groups"),
    [("'one'", ["one"]), ("''", []), ("[]", []), ("null", []), ("claims.?none.orValue([])", [])],
)
def test_a_text_is_one_group_and_nothing_is_none(expression: str, groups: list[str]) -> None:
    user = _user(groups={"expression": expression})
    assert list(user.groups) == [*groups, "system:authenticated"]


@pytest.mark.parametrize(
    ("mappings", "why"),
    [
        ({"username": {"expression": "claims.level"}}, "username claim expression must return a"),
        (
            {"username": {"expression": "claims.none"}},
            "oidc: error evaluating username claim expression: expression 'claims.none' resulted "
            "in error: no such key: none",
        ),
        ({"uid": {"expression": "claims.roles"}}, "uid claim expression must return a string"),
        ({"groups": {"expression": "[1]"}}, "must return a string or a list of strings"),
        (
            {"extra": [{"key": "a.b/c", "valueExpression": "{'a': 1}"}]},
            "must return a string or a list of strings",
        ),
    ],
)
def test_what_gives_another_type_or_fails_names_nobody(mappings: Json, why: str) -> None:
    with pytest.raises(TokenRefused, match=why):
        _user(**mappings)


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ({"claimValidationRules": [{"expression": "claims.level > 2", "message": "low"}]}, ""),
        (
            {"claimValidationRules": [{"expression": "claims.level > 3", "message": "low"}]},
            "oidc: error evaluating claim validation expression: validation expression "
            "'claims.level > 3' failed: low",
        ),
        ({"userValidationRules": [{"expression": "user.username == 'jo'"}]}, ""),
        ({"userValidationRules": [{"expression": "user.groups.size() == 0"}]}, ""),
        (
            {
                "userValidationRules": [
                    {"expression": "!user.username.startsWith('j')", "message": "reserved"}
                ]
            },
            "oidc: error evaluating user info validation rule: validation expression "
            r"'!user.username.startsWith\('j'\)' failed: reserved",
        ),
        ({"claimValidationRules": [{"claim": "sub", "requiredValue": "jo"}]}, ""),
        (
            {"claimValidationRules": [{"claim": "sub", "requiredValue": "al"}]},
            "required claim sub value does not match. Got = jo, want = al",
        ),
    ],
)
def test_a_rule_that_does_not_hold_refuses_the_token(rules: Json, why: str) -> None:
    if not why:
        assert _user(rules=rules).name == "jo"
        return
    with pytest.raises(TokenRefused, match=why):
        _user(rules=rules)


def test_a_runaway_expression_ends() -> None:
    endless = "claims.many.all(a, claims.many.all(b, claims.many.all(c, a + b + c >= 0)))"
    claims = {**CLAIMS, "many": list(range(1000))}
    with pytest.raises(TokenRefused, match="cost"):
        _user(claims, {"claimValidationRules": [{"expression": endless}]})
