"""Which issuers are trusted and what their claims mean: upstream's AuthenticationConfiguration.

Read once, at the start; whatever is in it that this server cannot honour is refused by name, as a
rule that is passed over would let in whom it should keep out. Rules and mappings written in CEL are
such.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from apiserver.authn import AnonymousRule
from kube.json_types import JsonObject

KIND: Final = "AuthenticationConfiguration"
VERSIONS: Final = tuple(f"apiserver.config.k8s.io/{one}" for one in ("v1", "v1beta1", "v1alpha1"))
ALGORITHMS: Final = tuple(
    f"{kind}{bits}" for kind in ("RS", "ES", "PS") for bits in (256, 384, 512)
)
ISSUERS_MAX: Final = 64


class ConfigurationUseless(ValueError):
    """The configuration is wrong, or asks for what cannot be done here; the text says where."""


@dataclass(frozen=True, slots=True)
class ClaimMapping:
    """A claim, and what is put before its value."""

    claim: str
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Issuer:
    """One trusted issuer.

    Attributes:
        discovery_url: where it tells of its keys; empty: at the place that its URL gives.
        authorities: PEM certificates that its server is checked by; empty: the system's.
        required: claims and the values that they must have.
        algorithms: by which it may sign.
    """

    url: str
    audiences: tuple[str, ...]
    username: ClaimMapping
    groups: ClaimMapping | None = None
    uid_claim: str = ""
    discovery_url: str = ""
    authorities: str = ""
    required: Mapping[str, str] = field(default_factory=dict)
    algorithms: tuple[str, ...] = ALGORITHMS


def parse_configuration(document: Any) -> tuple[list[Issuer], AnonymousRule | None]:
    """Return the issuers, and who may come without credentials if that is said.

    Raises:
        ConfigurationUseless: see there.
    """
    if not isinstance(document, dict):
        raise ConfigurationUseless("must be an object")
    if document.get("kind") != KIND or document.get("apiVersion") not in VERSIONS:
        raise ConfigurationUseless(f"must be of kind {KIND} and version {VERSIONS[0]}")
    _check_keys(document, "", {"kind", "apiVersion", "jwt", "anonymous", "metadata"})
    entries = document.get("jwt") or []
    if len(entries) > ISSUERS_MAX:
        raise ConfigurationUseless(f"jwt: must have at most {ISSUERS_MAX} items")
    issuers = [_parse_issuer(entry, f"jwt[{number}]") for number, entry in enumerate(entries)]
    urls = [issuer.url for issuer in issuers]
    for number, url in enumerate(urls):
        if url in urls[:number]:
            raise ConfigurationUseless(f"jwt[{number}].issuer.url: duplicate value: {url}")
    return issuers, _parse_anonymous(document.get("anonymous"))


def _parse_anonymous(document: JsonObject | None) -> AnonymousRule | None:
    if document is None:
        return None
    _check_keys(document, "anonymous", {"enabled", "conditions"})
    enabled, conditions = bool(document.get("enabled")), document.get("conditions")
    if conditions and not enabled:
        text = "enabled should be set to true when conditions are defined"
        raise ConfigurationUseless(f"anonymous.conditions: {text}")
    paths = None
    if conditions:
        paths = frozenset(str(one.get("path", "")) for one in conditions)
    return AnonymousRule(enabled, paths)


def _parse_issuer(entry: JsonObject, where: str) -> Issuer:
    known = {"issuer", "claimValidationRules", "claimMappings", "userValidationRules"}
    _check_keys(entry, where, known)
    if entry.get("userValidationRules"):
        raise ConfigurationUseless(f"{where}.userValidationRules: CEL is not supported")
    issuer = entry.get("issuer") or {}
    place = f"{where}.issuer"
    known = {"url", "discoveryURL", "certificateAuthority", "audiences", "audienceMatchPolicy"}
    _check_keys(issuer, place, known)
    audiences = tuple(issuer.get("audiences") or ())
    policy = issuer.get("audienceMatchPolicy") or ""
    if not audiences:
        raise ConfigurationUseless(f"{place}.audiences: at least one is required")
    if policy not in ("", "MatchAny") or (len(audiences) > 1 and not policy):
        text = "must be MatchAny for multiple audiences"
        raise ConfigurationUseless(f"{place}.audienceMatchPolicy: {text}")
    mappings = entry.get("claimMappings") or {}
    place = f"{where}.claimMappings"
    _check_keys(mappings, place, {"username", "groups", "uid"})
    username = _parse_mapping(mappings.get("username"), f"{place}.username")
    if username is None:
        raise ConfigurationUseless(f"{place}.username: claim or expression is required")
    uid = mappings.get("uid") or {}
    _check_keys(uid, f"{place}.uid", {"claim"})
    return Issuer(
        _checked_url(issuer.get("url"), f"{where}.issuer.url"),
        audiences,
        username,
        _parse_mapping(mappings.get("groups"), f"{place}.groups"),
        uid.get("claim", ""),
        _checked_url(issuer.get("discoveryURL") or "", f"{where}.issuer.discoveryURL"),
        _checked_authorities(issuer.get("certificateAuthority") or "", where),
        _required(entry.get("claimValidationRules") or (), where),
    )


def _parse_mapping(mapping: JsonObject | None, where: str) -> ClaimMapping | None:
    if not mapping:
        return None
    _check_keys(mapping, where, {"claim", "prefix"})
    if not mapping.get("claim"):
        raise ConfigurationUseless(f"{where}: claim or expression is required")
    if mapping.get("prefix") is None:
        raise ConfigurationUseless(f"{where}.prefix: prefix is required when claim is set")
    return ClaimMapping(mapping["claim"], mapping["prefix"])


def _required(rules: Any, where: str) -> dict[str, str]:
    required: dict[str, str] = {}
    for number, rule in enumerate(rules):
        place = f"{where}.claimValidationRules[{number}]"
        _check_keys(rule, place, {"claim", "requiredValue"})
        claim = rule.get("claim")
        if not claim or claim in required:
            raise ConfigurationUseless(f"{place}.claim: one claim each, and each once")
        required[claim] = rule.get("requiredValue", "")
    return required


def _checked_url(url: Any, where: str) -> str:
    if url == "" and where.endswith("discoveryURL"):
        return ""
    if not isinstance(url, str) or not url:
        raise ConfigurationUseless(f"{where}: URL is required")
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.netloc:
        raise ConfigurationUseless(f"{where}: URL scheme must be https: {url}")
    if parts.username or parts.password or parts.query or parts.fragment:
        text = "URL must not contain a username or password, a query or a fragment"
        raise ConfigurationUseless(f"{where}: {text}")
    return url


def _checked_authorities(pem: str, where: str) -> str:
    if pem:
        try:
            ssl.create_default_context(cadata=pem)
        except (ssl.SSLError, ValueError) as error:
            text = f"{where}.issuer.certificateAuthority: no certificates (PEM): {error}"
            raise ConfigurationUseless(text) from error
    return pem


def _check_keys(document: Any, where: str, known: set[str]) -> None:
    if not isinstance(document, dict):
        raise ConfigurationUseless(f"{where or 'document'}: must be an object")
    for key in document:
        if key not in known:
            place = f"{where}.{key}" if where else key
            cel = key in ("expression", "extra", "messageExpression", "message")
            text = "CEL is not supported" if cel else "unknown field"
            raise ConfigurationUseless(f"{place}: {text}")
