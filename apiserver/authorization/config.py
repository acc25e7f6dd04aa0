"""Who is asked what users may do, in order: upstream's AuthorizationConfiguration.

Faults are upstream's, and all of them are told at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from apiserver.authorization.conditions import Condition, NoCondition
from apiserver.config_reader import ConfigReader, ConfigurationUseless
from apiserver.types.formats import is_dns1123_subdomain
from kube import field as fld
from kube.go_durations import parse_go_duration
from kube.json_types import JsonObject

KIND: Final = "AuthorizationConfiguration"
VERSIONS: Final = tuple(f"apiserver.config.k8s.io/{one}" for one in ("v1", "v1beta1", "v1alpha1"))
WEBHOOK: Final = "Webhook"
TYPES: Final = ("AlwaysAllow", "AlwaysDeny", "Node", "RBAC", WEBHOOK)
"""Upstream's, but for ABAC."""
ALLOWED_S: Final = 300.0
REFUSED_S: Final = 30.0
_CONDITIONS_MAX: Final = 64
_TIMEOUT_S_MAX: Final = 30.0
_POLICIES: Final = ("NoOpinion", "Deny")
_CONNECTION: Final = "KubeConfigFile"
_KEYS: Final = {
    "authorizedTTL",
    "cacheAuthorizedRequests",
    "cacheUnauthorizedRequests",
    "connectionInfo",
    "failurePolicy",
    "matchConditionSubjectAccessReviewVersion",
    "matchConditions",
    "subjectAccessReviewVersion",
    "timeout",
    "unauthorizedTTL",
}


@dataclass(frozen=True, slots=True)
class WebhookSpec:
    """How a webhook is asked.

    Attributes:
        file: a kubeconfig that says where it is.
        timeout_s: for its answer.
        allowed_s, refused_s: for how long answers are kept; 0: not at all.
        version: of the reviews that it is sent.
        denies_at_failure: what is not known is refused for good, instead of asked of the next.
        conditions: which have to hold for it to be asked.
    """

    file: Path
    timeout_s: float = 10.0
    allowed_s: float = ALLOWED_S
    refused_s: float = REFUSED_S
    version: str = "v1"
    denies_at_failure: bool = False
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class AuthorizerSpec:
    """One of those who are asked; `webhook` is set just for those."""

    type: str
    name: str
    webhook: WebhookSpec | None = None


def parse_configuration(document: Any) -> list[AuthorizerSpec]:
    """Return who is asked, in order.

    Raises:
        ConfigurationUseless: see there.
    """
    if not isinstance(document, dict):
        raise ConfigurationUseless("must be an object")
    if document.get("kind") != KIND or document.get("apiVersion") not in VERSIONS:
        raise ConfigurationUseless(f"must be of kind {KIND} and version {VERSIONS[0]}")
    reader = _Reader()
    reader.known(document, "", {"kind", "apiVersion", "authorizers"})
    found = reader.authorizers(document)
    reader.check()
    return found


