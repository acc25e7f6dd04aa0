"""The checks of level `restricted`, and seccomp, which both levels look at."""

from __future__ import annotations

from typing import Final

from apiserver.admission.pod_security.parts import (
    Fault,
    containers_of,
    context_of,
    is_in_user_namespace,
    is_windows,
    many,
    named,
    quoted,
    setters,
    uses,
)
from kube.field import quote
from kube.json_types import JsonObject

_SECCOMP: Final = frozenset({"RuntimeDefault", "Localhost"})
_SECCOMP_POD: Final = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER: Final = "container.seccomp.security.alpha.kubernetes.io/"
_VOLUMES: Final = frozenset(
    [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ]
)
_OTHER_VOLUMES: Final = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
]


def seccomp_annotations(metadata: JsonObject, spec: JsonObject) -> Fault | None:
    """Before 1.19 the profile was told by annotations."""
    annotations = metadata.get("annotations") or {}
    keys = [_SECCOMP_POD, *(_SECCOMP_CONTAINER + name for name, _, _ in containers_of(spec))]
    bad = sorted(
        {
            f"{key}={quote(annotations[key])}"
            for key in keys
            if key in annotations and not _is_profile(annotations[key])
        }
    )
    if not bad:
        return None
    return Fault("seccompProfile", f"forbidden {many('annotation', len(bad))} {', '.join(bad)}")


def _is_profile(value: str) -> bool:
    return value in ("runtime/default", "docker/default") or value.startswith("localhost/")


def seccomp_baseline(_metadata: JsonObject, spec: JsonObject) -> Fault | None:
    """Seccomp may not be switched off."""
    return _seccomp(spec, must_be_set=False)


def seccomp_restricted(_metadata: JsonObject, spec: JsonObject) -> Fault | None:
    """Seccomp must be switched on."""
    return _seccomp(spec, must_be_set=True)


def seccomp_restricted_25(metadata: JsonObject, spec: JsonObject) -> Fault | None:
    """Since 1.25 not for Windows, which has none."""
    return None if is_windows(spec) else seccomp_restricted(metadata, spec)


def _seccomp(spec: JsonObject, *, must_be_set: bool) -> Fault | None:
    pod = context_of(spec).get("seccompProfile")
    values: set[str] = set()
    kind = "RuntimeDefault" if pod is None else pod.get("type", "")
    is_bad = kind not in _SECCOMP
    if is_bad:
        values.add(kind)
    explicit, implicit = [], []
    for name, _, context in containers_of(spec):
        own = context.get("seccompProfile")
        if own is None:
            if pod is None or is_bad:
                implicit.append(name)
        elif own.get("type", "") not in _SECCOMP:
            explicit.append(name)
            values.add(own.get("type", ""))
    found = setters(pod=is_bad, containers=explicit)
    if found:
        who = " and ".join(found)
        detail = f"{who} must not set securityContext.seccompProfile.type to "
        return Fault("seccompProfile", detail + quoted(sorted(values)))
    if must_be_set and implicit:
        detail = (
            f"pod or {named('container', implicit)} must set securityContext.seccompProfile.type "
            'to "RuntimeDefault" or "Localhost"'
        )
        return Fault("seccompProfile", detail)
    return None


def privilege_escalation(_metadata: JsonObject, spec: JsonObject) -> Fault | None:
    """No process gets more privileges than its parent."""
    bad = [
        name
        for name, _, context in containers_of(spec)
        if context.get("allowPrivilegeEscalation") is not False
    ]
    if not bad:
        return None
    who = named("container", bad)
    detail = f"{who} must set securityContext.allowPrivilegeEscalation=false"
    return Fault("allowPrivilegeEscalation != false", detail)


def privilege_escalation_25(metadata: JsonObject, spec: JsonObject) -> Fault | None:
    """Since 1.25 not for Windows."""
    return None if is_windows(spec) else privilege_escalation(metadata, spec)


def capabilities(_metadata: JsonObject, spec: JsonObject) -> Fault | None:
    """All capabilities are dropped, and one at most is added again."""
    keeping, adding, added = [], [], set()
    for name, _, context in containers_of(spec):
        known = context.get("capabilities")
        if known is None or "ALL" not in (known.get("drop") or ()):
            keeping.append(name)
        extra = {one for one in (known or {}).get("add") or () if one != "NET_BIND_SERVICE"}
        if extra:
            adding.append(name)
            added |= extra
    details = []
    if keeping:
        who = named("container", keeping)
        details.append(f'{who} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        who = named("container", adding)
        what = quoted(sorted(added))
        details.append(f"{who} must not include {what} in securityContext.capabilities.add")
    return Fault("unrestricted capabilities", "; ".join(details)) if details else None


def capabilities_25(metadata: JsonObject, spec: JsonObject) -> Fault | None:
    """Since 1.25 not for Windows."""
    return None if is_windows(spec) else capabilities(metadata, spec)


def volumes(_metadata: JsonObject, spec: JsonObject) -> Fault | None:
    """Volumes are of kinds that the cluster makes, not the node."""
    bad, kinds = [], set()
    for volume in spec.get("volumes") or ():
        if any(volume.get(key) is not None for key in _VOLUMES):
            continue
        bad.append(volume["name"])
        known = [key for key in _OTHER_VOLUMES if volume.get(key) is not None]
        kinds.add(known[0] if known else "unknown")
    if not bad:
        return None
    word = many("restricted volume type", len(kinds))
    detail = f"{named('volume', bad)} {uses(len(bad))} {word} {quoted(sorted(kinds))}"
    return Fault("restricted volume types", detail)


def run_as_non_root(_metadata: JsonObject, spec: JsonObject) -> Fault | None:
    """Somebody says that no container runs as root."""
    pod = context_of(spec).get("runAsNonRoot")
    explicit, implicit = [], []
    for name, _, context in containers_of(spec):
        own = context.get("runAsNonRoot")
        if own is False:
            explicit.append(name)
        elif own is None and not pod:
            implicit.append(name)
    found = setters(pod=pod is False, containers=explicit)
    reason = "runAsNonRoot != true"
    if found:
        who = " and ".join(found)
        return Fault(reason, f"{who} must not set securityContext.runAsNonRoot=false")
    if implicit:
        who = named("container", implicit)
        return Fault(reason, f"pod or {who} must set securityContext.runAsNonRoot=true")
    return None


def run_as_non_root_35(metadata: JsonObject, spec: JsonObject) -> Fault | None:
    """Since 1.35 that does not matter in a user namespace."""
    return None if is_in_user_namespace(spec) else run_as_non_root(metadata, spec)


def run_as_user(_metadata: JsonObject, spec: JsonObject) -> Fault | None:
    """Nobody says that a container runs as root."""
    containers = [n for n, _, context in containers_of(spec) if context.get("runAsUser") == 0]
    found = setters(pod=context_of(spec).get("runAsUser") == 0, containers=containers)
    return (
        Fault("runAsUser=0", f"{' and '.join(found)} must not set runAsUser=0") if found else None
    )


def run_as_user_35(metadata: JsonObject, spec: JsonObject) -> Fault | None:
    """Since 1.35 that does not matter in a user namespace."""
    return None if is_in_user_namespace(spec) else run_as_user(metadata, spec)
