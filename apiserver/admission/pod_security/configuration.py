"""PodSecurityConfiguration: what counts where labels say nothing, and who is exempt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from apiserver.admission.pod_security.levels import LEVELS, LevelVersion, Policy, parse_version
from apiserver.config_reader import ConfigurationUseless

_KEYS: Final = frozenset({"apiVersion", "kind", "defaults", "exemptions"})
_EXEMPT: Final = ("namespaces", "usernames", "runtimeClasses")
_MODES: Final = frozenset(
    f"{mode}{suffix}" for mode in Policy._fields for suffix in ("", "-version")
)


class Configuration(NamedTuple):
    """See the module's head."""

    defaults: Policy = Policy()
    namespaces: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    runtime_classes: frozenset[str] = frozenset()


def read_configuration(document: Mapping[str, Any]) -> Configuration:
    """Return a decoded configuration; {} is upstream's default.

    Raises:
        ConfigurationUseless: it is none.
    """
    _check_keys(document, _KEYS, "PodSecurityConfiguration")
    defaults, exemptions = document.get("defaults") or {}, document.get("exemptions") or {}
    _check_keys(defaults, _MODES, "defaults")
    _check_keys(exemptions, frozenset(_EXEMPT), "exemptions")
    found = {}
    for mode in Policy._fields:
        level = defaults.get(mode, LEVELS[0])
        if level not in LEVELS:
            raise ConfigurationUseless(f"defaults.{mode}: must be one of {', '.join(LEVELS)}")
        try:
            minor = parse_version(str(defaults.get(f"{mode}-version", "latest")))
        except ValueError as error:
            raise ConfigurationUseless(f"defaults.{mode}-version: {error}") from error
        found[mode] = LevelVersion(level, minor)
    namespaces, users, classes = (_names(exemptions, key) for key in _EXEMPT)
    return Configuration(Policy(**found), namespaces, users, classes)


def _names(exemptions: Mapping[str, Any], key: str) -> frozenset[str]:
    names = exemptions.get(key) or []
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise ConfigurationUseless(f"exemptions.{key}: must be a list of names")
    return frozenset(names)


def _check_keys(given: object, known: frozenset[str], where: str) -> None:
    if not isinstance(given, Mapping):
        raise ConfigurationUseless(f"{where}: must be an object")
    unknown = sorted(set(given) - known)
    if unknown:
        raise ConfigurationUseless(f"{where}: unknown field {unknown[0]!r}")
