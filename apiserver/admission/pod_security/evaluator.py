"""Which checks count at a level in a version, and what they find.

Checks of baseline go first, each level's by their names, so that messages are always alike.
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

from apiserver.admission.pod_security import baseline, restricted
from apiserver.admission.pod_security.levels import PRIVILEGED, RESTRICTED, LevelVersion
from apiserver.admission.pod_security.parts import Check, Fault
from kube.json_types import JsonObject

MINOR_MAX: Final = 37
"""The last version in which a check has changed: later ones are like it."""


class _Rule(NamedTuple):
    """One check: from which version on it is what; and which of baseline it replaces."""

    name: str
    versions: tuple[tuple[int, Check], ...]
    replaces: str = ""

    def check_of(self, minor: int) -> Check | None:
        found = None
        for first, check in self.versions:
            if first <= minor:
                found = check
        return found


_BASELINE: Final = (
    _Rule("appArmorProfile", ((0, baseline.app_armor),)),
    _Rule("capabilities_baseline", ((0, baseline.capabilities),)),
    _Rule("hostNamespaces", ((0, baseline.host_namespaces),)),
    _Rule("hostPathVolumes", ((0, baseline.host_path_volumes),)),
    _Rule("hostPorts", ((0, baseline.host_ports),)),
    _Rule("hostProbesAndHostLifecycle", ((34, baseline.probe_hosts),)),
    _Rule("privileged", ((0, baseline.privileged),)),
    _Rule("procMount", ((0, baseline.proc_mount), (35, baseline.proc_mount_35))),
    _Rule("seLinuxOptions", ((0, baseline.selinux), (31, baseline.selinux_31))),
    _Rule(
        "seccompProfile_baseline",
        ((0, restricted.seccomp_annotations), (19, restricted.seccomp_baseline)),
    ),
    _Rule(
        "sysctls",
        (
            (0, baseline.sysctls(baseline.SYSCTLS)),
            (27, baseline.sysctls(baseline.SYSCTLS_27)),
            (29, baseline.sysctls(baseline.SYSCTLS_29)),
            (32, baseline.sysctls(baseline.SYSCTLS_32)),
            (37, baseline.sysctls(baseline.SYSCTLS_37)),
        ),
    ),
    _Rule("windowsHostProcess", ((0, baseline.windows_host_process),)),
)
_RESTRICTED: Final = (
    _Rule(
        "allowPrivilegeEscalation",
        ((8, restricted.privilege_escalation), (25, restricted.privilege_escalation_25)),
    ),
    _Rule(
        "capabilities_restricted",
        ((22, restricted.capabilities), (25, restricted.capabilities_25)),
        "capabilities_baseline",
    ),
    _Rule("procMount_restricted", ((35, baseline.proc_mount),), "procMount"),
    _Rule("restrictedVolumes", ((0, restricted.volumes),), "hostPathVolumes"),
    _Rule("runAsNonRoot", ((0, restricted.run_as_non_root), (35, restricted.run_as_non_root_35))),
    _Rule("runAsUser", ((23, restricted.run_as_user), (35, restricted.run_as_user_35))),
    _Rule(
        "seccompProfile_restricted",
        ((19, restricted.seccomp_restricted), (25, restricted.seccomp_restricted_25)),
        "seccompProfile_baseline",
    ),
)


@cache
def _checks(level: str, minor: int) -> tuple[Check, ...]:
    stricter = _RESTRICTED if level == RESTRICTED else ()
    replaced = {rule.replaces for rule in stricter if rule.check_of(minor) is not None}
    rules = [rule for rule in _BASELINE if rule.name not in replaced]
    found = (rule.check_of(minor) for rule in (*rules, *stricter))
    return tuple(check for check in found if check is not None)


def evaluate(wanted: LevelVersion, metadata: JsonObject, spec: JsonObject) -> list[Fault]:
    """Return what is wrong with a pod at a level in a version."""
    if wanted.level == PRIVILEGED:
        return []
    minor = MINOR_MAX if wanted.minor is None else min(wanted.minor, MINOR_MAX)
    faults = (check(metadata, spec) for check in _checks(wanted.level, minor))
    return [fault for fault in faults if fault is not None]


def reasons(faults: list[Fault]) -> str:
    """Return what is wrong in short."""
    return ", ".join(fault.reason for fault in faults)


def details(faults: list[Fault]) -> str:
    """Return what is wrong in full."""
    return ", ".join(map(str, faults))
