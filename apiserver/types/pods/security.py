"""Checks of security contexts, of pods and of containers."""

from __future__ import annotations

import re
from typing import Final

from apiserver.types.formats import is_valid_user_or_group_id
from apiserver.types.pods.paths import check_descending_path
from apiserver.types.pods.windows import check_windows_options
from kube.field import (
    FieldError,
    duplicate,
    invalid,
    not_supported,
    required,
    too_long,
)
from kube.json_types import JsonObject

_PROFILE_TYPES: Final = ("Localhost", "RuntimeDefault", "Unconfined")
_GROUP_CHANGES: Final = ("Always", "OnRootMismatch")
_GROUP_POLICIES: Final = ("Merge", "Strict")
_LABEL_CHANGES: Final = ("MountOption", "Recursive")
_PROC_MOUNTS: Final = ("Default", "Unmasked")
_PROFILE_BYTES_MAX: Final = 4095
_SYSCTL_CHARS_MAX: Final = 253
_SYSCTL_SEGMENT: Final = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL: Final = rf"({_SYSCTL_SEGMENT}[\./])*{_SYSCTL_SEGMENT}"
_match_sysctl = re.compile(_SYSCTL).fullmatch


def check_pod_security(
    context: JsonObject, spec: JsonObject, path: str, errors: list[FieldError]
) -> None:
    """Check a pod's security context; `spec` says which namespaces are the host's."""
    for name in ("fsGroup", "runAsUser", "runAsGroup"):
        if name in context:
            _check_id(context[name], f"{path}.{name}", errors)
    for index, group in enumerate(context.get("supplementalGroups", ())):
        _check_id(group, f"{path}.supplementalGroups[{index}]", errors)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        errors.append(invalid(f"{path}.shareProcessNamespace", value=True, detail=text))
    if "sysctls" in context:
        _check_sysctls(context["sysctls"], spec, f"{path}.sysctls", errors)
    _check_choice(context, "fsGroupChangePolicy", _GROUP_CHANGES, path, errors)
    if "seccompProfile" in context:
        _check_seccomp(context["seccompProfile"], f"{path}.seccompProfile", errors)
    if "windowsOptions" in context:
        check_windows_options(context["windowsOptions"], f"{path}.windowsOptions", errors)
    if "appArmorProfile" in context:
        check_app_armor(context["appArmorProfile"], f"{path}.appArmorProfile", errors)
    _check_choice(context, "supplementalGroupsPolicy", _GROUP_POLICIES, path, errors)
    _check_choice(context, "seLinuxChangePolicy", _LABEL_CHANGES, path, errors)


def check_container_security(
    context: JsonObject, path: str, errors: list[FieldError], *, host_users: bool
) -> None:
    """Check a container's security context."""
    for name in ("runAsUser", "runAsGroup"):
        if name in context:
            _check_id(context[name], f"{path}.{name}", errors)
    mount = context.get("procMount")
    if mount is not None:
        if mount not in _PROC_MOUNTS:
            errors.append(not_supported(f"{path}.procMount", mount, _PROC_MOUNTS))
        if host_users and mount == "Unmasked":
            text = "`hostUsers` must be false to use `Unmasked`"
            errors.append(invalid(f"{path}.procMount", mount, text))
    if "seccompProfile" in context:
        _check_seccomp(context["seccompProfile"], f"{path}.seccompProfile", errors)
    if context.get("allowPrivilegeEscalation") is False:
        _check_no_escalation(context, path, errors)
    if "windowsOptions" in context:
        check_windows_options(context["windowsOptions"], f"{path}.windowsOptions", errors)
    if "appArmorProfile" in context:
        check_app_armor(context["appArmorProfile"], f"{path}.appArmorProfile", errors)


def check_app_armor(profile: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check an AppArmor profile."""
    kind = profile.get("type", "")
    local = profile.get("localhostProfile")
    where = f"{path}.localhostProfile"
    if kind == "Localhost":
        if local is None or not local:
            errors.append(required(where, "must be set when AppArmor type is Localhost"))
        elif local != local.strip():
            errors.append(invalid(where, local, "must not be padded with whitespace"))
        if local and len(local.encode()) > _PROFILE_BYTES_MAX:
            errors.append(too_long(where, _PROFILE_BYTES_MAX))
    elif not kind:
        errors.append(required(f"{path}.type", "type is required when appArmorProfile is set"))
    elif kind not in _PROFILE_TYPES:
        errors.append(not_supported(f"{path}.type", kind, _PROFILE_TYPES))
    elif local is not None:
        errors.append(invalid(where, local, "can only be set when AppArmor type is Localhost"))


def _check_id(value: int, path: str, errors: list[FieldError]) -> None:
    if faults := is_valid_user_or_group_id(value):
        errors.extend(invalid(path, value, fault) for fault in faults)


def _check_choice(
    context: JsonObject, name: str, allowed: tuple[str, ...], path: str, errors: list[FieldError]
) -> None:
    value = context.get(name)
    if value is not None and value not in allowed:
        errors.append(not_supported(f"{path}.{name}", value, allowed))


def _check_seccomp(profile: JsonObject, path: str, errors: list[FieldError]) -> None:
    kind = profile.get("type", "")
    local = profile.get("localhostProfile")
    where = f"{path}.localhostProfile"
    if not kind:
        errors.append(required(f"{path}.type", "type is required when seccompProfile is set"))
    elif kind not in _PROFILE_TYPES:
        errors.append(not_supported(f"{path}.type", kind, _PROFILE_TYPES))
    if kind == "Localhost":
        if local is None:
            errors.append(required(where, "must be set when seccomp type is Localhost"))
        else:
            check_descending_path(local, where, errors)
    elif local is not None:
        errors.append(invalid(where, profile, "can only be set when seccomp type is Localhost"))


def _check_no_escalation(context: JsonObject, path: str, errors: list[FieldError]) -> None:
    if context.get("privileged"):
        text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        errors.append(invalid(path, context, text))
    if "CAP_SYS_ADMIN" in context.get("capabilities", {}).get("add", ()):
        text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
        errors.append(invalid(path, context, text))


def _check_sysctls(
    sysctls: list[JsonObject], spec: JsonObject, path: str, errors: list[FieldError]
) -> None:
    names: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        where = f"{path}[{index}].name"
        name = sysctl.get("name", "")
        if not name:
            errors.append(required(where))
        elif len(name) > _SYSCTL_CHARS_MAX or not _match_sysctl(name):
            text = f"must have at most {_SYSCTL_CHARS_MAX} characters and match regex ^{_SYSCTL}$"
            errors.append(invalid(where, name, text))
        elif name in names:
            errors.append(duplicate(where, name))
        namespace = _namespace_of(name)
        if namespace == "net" and spec.get("hostNetwork"):
            errors.append(invalid(where, name, "may not be specified when 'hostNetwork' is true"))
        elif namespace == "ipc" and spec.get("hostIPC"):
            errors.append(invalid(where, name, "may not be specified when 'hostIPC' is true"))
        names.add(name)


def _namespace_of(sysctl: str) -> str:
    dotted = _with_dots(sysctl)
    if dotted == "kernel.sem" or dotted.startswith(("kernel.shm", "kernel.msg", "fs.mqueue.")):
        return "ipc"
    return "net" if dotted.startswith("net.") else ""


def _with_dots(sysctl: str) -> str:
    """Return a sysctl's name with dots for separators, whichever separator comes first."""
    first = min((sysctl.find(mark) for mark in "./" if mark in sysctl), default=-1)
    if first == -1 or sysctl[first] == ".":
        return sysctl
    return sysctl.translate(str.maketrans("/.", "./"))
