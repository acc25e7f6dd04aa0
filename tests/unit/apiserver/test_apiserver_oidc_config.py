"""AuthenticationConfiguration: what is understood, and that nothing is passed over."""

from __future__ import annotations

import re
from typing import Any

import pytest

from apiserver.authn import AnonymousRule
from apiserver.config_reader import ConfigurationUseless
from apiserver.oidc.config import parse_configuration
from apiserver.oidc.expressions import Expression
from apiserver.oidc.issuer import ClaimMapping

Json = dict[str, Any]


def _document(*entries: Json, **more: Any) -> Json:
    return {
        "kind": "AuthenticationConfiguration",
        "apiVersion": "apiserver.config.k8s.io/v1",
        "jwt": list(entries),
        **more,
    }


def _entry(**changes: Any) -> Json:
    entry: Json = {
        "issuer": {"url": "https://example.com", "audiences": ["a"]},
        "claimMappings": {"username": {"claim": "sub", "prefix": "x:"}},
    }
    return {**entry, **changes}


def _issuer(**changes: Any) -> Json:
    issuer = {"url": "https://example.com", "audiences": ["a"], **changes}
    return _document(_entry(issuer=issuer))


NAME: Json = {"username": {"claim": "sub", "prefix": ""}}
VERIFIED: Json = {"key": "example.com/verified", "valueExpression": "string(claims.email_verified)"}


def _mappings(base: Json | None = None, **more: Any) -> Json:
    return _document(_entry(claimMappings={**(base or {}), **more}))


def _rules(what: str, *texts: str) -> Json:
    return _document(_entry(**{f"{what}ValidationRules": [{"expression": one} for one in texts]}))


