"""AuthenticationConfiguration: what is understood, and that nothing is passed over."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.authn import AnonymousRule
from apiserver.oidc.config import ClaimMapping, ConfigurationUseless, parse_configuration

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
    assert (found.uid_claim, found.required) == ("oid", {"hd": "example.com"})
    assert found.discovery_url == "https://inside.example.com/keys"
    assert anonymous is None


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ([], "must be an object"),
        ({"kind": "Other"}, "must be of kind"),
        (_document(_entry(), _entry()), "duplicate value"),
        (_document(_entry(issuer={"url": "http://x", "audiences": ["a"]})), "scheme must be https"),
        (_document(_entry(issuer={"url": "https://x"})), "audiences: at least one"),
        (
            _document(_entry(issuer={"url": "https://x", "audiences": ["a", "b"]})),
            "must be MatchAny",
        ),
        (_document(_entry(claimMappings={})), "username: claim or expression"),
        (_document(_entry(claimMappings={"username": {"claim": "sub"}})), "prefix is required"),
        (
            _document(_entry(claimMappings={"username": {"expression": "claims.sub"}})),
            "username.expression: CEL",
        ),
        (_document(_entry(userValidationRules=[{"expression": "true"}])), "CEL"),
        (_document(_entry(claimValidationRules=[{"expression": "true"}])), "CEL"),
        (_document(_entry(other=1)), r"jwt\[0\]\.other: unknown field"),
        (_document(_entry(issuer={"certificateAuthority": "x"})), "audiences"),
        (_document(anonymous={"conditions": [{"path": "/livez"}]}), "enabled should be"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(document: Any, why: str) -> None:
    with pytest.raises(ConfigurationUseless, match=why):
        parse_configuration(document)


def test_anonymous_requests_may_be_limited_to_paths() -> None:
    document = _document(anonymous={"enabled": True, "conditions": [{"path": "/livez"}]})
    rule = parse_configuration(document)[1]
    assert rule == AnonymousRule(enabled=True, paths=frozenset({"/livez"}))
    assert rule is not None
    assert [rule.lets(path) for path in ("/livez", "/readyz")] == [True, False]
    off = parse_configuration(_document(anonymous={"enabled": False}))[1]
    assert off is not None
    assert not off.lets("/livez")
