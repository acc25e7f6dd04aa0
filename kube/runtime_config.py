"""Which API versions are served: the settings of upstream's --runtime-config.

Rules follow k8s.io/apiserver `server/resourceconfig`: the wide switches api/all, api/ga, api/beta
and api/alpha come first in that order, then group/version, then group/version/resource, so the
narrower setting always wins whatever the order given. Everything is served unless switched off.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from typing import Final

_WIDE: Final = {
    "api/all": re.compile(r""),
    "api/ga": re.compile(r"^v\d+$"),
    "api/beta": re.compile(r"^v\d+beta\d+$"),
    "api/alpha": re.compile(r"^v\d+alpha\d+$"),
}
_TRUE: Final = frozenset({"", "1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})


class RuntimeConfigError(ValueError):
    """A --runtime-config setting cannot be understood; the server must not start."""


def resource_filter(
    registered: Mapping[str, Container[str]], settings: Mapping[str, str]
) -> Callable[[str, str, str], bool]:
    """Return a function of group, version and plural telling what is served under `settings`.

    Args:
        registered: the versions of each group there is.
        settings: keys and values of the flag.

    Raises:
        RuntimeConfigError: malformed key or value, unregistered group or version.
    """
    wide = _read_wide(settings)
    narrow = _read_narrow(registered, settings)

    def is_served(group: str, version: str, plural: str) -> bool:
        for key in (f"{group}/{version}/{plural}", f"{group}/{version}"):
            if key in narrow:
                return narrow[key]
        served = True
        for pattern, setting in wide:
            if pattern.match(version):
                served = setting
        return served

    return is_served


def _read_wide(settings: Mapping[str, str]) -> list[tuple[re.Pattern[str], bool]]:
    wide = []
    for key, pattern in _WIDE.items():
        value = settings.get(key)
        if value is None:
            continue
        if value not in {"true", "false"}:
            raise RuntimeConfigError(f"invalid value {key}={value}")
        wide.append((pattern, value == "true"))
    return wide


def _read_narrow(
    registered: Mapping[str, Container[str]], settings: Mapping[str, str]
) -> dict[str, bool]:
    narrow = {}
    for key, value in settings.items():
        if key in _WIDE:
            continue
        parts = key.split("/")
        if len(parts) not in {2, 3}:
            raise RuntimeConfigError(f"runtime-config invalid key {key}")
        versions = registered.get(parts[0])
        if versions is None:
            raise RuntimeConfigError(f"unknown api groups {parts[0]}")
        if parts[1] not in versions:
            raise RuntimeConfigError(
                f"group version {parts[0]}/{parts[1]} that has not been registered"
            )
        if len(parts) == 3 and parts[2].lower() != parts[2]:
            raise RuntimeConfigError(
                f"invalid key {key}: group/version/resource and resource is always lowercase "
                f'plural, not "{parts[2]}"'
            )
        narrow[key] = _read_bool(key, value)
    return narrow


def _read_bool(key: str, value: str) -> bool:
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise RuntimeConfigError(
        f'invalid value of {key}: {value}, err: strconv.ParseBool: parsing "{value}": '
        "invalid syntax"
    )
