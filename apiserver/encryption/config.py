"""Upstream's EncryptionConfiguration (apiserver.config.k8s.io/v1): from a file to checked values.

Decoding is strict, as upstream's is: what is unknown, misspelt or twice there is refused, so that
nobody believes something to be encrypted that is not. Messages never hold keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from apiserver.encryption.errors import EncryptionConfigError
from kube import codec_yaml
from kube.field import quote
from kube.go_durations import parse_go_duration

API_VERSION: Final = "apiserver.config.k8s.io/v1"
KIND: Final = "EncryptionConfiguration"
_TIMEOUT_S: Final = 3.0
_KMS_VERSION: Final = "v1"
ITEMS_MAX: Final = 2000
"""Resources, and providers, of all lists together; a limit of ours, far beyond any use."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a local provider: its name, and the key in base64."""

    name: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Kms:
    """A key management service: which API, what it is called, where it is."""

    api_version: str
    name: str
    endpoint: str
    timeout_s: float
    cache_size: int | None


@dataclass(frozen=True, slots=True)
class Provider:
    """One element of a list of providers; exactly one of its fields ought to be set."""

    aesgcm: tuple[Key, ...] | None = None
    aescbc: tuple[Key, ...] | None = None
    secretbox: tuple[Key, ...] | None = None
    kms: Kms | None = None
    identity: bool = False


@dataclass(frozen=True, slots=True)
class ResourceRule:
    """Resources, and what they are written (the first) and read with (all)."""

    resources: tuple[str, ...]
    providers: tuple[Provider, ...]


def decode_config(content: bytes, path: str) -> tuple[ResourceRule, ...]:
    """Return the rules in a file's content; they are not validated yet.

    Args:
        content: YAML or JSON.
        path: for messages.

    Raises:
        EncryptionConfigError: it is something else.
    """
    document = _document(content, path)
    reader = _Reader()
    rules = reader.rules(document)
    if reader.unknown:
        names = ", ".join(f"unknown field {quote(name)}" for name in reader.unknown)
        raise _undecodable(path, f"strict decoding error: {names}")
    if reader.faults:
        raise _undecodable(path, "; ".join(reader.faults))
    for name in ("resources", "providers"):
        if sum(len(getattr(rule, name)) for rule in rules) > ITEMS_MAX:
            raise _undecodable(path, f"there are more than {ITEMS_MAX} {name}")
    return rules


def _document(content: bytes, path: str) -> dict[str, Any]:
    """Return what a file holds besides its kind."""
    if not content.strip():
        raise EncryptionConfigError(
            f"encryption provider configuration file {quote(path)} is empty"
        )
    try:
        document, duplicates = codec_yaml.decode_strict(content)
    except codec_yaml.YamlError as error:
        raise _undecodable(path, str(error)) from error
    if not isinstance(document, dict):
        raise _undecodable(path, "it is no object")
    for key, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if not isinstance(document.get(key), str) or not document[key]:
            raise _undecodable(path, f"{key} is missing, and must be {wanted}")
    if (document["apiVersion"], document["kind"]) != (API_VERSION, KIND):
        raise _undecodable(
            path,
            f"no kind {quote(document['kind'])} is registered for version "
            f"{quote(document['apiVersion'])}",
        )
    if duplicates:
        raise _undecodable(path, f"strict decoding error: {duplicates}")
    return {key: value for key, value in document.items() if key not in ("apiVersion", "kind")}


def _undecodable(path: str, why: str) -> EncryptionConfigError:
    return EncryptionConfigError(
        f"error decoding encryption provider configuration file {quote(path)}: {why}"
    )


class _Reader:
    """Takes a document apart, and gathers what is wrong with its shape."""

    def __init__(self) -> None:
        self.unknown: list[str] = []
        self.faults: list[str] = []

    def rules(self, document: dict[str, Any]) -> tuple[ResourceRule, ...]:
        self._known(document, "", {"resources"})
        return tuple(
            self._rule(item, f"resources[{index}]")
            for index, item in enumerate(self._list(document.get("resources"), "resources"))
        )

    def _rule(self, value: Any, path: str) -> ResourceRule:
        rule = self._object(value, path, {"resources", "providers"})
        resources, providers = f"{path}.resources", f"{path}.providers"
        names = self._list(rule.get("resources"), resources)
        return ResourceRule(
            tuple(self._text(name, f"{resources}[{i}]") for i, name in enumerate(names)),
            tuple(
                self._provider(item, f"{providers}[{i}]")
                for i, item in enumerate(self._list(rule.get("providers"), providers))
            ),
        )

    def _provider(self, value: Any, path: str) -> Provider:
        kinds = {"aesgcm", "aescbc", "secretbox", "kms", "identity"}
        provider = self._object(value, path, kinds)

        def given(kind: str, read: Callable[[Any, str], Any]) -> Any:
            found = provider.get(kind)
            return None if found is None else read(found, f"{path}.{kind}")

        identity = given("identity", lambda found, at: self._object(found, at, set()))
        return Provider(
            aesgcm=given("aesgcm", self._keys),
            aescbc=given("aescbc", self._keys),
            secretbox=given("secretbox", self._keys),
            kms=given("kms", self._kms),
            identity=identity is not None,
        )

    def _keys(self, value: Any, path: str) -> tuple[Key, ...]:
        keys = f"{path}.keys"
        found = []
        for index, item in enumerate(
            self._list(self._object(value, path, {"keys"}).get("keys"), keys)
        ):
            at = f"{keys}[{index}]"
            key = self._object(item, at, {"name", "secret"})
            name = self._text(key.get("name"), f"{at}.name")
            found.append(Key(name, self._text(key.get("secret"), f"{at}.secret")))
        return tuple(found)

    def _kms(self, value: Any, path: str) -> Kms:
        names = {"apiVersion", "name", "endpoint", "timeout", "cachesize"}
        kms = self._object(value, path, names)
        size = kms.get("cachesize")
        if size is not None and (not isinstance(size, int) or isinstance(size, bool)):
            self.faults.append(f"{path}.cachesize must be an integer")
            size = None
        timeout_s = _TIMEOUT_S
        if kms.get("timeout") is not None:
            try:
                timeout_s = parse_go_duration(self._text(kms["timeout"], f"{path}.timeout"))
            except ValueError as error:
                self.faults.append(f"{path}.timeout: {error}")
        return Kms(
            self._text(kms.get("apiVersion"), f"{path}.apiVersion") or _KMS_VERSION,
            self._text(kms.get("name"), f"{path}.name"),
            self._text(kms.get("endpoint"), f"{path}.endpoint"),
            timeout_s,
            size,
        )

    def _object(self, value: Any, path: str, names: set[str]) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.faults.append(f"{path} must be an object")
            return {}
        self._known(value, path, names)
        return value

    def _known(self, value: dict[str, Any], path: str, names: set[str]) -> None:
        self.unknown += [f"{path}.{name}".lstrip(".") for name in value if name not in names]

    def _list(self, value: Any, path: str) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            self.faults.append(f"{path} must be a list")
            return []
        return value

    def _text(self, value: Any, path: str) -> str:
        if value is None:
            return ""
        if not isinstance(value, str):
            self.faults.append(f"{path} must be text")
            return ""
        return value
