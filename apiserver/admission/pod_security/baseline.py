"""The checks of level `baseline`: what would let a pod out of its own bounds on the node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from apiserver.admission.pod_security.parts import (
    Check,
    Fault,
    containers_of,
    context_of,
    is_in_user_namespace,
    many,
    named,
    quoted,
    setters,
    uses,
)
from kube.field import quote
from kube.json_types import JsonObject

_CAPABILITIES: Final = frozenset(
    [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ]
)
_APP_ARMOR_PREFIX: Final = "container.apparmor.security.beta.kubernetes.io/"
_APP_ARMOR_TYPES: Final = frozenset({"RuntimeDefault", "Localhost"})
_SELINUX_TYPES: Final = frozenset({"", "container_t", "container_init_t", "container_kvm_t"})
_SELINUX_TYPES_31: Final = _SELINUX_TYPES | {"container_engine_t"}
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_HOOKS: Final = ("postStart", "preStop")
SYSCTLS: Final = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
    }
)
SYSCTLS_27: Final = SYSCTLS | {"net.ipv4.ip_local_reserved_ports"}
SYSCTLS_29: Final = SYSCTLS_27 | {
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}
SYSCTLS_32: Final = SYSCTLS_29 | {"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}
SYSCTLS_37: Final = SYSCTLS_32 | {
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_notsent_lowat",
}


def app_armor(metadata: JsonObject, spec: JsonObject) -> Fault | None:
    """AppArmor may not be switched off, whether by field or by annotation."""
    kind = (context_of(spec).get("appArmorProfile") or {}).get("type", "RuntimeDefault")
    bad_values = set() if kind in _APP_ARMOR_TYPES else {kind}
    containers = []
    for name, _, context in containers_of(spec):
        own = (context.get("appArmorProfile") or {}).get("type", "RuntimeDefault")
        if own not in _APP_ARMOR_TYPES:
            containers.append(name)
            bad_values.add(own)
    found = setters(pod=kind not in _APP_ARMOR_TYPES, containers=containers)
    values = sorted(bad_values)
    annotations = sorted(
        f"{key}={quote(value)}"
        for key, value in (metadata.get("annotations") or {}).items()
        if key.startswith(_APP_ARMOR_PREFIX) and not _is_allowed_profile(value)
    )
    if annotations:
        values += annotations
        found.append(many("annotation", len(annotations)))
    if not found:
        return None
    detail = f"{' and '.join(found)} must not set AppArmor profile type to {quoted(values)}"
    return Fault(many("forbidden AppArmor profile", len(values)), detail)


def _is_allowed_profile(value: str) -> bool:
    return value in ("", "runtime/default") or value.startswith("localhost/")


def capabilities(_metadata: JsonObject, spec: JsonObject) -> Fault | None:
    """Only those may be added that container runtimes give anyway."""
    bad, added = [], set()
    for name, _, context in containers_of(spec):
        wanted = (context.get("capabilities") or {}).get("add") or ()
        extra = {one for one in wanted if one not in _CAPABILITIES}
        if extra:
            bad.append(name)
            added |= extra
    if not bad:
        return None
    detail = (
        f"{named('container', bad)} must not include {quoted(sorted(added))} in "
        "securityContext.capabilities.add"
    )
    return Fault("non-default capabilities", detail)


def host_namespaces(_metadata: JsonObject, spec: JsonObject) -> Fault | None:
    """A pod has a network, processes and IPC of its own."""
    found = [f"{key}=true" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    return Fault("host namespaces", ", ".join(found)) if found else None


def host_path_volumes(_metadata: JsonObject, spec: JsonObject) -> Fault | None:
    """The node's files are not mounted."""
    found = [one["name"] for one in spec.get("volumes") or () if one.get("hostPath") is not None]
    return Fault("hostPath volumes", named("volume", found)) if found else None


def host_ports(_metadata: JsonObject, spec: JsonObject) -> Fault | None:
    """The node's ports are not taken."""
    bad, ports = [], set()
    for name, container, _ in containers_of(spec):
        taken = {
            str(one["hostPort"]) for one in container.get("ports") or () if one.get("hostPort")
        }
        if taken:
            bad.append(name)
            ports |= taken
    if not bad:
        return None
    word = many("hostPort", len(ports))
    listed = ", ".join(sorted(ports))
    return Fault("hostPort", f"{named('container', bad)} {uses(len(bad))} {word} {listed}")


