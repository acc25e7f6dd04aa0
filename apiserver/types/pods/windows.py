"""Checks of what is about the operating system: Windows options, and fields of the other one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from apiserver.types.formats import is_dns1123_subdomain
from kube.field import FieldError, forbidden, invalid, not_supported, required
from kube.json_types import JsonObject

_SPEC_KIB_MAX: Final = 64
_DOMAIN_CHARS_MAX: Final = 256
_USER_CHARS_MAX: Final = 104
_LABEL: Final = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_find_control = re.compile("[\x00-\x1f\x7f]").search
_match_netbios = re.compile(r'[^\\/:\*\?"<>|\.][^\\/:\*\?"<>|]{0,14}').fullmatch
_match_dns = re.compile(rf"{_LABEL}(?:\.{_LABEL})*").fullmatch
_find_bad_char = re.compile(r'["/\\:;|=,\+\*\?<>@\[\]]').search
_match_dots_and_spaces = re.compile(r"[. ]+").fullmatch

_NOT_ON_WINDOWS: Final = "cannot be set for a windows pod"
_NOT_ON_LINUX: Final = "windows options cannot be set for a linux pod"
_SYSTEMS: Final = ("linux", "windows")
# In upstream's order: (whether the field is in the security context, its name).
_POD_FIELDS: Final = (
    (True, "appArmorProfile"),
    (True, "seLinuxOptions"),
    (False, "hostUsers"),
    (False, "hostPID"),
    (False, "hostIPC"),
    (True, "seccompProfile"),
    (True, "fsGroup"),
    (True, "fsGroupChangePolicy"),
    (True, "sysctls"),
    (False, "shareProcessNamespace"),
    (True, "runAsUser"),
    (True, "runAsGroup"),
    (True, "supplementalGroups"),
    (True, "supplementalGroupsPolicy"),
    (True, "seLinuxChangePolicy"),
)
_CONTAINER_FIELDS: Final = (
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
)


def each_container(spec: JsonObject, path: str) -> Iterator[tuple[JsonObject, str]]:
    """Yield every container with its path: init containers first, ephemeral ones last."""
    for name in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(name, ())):
            yield container, f"{path}.{name}[{index}]"


def check_os(spec: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check `spec.os`, and that no field of the other system is set."""
    name = spec["os"].get("name", "")
    if not name:
        errors.append(required(f"{path}.os.name", "cannot be empty"))
    elif name not in _SYSTEMS:
        errors.append(not_supported(f"{path}.os", name, _SYSTEMS))
    elif name == "linux":
        _check_linux(spec, path, errors)
    else:
        _check_windows(spec, path, errors)


def check_host_process(spec: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check Windows host process containers: all or none, and on the host's network."""
    if not _has_windows_options(spec):
        return
    of_pod = _host_process(spec)
    count = chosen = 0
    for container, where in each_container(spec, path):
        count += 1
        own = _host_process(container)
        if of_pod is not None and own is not None and of_pod != own:
            shown = "true" if of_pod else "false"
            text = f"pod hostProcess value must be identical if both are specified, was {shown}"
            target = f"{where}.securityContext.windowsOptions.hostProcess"
            errors.append(invalid(target, own, text))
        if own or (own is None and of_pod):
            chosen += 1
    if not chosen:
        return
    if chosen != count:
        text = (
            "If pod contains any hostProcess containers then all containers must be HostProcess "
            "containers"
        )
        errors.append(invalid(path, "", text))
    if not spec.get("hostNetwork"):
        text = "hostNetwork must be true if pod contains any hostProcess containers"
        errors.append(invalid(f"{path}.hostNetwork", value=False, detail=text))


def check_windows_options(options: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check the Windows options of a security context."""
    name = options.get("gmsaCredentialSpecName")
    if name is not None:
        faults = is_dns1123_subdomain(name)
        errors.extend(invalid(f"{path}.gmsaCredentialSpecName", name, fault) for fault in faults)
    content = options.get("gmsaCredentialSpec")
    if content is not None:
        where = f"{path}.gmsaCredentialSpec"
        if not content:
            text = "gmsaCredentialSpec cannot be an empty string"
            errors.append(invalid(where, content, text))
        elif len(content.encode()) > _SPEC_KIB_MAX * 1024:
            text = f"gmsaCredentialSpec size must be under {_SPEC_KIB_MAX} KiB"
            errors.append(invalid(where, content, text))
    user = options.get("runAsUserName")
    if user is not None:
        faults = _user_name_faults(user)
        errors.extend(invalid(f"{path}.runAsUserName", user, fault) for fault in faults)


def _has_windows_options(spec: JsonObject) -> bool:
    if "windowsOptions" in spec.get("securityContext", ()):
        return True
    for name in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(name, ()):
            if "windowsOptions" in container.get("securityContext", ()):
                return True
    return False


def _host_process(holder: JsonObject) -> bool | None:
    context = holder.get("securityContext", {})
    value: bool | None = context.get("windowsOptions", {}).get("hostProcess")
    return value


def _check_linux(spec: JsonObject, path: str, errors: list[FieldError]) -> None:
    if "windowsOptions" in spec.get("securityContext", {}):
        errors.append(forbidden(f"{path}.securityContext.windowsOptions", _NOT_ON_LINUX))
    for container, where in each_container(spec, path):
        if "windowsOptions" in container.get("securityContext", {}):
            errors.append(forbidden(f"{where}.securityContext.windowsOptions", _NOT_ON_LINUX))


def _check_windows(spec: JsonObject, path: str, errors: list[FieldError]) -> None:
    context = spec.get("securityContext", {})
    for in_context, name in _POD_FIELDS:
        holder = context if in_context else spec
        # A false hostPID or hostIPC is the same as none; a false pointer field is a choice.
        if name not in holder or (name in {"hostPID", "hostIPC"} and not holder[name]):
            continue
        where = f"{path}.securityContext.{name}" if in_context else f"{path}.{name}"
        errors.append(forbidden(where, _NOT_ON_WINDOWS))
    for container, where in each_container(spec, path):
        own = container.get("securityContext", {})
        errors.extend(
            forbidden(f"{where}.securityContext.{name}", _NOT_ON_WINDOWS)
            for name in _CONTAINER_FIELDS
            if name in own
        )


def _user_name_faults(name: str) -> list[str]:
    if not name:
        return ["runAsUserName cannot be an empty string"]
    if _find_control(name):
        return ["runAsUserName cannot contain control characters"]
    parts = name.split("\\")
    if len(parts) > 2:
        return ["runAsUserName cannot contain more than one backslash"]
    faults = []
    if len(parts) == 2:
        domain = parts[0]
        if len(domain) >= _DOMAIN_CHARS_MAX:
            faults.append(
                f"runAsUserName's Domain length must be under {_DOMAIN_CHARS_MAX} characters"
            )
        if not (_match_netbios(domain) or _match_dns(domain)):
            faults.append("runAsUserName's Domain doesn't match the NetBios nor the DNS format")
    return faults + _user_faults(parts[-1])


def _user_faults(user: str) -> list[str]:
    faults = []
    if not user:
        faults.append("runAsUserName's User cannot be empty")
    elif len(user) > _USER_CHARS_MAX:
        faults.append(
            f"runAsUserName's User length must not be longer than {_USER_CHARS_MAX} characters"
        )
    if _match_dots_and_spaces(user):
        faults.append("runAsUserName's User cannot contain only periods or spaces")
    if _find_bad_char(user):
        faults.append(
            "runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]"
        )
    return faults