def test_an_issuer_is_understood() -> None:
    issuer = {
        "url": "https://example.com/a",
        "discoveryURL": "https://inside.example.com/keys",
        "audiences": ["a", "b"],
        "audienceMatchPolicy": "MatchAny",
    }
    mappings = {
        "username": {"claim": "email", "prefix": ""},
        "groups": {"claim": "groups", "prefix": "g:"},
        "uid": {"claim": "oid"},
    }
    rules = [{"claim": "hd", "requiredValue": "example.com"}]
    entry = _entry(issuer=issuer, claimMappings=mappings, claimValidationRules=rules)
    (found,), anonymous = parse_configuration(_document(entry))
    assert found.url == "https://example.com/a"
    assert found.audiences == ("a", "b")
    assert found.username == ClaimMapping("email")
    assert found.groups == ClaimMapping("groups", "g:")
    assert (found.uid, found.required) == (ClaimMapping("oid"), {"hd": "example.com"})
    assert found.discovery_url == "https://inside.example.com/keys"
    assert anonymous is None


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ([], "must be an object"),
        ({"kind": "Other"}, "must be of kind"),
        (
            _document(_entry(), _entry()),
            'jwt[1].issuer.url: Duplicate value: "https://example.com"',
        ),
        (
            _issuer(url="http://x"),
            'jwt[0].issuer.url: Invalid value: "http://x": URL scheme must be',
        ),
        (_issuer(url="https://a:b@x"), "URL must not contain a username or password"),
        (_issuer(url="https://x?a"), "URL must not contain a query"),
        (
            _issuer(url="https://ours"),
            "URL must not overlap with disallowed issuers: [https://ours]",
        ),
        (_issuer(discoveryURL="https://example.com/"), "discoveryURL must be different from URL"),
        (
            _issuer(audiences=[]),
            "jwt[0].issuer.audiences: Required value: at least one jwt[0].issuer.audiences is",
        ),
        (
            _issuer(audiences=["a", "b"]),
            'jwt[0].issuer.audienceMatchPolicy: Invalid value: "": audienceMatchPolicy must be '
            "MatchAny for multiple audiences",
        ),
        (_issuer(audiences=["a", "a"], audienceMatchPolicy="MatchAny"), "audiences[1]: Duplicate"),
        (_issuer(audienceMatchPolicy="All"), "must be empty or MatchAny for single audience"),
        (_issuer(certificateAuthority="x"), 'certificateAuthority: Invalid value: "<omitted>"'),
        (_issuer(egressSelectorType="cluster"), "jwt[0].issuer.egressSelectorType: unknown field"),
        (_mappings(), "jwt[0].claimMappings.username: Required value: claim or expression is"),
        (
            _mappings(username={"claim": "sub"}),
            "username.prefix: Required value: prefix is required",
        ),
        (
            _mappings(username={"claim": "sub", "expression": "claims.sub"}),
            'jwt[0].claimMappings.username: Invalid value: "": claim and expression can\'t both be',
        ),
        (
            _mappings(username={"expression": "claims.sub", "prefix": ""}),
            'username.prefix: Invalid value: "": may not be specified when expression is set',
        ),
        (
            _mappings(username={"expression": "claims."}),
            'jwt[0].claimMappings.username.expression: Invalid value: "claims.": compilation',
        ),
        (
            _mappings(username={"expression": "claims.email"}),
            "claims.email_verified must be used in claimMappings.username.expression",
        ),
        (_mappings(NAME, extra=[{"key": "a", "valueExpression": "'x'"}]), "domain-prefixed path"),
        (_mappings(NAME, extra=[{"key": "a.b/C", "valueExpression": "'x'"}]), "must be lowercase"),
        (
            _mappings(NAME, extra=[{"key": "a.k8s.io/c", "valueExpression": "'x'"}]),
            "are reserved for Kubernetes use",
        ),
        (_mappings(NAME, extra=[{"key": "a.b/c"}]), "extra[0].valueExpression: Required value"),
        (
            _rules("user", "user.username"),
            'jwt[0].userValidationRules[0].expression: Invalid value: "user.username": must '
            "evaluate to bool",
        ),
        (
            _rules("user", "true", "true"),
            'userValidationRules[1].expression: Duplicate value: "true"',
        ),
        (_rules("user", "claims.a == 1"), "undeclared reference to 'claims'"),
        (_rules("claim", "user.uid == ''"), "undeclared reference to 'user'"),
        (
            _document(_entry(claimValidationRules=[{"claim": "a", "message": "m"}])),
            'claimValidationRules[0].message: Invalid value: "m": may not be specified when claim',
        ),
        (
            _document(_entry(claimValidationRules=[{"expression": "true", "requiredValue": "v"}])),
            'requiredValue: Invalid value: "v": may not be specified when expression is set',
        ),
        (_document(_entry(claimValidationRules=[{}])), "claimValidationRules[0]: Required value"),
        (
            _document(_entry(claimValidationRules=[{"claim": 1}])),
            "[0].claim: must be of type string",
        ),
        (_document(_entry(other=1)), "jwt[0].other: unknown field"),
        (_document(_entry(issuer=[])), "jwt[0].issuer: must be of type object"),
        (_document(anonymous={"conditions": [{"path": "/livez"}]}), "enabled should be"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(document: Any, why: str) -> None:
    with pytest.raises(ConfigurationUseless, match=re.escape(why)):
        parse_configuration(document, ["https://ours"])


def test_all_faults_are_told_at_once() -> None:
    document = _document(_entry(issuer={"url": "http://x"}, claimMappings={}))
    with pytest.raises(ConfigurationUseless) as refused:
        parse_configuration(document)
    assert [where in str(refused.value) for where in ("url", "audiences", "username")] == [True] * 3


@pytest.mark.parametrize(
    "more",
    [
        {"username": {"expression": "claims.email_verified ? claims.email : ''"}},
        {"username": {"expression": "claims[?'x'].orValue(claims.email)"}, "extra": [VERIFIED]},
        {"username": {"expression": "claims.?email.orValue('') + string(claims.email_verified)"}},
    ],
)
def test_an_email_may_be_a_name_if_anybody_asks_whether_it_was_verified(more: Json) -> None:
    ((found,), _) = parse_configuration(_mappings(**more))
    assert isinstance(found.username, Expression)


def test_anonymous_requests_may_be_limited_to_paths() -> None:
    document = _document(anonymous={"enabled": True, "conditions": [{"path": "/livez"}]})
    rule = parse_configuration(document)[1]
    assert rule == AnonymousRule(enabled=True, paths=frozenset({"/livez"}))
    assert rule is not None
    assert [rule.lets(path) for path in ("/livez", "/readyz")] == [True, False]
    off = parse_configuration(_document(anonymous={"enabled": False}))[1]
    assert off is not None
    assert not off.lets("/livez")