def probe_hosts(_metadata: JsonObject, spec: JsonObject) -> Fault | None:
    """Since 1.34: a kubelet does not call other hosts for a pod."""
    bad, hosts = set(), set()
    for name, container, _ in containers_of(spec):
        called = set(_called_hosts(container))
        if called:
            bad.add(name)
            hosts |= called
    if not bad:
        return None
    word = many("probe or lifecycle host", len(hosts))
    who = named("container", sorted(bad))
    detail = f"{who} {uses(len(bad))} {word} {quoted(sorted(hosts))}"
    return Fault("probe or lifecycle host", detail)


def _called_hosts(container: JsonObject) -> Iterator[str]:
    lifecycle = container.get("lifecycle") or {}
    handlers = [container.get(key) for key in _PROBES] + [lifecycle.get(key) for key in _HOOKS]
    for handler in handlers:
        for key in ("httpGet", "tcpSocket"):
            host = ((handler or {}).get(key) or {}).get("host")
            if host:
                yield host


def privileged(_metadata: JsonObject, spec: JsonObject) -> Fault | None:
    """No container is privileged."""
    bad = [name for name, _, context in containers_of(spec) if context.get("privileged")]
    if not bad:
        return None
    detail = f"{named('container', bad)} must not set securityContext.privileged=true"
    return Fault("privileged", detail)


def proc_mount(_metadata: JsonObject, spec: JsonObject) -> Fault | None:
    """/proc is masked as usual."""
    bad, kinds = [], set()
    for name, _, context in containers_of(spec):
        kind = context.get("procMount")
        if kind is not None and kind != "Default":
            bad.append(name)
            kinds.add(kind)
    if not bad:
        return None
    who = named("container", bad)
    detail = f"{who} must not set securityContext.procMount to {quoted(sorted(kinds))}"
    return Fault("procMount", detail)


def proc_mount_35(metadata: JsonObject, spec: JsonObject) -> Fault | None:
    """Since 1.35 that does not matter in a user namespace."""
    return None if is_in_user_namespace(spec) else proc_mount(metadata, spec)


def selinux(_metadata: JsonObject, spec: JsonObject) -> Fault | None:
    """SELinux types are those for containers; users and roles are not set."""
    return _selinux(spec, _SELINUX_TYPES)


def selinux_31(_metadata: JsonObject, spec: JsonObject) -> Fault | None:
    """Since 1.31 there is one more type."""
    return _selinux(spec, _SELINUX_TYPES_31)


def _selinux(spec: JsonObject, allowed: frozenset[str]) -> Fault | None:
    types: set[str] = set()
    others: set[str] = set()

    def is_bad(context: JsonObject) -> bool:
        options = context.get("seLinuxOptions") or {}
        kind = options.get("type", "")
        wrong = {key for key in ("user", "role") if options.get(key)}
        others.update(wrong)
        if kind not in allowed:
            types.add(kind)
        return bool(wrong) or kind not in allowed

    pod = is_bad(context_of(spec))
    containers = [name for name, _, context in containers_of(spec) if is_bad(context)]
    found = setters(pod=pod, containers=containers)
    if not found:
        return None
    data = [f"{many('type', len(types))} {quoted(sorted(types))}"] if types else []
    data += [f"{key} may not be set" for key in ("user", "role") if key in others]
    detail = f"{' and '.join(found)} set forbidden securityContext.seLinuxOptions: "
    return Fault("seLinuxOptions", detail + "; ".join(data))


def sysctls(allowed: frozenset[str]) -> Check:
    """Return the check that only safe sysctls are set, by the list of a version."""

    def check(_metadata: JsonObject, spec: JsonObject) -> Fault | None:
        given = context_of(spec).get("sysctls") or ()
        bad = [one["name"] for one in given if one["name"] not in allowed]
        return Fault("forbidden sysctls", ", ".join(bad)) if bad else None

    return check


def windows_host_process(_metadata: JsonObject, spec: JsonObject) -> Fault | None:
    """No container of Windows is a process of the node."""

    def is_bad(context: JsonObject) -> bool:
        return bool((context.get("windowsOptions") or {}).get("hostProcess"))

    containers = [name for name, _, context in containers_of(spec) if is_bad(context)]
    found = setters(pod=is_bad(context_of(spec)), containers=containers)
    if not found:
        return None
    who = " and ".join(found)
    return Fault(
        "hostProcess", f"{who} must not set securityContext.windowsOptions.hostProcess=true"
    )
