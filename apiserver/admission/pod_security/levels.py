"""What a namespace's labels ask for: a level and a version to enforce, to audit and to warn by.

Labels that cannot be read never let more in: a wrong level to enforce is `restricted`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from kube import field as fld
from kube.field import FieldError

PREFIX: Final = "pod-security.kubernetes.io/"
PRIVILEGED: Final = "privileged"
BASELINE: Final = "baseline"
RESTRICTED: Final = "restricted"
LEVELS: Final = (PRIVILEGED, BASELINE, RESTRICTED)
_LATEST: Final = "latest"
_version = re.compile(r"v1\.([0-9]|[1-9][0-9]*)").fullmatch
_VERSION_LENGTH_MAX: Final = 16


class LevelVersion(NamedTuple):
    """A level of the standards, and the version of Kubernetes whose rules count.

    Attributes:
        minor: of that version; None: the latest.
    """

    level: str = PRIVILEGED
    minor: int | None = None

    def __str__(self) -> str:
        version = _LATEST if self.minor is None else f"v1.{self.minor}"
        return f"{self.level}:{version}"

    def is_like(self, other: LevelVersion) -> bool:
        """Tell whether both let the same in."""
        return self == other or self.level == other.level == PRIVILEGED


class Policy(NamedTuple):
    """What counts in a namespace."""

    enforce: LevelVersion = LevelVersion()
    audit: LevelVersion = LevelVersion()
    warn: LevelVersion = LevelVersion()

    @property
    def is_privileged(self) -> bool:
        """Whether nothing is looked at."""
        return all(one.level == PRIVILEGED for one in self)


def strictness(level: str) -> int:
    """Return a level's place in their order."""
    return LEVELS.index(level)


def parse_version(text: str) -> int | None:
    """Return the minor version, None for the latest.

    Raises:
        ValueError: it is none.
    """
    if text == _LATEST:
        return None
    found = _version(text) if len(text) <= _VERSION_LENGTH_MAX else None
    if found is None:
        raise ValueError('must be "latest" or "v1.x"')
    return int(found[1])


def policy_of(labels: Mapping[str, str], default: Policy) -> tuple[Policy, list[FieldError]]:
    """Return what a namespace's labels ask for, and what is wrong with them."""
    faults: list[FieldError] = []
    found: dict[str, LevelVersion] = {}
    knows_level: dict[str, bool] = {}
    for mode, otherwise in zip(Policy._fields, default, strict=True):
        level, minor = otherwise
        given = labels.get(PREFIX + mode)
        knows_level[mode] = given in LEVELS
        if given is not None:
            level = given
            if given not in LEVELS:
                faults.append(_fault(mode, given, f"must be one of {', '.join(LEVELS)}"))
                level = RESTRICTED if mode == "enforce" else PRIVILEGED
        version = labels.get(f"{PREFIX}{mode}-version")
        if version is not None:
            try:
                minor = parse_version(version)
            except ValueError as error:
                minor = None
                faults.append(_fault(f"{mode}-version", version, str(error)))
        found[mode] = LevelVersion(level, minor)
    enforce, warn = found["enforce"], found["warn"]
    is_stricter = strictness(enforce.level) > strictness(warn.level)
    if PREFIX + "warn" not in labels and knows_level["enforce"] and is_stricter:
        # Whoever is told what to enforce is warned by the same, as they would be refused.
        own = f"{PREFIX}warn-version" in labels
        found["warn"] = LevelVersion(enforce.level, warn.minor if own else enforce.minor)
    return Policy(**found), faults


def _fault(label: str, value: str, why: str) -> FieldError:
    return fld.invalid(f"metadata.labels[{PREFIX}{label}]", value, why)
