"""Which issuers are trusted and what their claims mean: upstream's AuthenticationConfiguration.

Faults are upstream's, and all of them are told at once. What is in a configuration and means
nothing here is refused by name: a rule that is passed over would let in whom it should keep out.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from apiserver.authn import AnonymousRule
from apiserver.config_reader import ConfigReader, ConfigurationUseless
from apiserver.oidc.expressions import Expression, NoExpression, compile_over
from apiserver.oidc.issuer import ClaimMapping, Issuer, Rule
from apiserver.types.meta import domain_prefixed_path_errors
from kube import field as fld
from kube.json_types import JsonObject

KIND: Final = "AuthenticationConfiguration"
VERSIONS: Final = tuple(f"apiserver.config.k8s.io/{one}" for one in ("v1", "v1beta1", "v1alpha1"))
ISSUERS_MAX: Final = 64
_RESERVED: Final = ("kubernetes.io", "k8s.io")
_BOTH: Final = "claim and expression can't both be set"
_EITHER: Final = "claim or expression is required"
_PREFIX_RULE: Final = (
    "prefix is required when claim is set. It can be set to an empty string to disable prefixing"
)
_EMAIL_RULE: Final = (
    "claims.email_verified must be used in claimMappings.username.expression or "
    "claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when "
    "claims.email is used in claimMappings.username.expression"
)


def parse_configuration(
    document: Any, disallowed: Sequence[str] = ()
) -> tuple[list[Issuer], AnonymousRule | None]:
    """Return the issuers, and who may come without credentials if that is said.

    Args:
        document: as decoded.
        disallowed: issuers that none may be, such as that of service accounts.

    Raises:
        ConfigurationUseless: see there.
    """
    if not isinstance(document, dict):
        raise ConfigurationUseless("must be an object")
    if document.get("kind") != KIND or document.get("apiVersion") not in VERSIONS:
        raise ConfigurationUseless(f"must be of kind {KIND} and version {VERSIONS[0]}")
    reader = _Reader(disallowed)
    reader.known(document, "", {"kind", "apiVersion", "jwt", "anonymous", "metadata"})
    entries = reader.get(document, "", "jwt", list, [])
    if len(entries) > ISSUERS_MAX:
        raise ConfigurationUseless(str(fld.too_many("jwt", len(entries), ISSUERS_MAX)))
    issuers = [reader.issuer(entry, f"jwt[{number}]") for number, entry in enumerate(entries)]
    for key in ("url", "discovery_url"):
        reader.no_duplicates([getattr(one, key) for one in issuers if one is not None], key)
    anonymous = reader.anonymous(document.get("anonymous"))
    reader.check()
    return [one for one in issuers if one is not None], anonymous


class _Reader(ConfigReader):
    """Reads a configuration and gathers what is wrong with it."""

    def __init__(self, disallowed: Sequence[str]) -> None:
        super().__init__()
        self._disallowed = disallowed

    def no_duplicates(self, values: list[str], key: str) -> None:
        """Find fault with an issuer's URL that another has."""
        shown = {"url": "url", "discovery_url": "discoveryURL"}[key]
        for number, value in enumerate(values):
            if value and value in values[:number]:
                self.faults.append(fld.duplicate(f"jwt[{number}].issuer.{shown}", value))

    def anonymous(self, document: Any) -> AnonymousRule | None:
        """Return who may come without credentials."""
        if document is None:
            return None
        if not isinstance(document, dict):
            self.faults.append("anonymous: must be of type object")
            return None
        self.known(document, "anonymous", {"enabled", "conditions"})
        enabled = self.get(document, "anonymous", "enabled", bool, False)
        conditions = self.items(document, "anonymous.conditions", {"path"})
        if conditions and not enabled:
            text = "enabled should be set to true when conditions are defined"
            shown = [one for _, one in conditions]
            self.faults.append(fld.invalid("anonymous.conditions", shown, text))
        paths = frozenset(self.get(one, place, "path", str, "") for place, one in conditions)
        return AnonymousRule(enabled, paths if conditions else None)

    def issuer(self, entry: Any, where: str) -> Issuer | None:
        """Return one issuer, None if there are faults."""
        before = len(self.faults)
        if not isinstance(entry, dict):
            self.faults.append(f"{where}: must be of type object")
            return None
        known = {"issuer", "claimValidationRules", "claimMappings", "userValidationRules"}
        self.known(entry, where, known)
        url, discovery_url, audiences, authorities = self._about_issuer(entry, f"{where}.issuer")
        required, claim_rules = self._claim_rules(entry, f"{where}.claimValidationRules")
        place = f"{where}.claimMappings"
        mappings = self.part(entry, where, "claimMappings", {"username", "groups", "uid", "extra"})
        username = self._mapping(mappings, place, "username")
        groups = self._mapping(mappings, place, "groups")
        uid = self._mapping(mappings, place, "uid")
        extra = self._extra(mappings, f"{place}.extra")
        self._check_email(
            username, [*(one.expression for one in claim_rules), *dict(extra).values()], place
        )
        user_rules = self._user_rules(entry, f"{where}.userValidationRules")
        if username is None or len(self.faults) > before:
            return None
        return Issuer(
            url,
            audiences,
            username,
            groups,
            uid,
            discovery_url,
            authorities,
            required,
            tuple(extra),
            tuple(claim_rules),
            tuple(user_rules),
        )

    def _about_issuer(self, entry: JsonObject, where: str) -> tuple[str, str, tuple[str, ...], str]:
        names = {"url", "discoveryURL", "certificateAuthority", "audiences", "audienceMatchPolicy"}
        issuer = self.part(entry, where.rpartition(".")[0], "issuer", names)
        url = self.get(issuer, where, "url", str, "")
        if not url:
            self.faults.append(fld.required(f"{where}.url"))
        else:
            self._check_url(url, f"{where}.url", self._disallowed)
        discovery_url = self.get(issuer, where, "discoveryURL", str, "")
        if discovery_url:
            place = f"{where}.discoveryURL"
            if url and url.rstrip("/") == discovery_url.rstrip("/"):
                text = "discoveryURL must be different from URL"
                self.faults.append(fld.invalid(place, discovery_url, text))
            self._check_url(discovery_url, place, ())
        return url, discovery_url, self._audiences(issuer, where), self._authorities(issuer, where)

    def _check_url(self, url: str, where: str, disallowed: Sequence[str]) -> None:
        texts = []
        if url in disallowed:
            shown = " ".join(sorted(disallowed))
            texts.append(f"URL must not overlap with disallowed issuers: [{shown}]")
        try:
            parts = urlsplit(url)
        except ValueError as error:
            self.faults.append(fld.invalid(where, url, str(error)))
            return
        if parts.scheme != "https":
            texts.append("URL scheme must be https")
        if parts.username is not None or parts.password is not None:
            texts.append("URL must not contain a username or password")
        if parts.query:
            texts.append("URL must not contain a query")
        if parts.fragment:
            texts.append("URL must not contain a fragment")
        self.faults += [fld.invalid(where, url, text) for text in texts]

    def _audiences(self, issuer: JsonObject, where: str) -> tuple[str, ...]:
        place = f"{where}.audiences"
        nothing: list[Any] = []
        audiences = self.get(issuer, where, "audiences", list, nothing)
        if not audiences:
            self.faults.append(fld.required(place, f"at least one {place} is required"))
            return ()
        for number, audience in enumerate(audiences):
            if not isinstance(audience, str):
                self.faults.append(f"{place}[{number}]: must be of type string")
            elif not audience:
                self.faults.append(fld.required(f"{place}[{number}]"))
            elif audience in audiences[:number]:
                self.faults.append(fld.duplicate(f"{place}[{number}]", audience))
        policy, place = (
            self.get(issuer, where, "audienceMatchPolicy", str, ""),
            f"{where}.audienceMatchPolicy",
        )
        if len(audiences) > 1 and policy != "MatchAny":
            text = "audienceMatchPolicy must be MatchAny for multiple audiences"
            self.faults.append(fld.invalid(place, policy, text))
        elif policy not in ("", "MatchAny"):
            text = "audienceMatchPolicy must be empty or MatchAny for single audience"
            self.faults.append(fld.invalid(place, policy, text))
        return tuple(map(str, audiences))

    def _authorities(self, issuer: JsonObject, where: str) -> str:
        pem = self.get(issuer, where, "certificateAuthority", str, "")
        if pem:
            try:
                ssl.create_default_context(cadata=pem)
            except (ssl.SSLError, ValueError):
                text = "data does not contain any valid RSA or ECDSA certificates"
                self.faults.append(fld.invalid(f"{where}.certificateAuthority", "<omitted>", text))
        return pem

    def _compiled(
        self, variable: str, text: str, where: str, *, is_rule: bool = False
    ) -> Expression | None:
        try:
            return compile_over(variable, text, is_rule=is_rule)
        except NoExpression as error:
            self.faults.append(fld.invalid(where, text, str(error)))
            return None

    def _claim_rules(self, entry: JsonObject, where: str) -> tuple[dict[str, str], list[Rule]]:
        required: dict[str, str] = {}
        rules: dict[str, Rule | None] = {}
        names = {"claim", "requiredValue", "expression", "message"}
        for place, rule in self.items(entry, where, names):
            claim, text, message, wanted = (
                self.get(rule, place, key, str, "")
                for key in ("claim", "expression", "message", "requiredValue")
            )
            if claim and text:
                self.faults.append(fld.invalid(place, claim, _BOTH))
            elif claim:
                if message:
                    why = "may not be specified when claim is set"
                    self.faults.append(fld.invalid(f"{place}.message", message, why))
                if claim in required:
                    self.faults.append(fld.duplicate(f"{place}.claim", claim))
                required[claim] = wanted
            elif text:
                if wanted:
                    why = "may not be specified when expression is set"
                    self.faults.append(fld.invalid(f"{place}.requiredValue", wanted, why))
                self._rule(rules, "claims", text, message, f"{place}.expression")
            else:
                self.faults.append(fld.required(place, _EITHER))
        return required, [rule for rule in rules.values() if rule is not None]

    def _user_rules(self, entry: JsonObject, where: str) -> list[Rule]:
        rules: dict[str, Rule | None] = {}
        for place, rule in self.items(entry, where, {"expression", "message"}):
            text, message = (
                self.get(rule, place, key, str, "") for key in ("expression", "message")
            )
            if text:
                self._rule(rules, "user", text, message, f"{place}.expression")
            else:
                self.faults.append(fld.required(f"{place}.expression"))
        return [rule for rule in rules.values() if rule is not None]

    def _rule(
        self, rules: dict[str, Rule | None], variable: str, text: str, message: str, where: str
    ) -> None:
        if text in rules:
            self.faults.append(fld.duplicate(where, text))
            return
        compiled = self._compiled(variable, text, where, is_rule=True)
        rules[text] = Rule(compiled, message) if compiled is not None else None

    def _mapping(
        self, mappings: JsonObject, where: str, key: str
    ) -> ClaimMapping | Expression | None:
        has_prefix, place = key != "uid", f"{where}.{key}"
        mapping = self.part(
            mappings, where, key, {"claim", "expression"} | ({"prefix"} if has_prefix else set())
        )
        claim, text = (self.get(mapping, place, name, str, "") for name in ("claim", "expression"))
        prefix = mapping.get("prefix")
        if claim and text:
            self.faults.append(fld.invalid(place, "", _BOTH))
        elif text:
            if prefix is not None:
                why = "may not be specified when expression is set"
                self.faults.append(fld.invalid(f"{place}.prefix", prefix, why))
            return self._compiled("claims", text, f"{place}.expression")
        elif claim:
            if has_prefix and prefix is None:
                self.faults.append(fld.required(f"{place}.prefix", _PREFIX_RULE))
            return ClaimMapping(claim, self.get(mapping, place, "prefix", str, ""))
        elif key == "username":
            self.faults.append(fld.required(place, _EITHER))
        return None

    def _extra(self, mappings: JsonObject, where: str) -> list[tuple[str, Expression]]:
        found: list[tuple[str, Expression]] = []
        seen: set[str] = set()
        for place, item in self.items(mappings, where, {"key", "valueExpression"}):
            key, text = (
                self.get(item, place, name, str, "") for name in ("key", "valueExpression")
            )
            self.faults += _extra_key_faults(key, f"{place}.key")
            if key in seen:
                self.faults.append(fld.duplicate(f"{place}.key", key))
                continue
            seen.add(key)
            if not text:
                self.faults.append(fld.required(f"{place}.valueExpression"))
                continue
            compiled = self._compiled("claims", text, f"{place}.valueExpression")
            if compiled is not None:
                found.append((key, compiled))
        return found

    def _check_email(self, username: object, others: list[Expression], where: str) -> None:
        """Find fault with an email as a name of which nobody asks whether it was verified."""
        if not isinstance(username, Expression) or not username.uses_claim("email"):
            return
        if not any(one.uses_claim("email_verified") for one in (username, *others)):
            place = f"{where}.username.expression"
            self.faults.append(fld.invalid(place, username.text, _EMAIL_RULE))


def _extra_key_faults(key: str, where: str) -> list[fld.FieldError]:
    """Return what is wrong with the key of a further fact: it is of a domain, and not of ours."""
    faults = domain_prefixed_path_errors(key, where)
    if key != key.lower():
        faults.append(fld.invalid(where, key, "must be lowercase"))
    domain, slash, _ = key.partition("/")
    if slash and any(f".{domain}".endswith(f".{one}") for one in _RESERVED):
        text = "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use"
        faults.append(fld.invalid(where, key, text))
    return faults