class _Reader(ConfigReader):
    """Reads a configuration and gathers what is wrong with it."""

    def authorizers(self, document: JsonObject) -> list[AuthorizerSpec]:
        """Return all of them that are right."""
        found: list[AuthorizerSpec] = []
        entries = self.items(document, "authorizers", {"type", "name", "webhook"})
        if not entries:
            text = "at least one authorization mode must be defined"
            self.faults.append(fld.required("authorizers", text))
        types: set[str] = set()
        names: set[str] = set()
        for place, entry in entries:
            type_ = self._type(entry, place, types)
            if not type_:
                continue
            name = self._name(entry, place, names)
            webhook = None
            if type_ == WEBHOOK:
                webhook = self._webhook(entry, place)
            elif entry.get("webhook") is not None:
                text = "may only be specified when type=Webhook"
                self.faults.append(fld.invalid(f"{place}.webhook", "non-null", text))
            found.append(AuthorizerSpec(type_, name, webhook))
        return found

    def _type(self, entry: JsonObject, place: str, seen: set[str]) -> str:
        type_ = self.get(entry, place, "type", str, "")
        place = f"{place}.type"
        if not type_:
            self.faults.append(fld.required(place))
        elif type_ not in TYPES:
            self.faults.append(fld.not_supported(place, type_, TYPES))
        elif type_ in seen and type_ != WEBHOOK:
            self.faults.append(fld.duplicate(place, type_))
        else:
            seen.add(type_)
            return type_
        return ""

    def _name(self, entry: JsonObject, place: str, seen: set[str]) -> str:
        name = self.get(entry, place, "name", str, "")
        place = f"{place}.name"
        if not name:
            self.faults.append(fld.required(place))
        elif name in seen:
            self.faults.append(fld.duplicate(place, name))
        elif texts := is_dns1123_subdomain(name):
            why = f"authorizer name is invalid: {', '.join(texts)}"
            self.faults.append(fld.invalid(place, name, why))
        seen.add(name)
        return name

    def _webhook(self, entry: JsonObject, place: str) -> WebhookSpec | None:
        if entry.get("webhook") is None:
            self.faults.append(fld.required(f"{place}.webhook", "required when type=Webhook"))
            return None
        spec = self.part(entry, place, "webhook", _KEYS)
        before = len(self.faults)
        # Upstream's places leave out that these are members of `webhook`.
        timeout_s = self._seconds(spec, place, "timeout", most_s=_TIMEOUT_S_MAX)
        allowed_s = self._seconds(spec, place, "authorizedTTL", default_s=ALLOWED_S)
        refused_s = self._seconds(spec, place, "unauthorizedTTL", default_s=REFUSED_S)
        if not self.get(spec, place, "cacheAuthorizedRequests", bool, True):
            allowed_s = 0.0
        if not self.get(spec, place, "cacheUnauthorizedRequests", bool, True):
            refused_s = 0.0
        version = self._choice(spec, place, "subjectAccessReviewVersion", ("v1", "v1beta1"))
        policy = self._choice(spec, place, "failurePolicy", _POLICIES)
        file = self._file(spec, place)
        conditions = self._conditions(spec, place)
        if file is None or len(self.faults) > before:
            return None
        return WebhookSpec(
            file, timeout_s, allowed_s, refused_s, version, policy == "Deny", conditions
        )

    def _seconds(
        self,
        spec: JsonObject,
        place: str,
        key: str,
        *,
        default_s: float = 0.0,
        most_s: float | None = None,
    ) -> float:
        text = self.get(spec, place, key, str, "")
        place = f"{place}.{key}"
        try:
            seconds = (parse_go_duration(text) if text else 0.0) or default_s
        except ValueError as error:
            self.faults.append(fld.invalid(place, text, str(error)))
            return 0.0
        if not seconds:
            self.faults.append(fld.required(place))
        elif seconds < 0 or (most_s is not None and seconds > most_s):
            why = "must be > 0s" if most_s is None else f"must be > 0s and <= {most_s:g}s"
            self.faults.append(fld.invalid(place, text, why))
        return seconds

    def _choice(self, spec: JsonObject, place: str, key: str, known: tuple[str, ...]) -> str:
        value = self.get(spec, place, key, str, "")
        if not value:
            self.faults.append(fld.required(f"{place}.{key}"))
        elif value not in known:
            self.faults.append(fld.not_supported(f"{place}.{key}", value, known))
        return value

    def _file(self, spec: JsonObject, place: str) -> Path | None:
        known = self.part(spec, place, "connectionInfo", {"type", "kubeConfigFile"})
        place = f"{place}.connectionInfo"
        if self._choice(known, place, "type", (_CONNECTION,)) != _CONNECTION:
            return None
        name = self.get(known, place, "kubeConfigFile", str, "")
        place = f"{place}.kubeConfigFile"
        path = Path(name)
        if not name:
            self.faults.append(fld.required(place))
        elif not path.is_absolute():
            self.faults.append(fld.invalid(place, name, "must be an absolute path"))
        elif not path.exists():
            why = f"error loading file: stat {name}: no such file or directory"
            self.faults.append(fld.invalid(place, name, why))
        elif not path.is_file():
            self.faults.append(fld.invalid(place, name, "must be a regular file"))
        else:
            return path
        return None

    def _conditions(self, spec: JsonObject, place: str) -> tuple[Condition, ...]:
        entries = self.items(spec, f"{place}.matchConditions", {"expression"})
        where = f"{place}.matchConditionSubjectAccessReviewVersion"
        version = self.get(spec, place, "matchConditionSubjectAccessReviewVersion", str, "")
        if version not in ("", "v1"):
            self.faults.append(fld.not_supported(where, version, ("v1",)))
        elif entries and not version:
            text = "required if match conditions are specified"
            self.faults.append(fld.required(where, text))
        if len(entries) > _CONDITIONS_MAX:
            place = f"{place}.matchConditions"
            self.faults.append(fld.too_many(place, len(entries), _CONDITIONS_MAX))
            return ()
        found: dict[str, Condition] = {}
        for where, entry in entries:
            text, at = self.get(entry, where, "expression", str, ""), f"{where}.expression"
            if not text.strip():
                self.faults.append(fld.required(at))
            elif text in found:
                self.faults.append(fld.duplicate(at, text))
            else:
                try:
                    found[text] = Condition(text)
                except NoCondition as error:
                    self.faults.append(fld.invalid(at, text, str(error)))
        return tuple(found.values())
