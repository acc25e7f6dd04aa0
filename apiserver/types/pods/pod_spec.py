"""Checks of a pod spec as a whole, and of pods and pod templates at creation.

The parts are checked in upstream's order, so several faults are reported as upstream lists them.
"""

from __future__ import annotations

from typing import Final

from apiserver.types.formats import (
    is_dns1123_label,
    is_dns1123_subdomain,
    is_qualified_name,
    range_error,
)
from apiserver.types.meta import validate_annotations, validate_labels
from apiserver.types.pods import network, scheduling
from apiserver.types.pods.affinity import check_affinity
from apiserver.types.pods.annotations import check_annotations, check_profiles_match
from apiserver.types.pods.containers import (
    PodContext,
    check_containers,
    check_ephemeral_containers,
    check_image_padding,
    check_init_containers,
)
from apiserver.types.pods.resources import check_overhead, check_pod_resources
from apiserver.types.pods.security import check_pod_security
from apiserver.types.pods.volumes import check_volumes
from apiserver.types.pods.windows import check_host_process, check_os
from kube.field import FieldError, forbidden, invalid, not_supported, required
from kube.json_types import JsonObject

_RESTART_POLICIES: Final = ("Always", "OnFailure", "Never")
_PREEMPTION_POLICIES: Final = ("PreemptLowerPriority", "Never")
_INT32_MAX: Final = 2**31 - 1
# Fields looked at one by one only when a spec has any of them.
_RARE: Final = frozenset(
    {
        "activeDeadlineSeconds",
        "dnsConfig",
        "hostAliases",
        "hostIPC",
        "hostNetwork",
        "hostPID",
        "hostUsers",
        "hostname",
        "hostnameOverride",
        "imagePullSecrets",
        "os",
        "overhead",
        "priorityClassName",
        "readinessGates",
        "runtimeClassName",
        "schedulingGates",
        "subdomain",
        "topologySpreadConstraints",
    }
)


def validate_pod_create(pod: JsonObject) -> list[FieldError]:
    """Return the faults of a new pod, beyond its metadata."""
    errors = validate_pod(pod)
    spec = pod["spec"]
    if spec.get("ephemeralContainers"):
        errors.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("nodeName") and spec.get("schedulingGates"):
        text = "cannot be set until all schedulingGates have been cleared"
        errors.append(forbidden("spec.nodeName", text))
    if annotations := pod["metadata"].get("annotations"):
        check_profiles_match(annotations, spec, "spec", errors)
    return errors


def validate_pod(pod: JsonObject) -> list[FieldError]:
    """Return the faults of a pod's annotations and spec, whether new or changed."""
    errors: list[FieldError] = []
    meta = pod["metadata"]
    spec = pod["spec"]
    if annotations := meta.get("annotations"):
        check_annotations(annotations, spec, "metadata.annotations", errors)
    check_pod_spec(spec, "spec", errors, pod_name=meta.get("name", ""), is_pod=True)
    if not spec.get("serviceAccountName"):
        _refuse_tokens(spec, errors)
    for name in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(name, ())):
            check_image_padding(container, f"spec.{name}[{index}]", errors)
    return errors


def check_template(template: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check a PodTemplateSpec at `path`."""
    meta = template.get("metadata", {})
    spec = template.get("spec", {})
    # Upstream omits `metadata` from these paths.
    errors += validate_labels(meta.get("labels"), f"{path}.labels")
    annotations = meta.get("annotations")
    if annotations:
        errors += validate_annotations(annotations, f"{path}.annotations")
        check_annotations(annotations, spec, f"{path}.annotations", errors)
    check_pod_spec(spec, f"{path}.spec", errors)
    if annotations:
        check_profiles_match(annotations, spec, f"{path}.spec", errors)
    if spec.get("ephemeralContainers"):
        text = "ephemeral containers not allowed in pod template"
        errors.append(forbidden(f"{path}.spec.ephemeralContainers", text))


def check_pod_spec(
    spec: JsonObject,
    path: str,
    errors: list[FieldError],
    *,
    pod_name: str = "",
    is_pod: bool = False,
) -> None:
    """Check a pod spec.

    Args:
        spec: the spec, defaulted.
        path: its path.
        errors: what is found is appended here.
        pod_name: the pod's name, where there is one.
        is_pod: whether this is a pod rather than a template.
    """
    grace_s = spec.get("terminationGracePeriodSeconds")
    if grace_s is None:
        errors.append(required(f"{path}.terminationGracePeriodSeconds"))
    volumes: dict[str, JsonObject] = {}
    if "volumes" in spec:
        volumes = check_volumes(
            spec["volumes"], f"{path}.volumes", errors, pod_name=pod_name, is_pod=is_pod
        )
    claims = spec.get("resourceClaims", ())
    if claims:
        scheduling.check_claims(claims, f"{path}.resourceClaims", errors)
    context = PodContext(
        volumes=volumes,
        claims={claim["name"] for claim in claims if claim.get("name")},
        grace_s=grace_s,
        restart_policy=spec.get("restartPolicy", ""),
        host_users=spec.get("hostUsers", True),
        is_pod=is_pod,
    )
    _check_all_containers(spec, context, path, errors)
    _check_common(spec, path, errors)
    if not _RARE.isdisjoint(spec):
        _check_rare(spec, path, errors)


def _check_all_containers(
    spec: JsonObject, context: PodContext, path: str, errors: list[FieldError]
) -> None:
    regular = spec.get("containers") or ()
    check_containers(regular, context, f"{path}.containers", errors)
    if "initContainers" in spec:
        where = f"{path}.initContainers"
        check_init_containers(spec["initContainers"], regular, context, where, errors)
    if "ephemeralContainers" in spec:
        check_ephemeral_containers(spec, context, f"{path}.ephemeralContainers", errors)
    if "resources" in spec:
        check_pod_resources(spec, path, errors)
    if spec.get("hostNetwork"):
        where = f"{path}.containers"
        network.check_host_ports_match(regular, where, errors, is_pod=context.is_pod)


def _check_common(spec: JsonObject, path: str, errors: list[FieldError]) -> None:
    policy = spec.get("restartPolicy", "")
    if policy not in _RESTART_POLICIES:
        where = f"{path}.restartPolicy"
        errors.append(
            not_supported(where, policy, _RESTART_POLICIES) if policy else required(where)
        )
    dns_policy = spec.get("dnsPolicy", "")
    network.check_dns_policy(dns_policy, f"{path}.dnsPolicy", errors)
    if "nodeSelector" in spec:
        errors += validate_labels(spec["nodeSelector"], f"{path}.nodeSelector")
    security = spec.get("securityContext")
    if security or "shareProcessNamespace" in spec:
        check_pod_security(security or {}, spec, f"{path}.securityContext", errors)
    if "affinity" in spec:
        check_affinity(spec["affinity"], f"{path}.affinity", errors)
    if dns_policy == "None" or "dnsConfig" in spec:
        where = f"{path}.dnsConfig"
        network.check_dns_config(spec.get("dnsConfig"), dns_policy, where, errors)
    check_host_process(spec, path, errors)
    for name in ("serviceAccountName", "nodeName"):
        if value := spec.get(name):
            _check_name(value, f"{path}.{name}", errors)
    if "tolerations" in spec:
        scheduling.check_tolerations(spec["tolerations"], f"{path}.tolerations", errors)
    preemption = spec.get("preemptionPolicy")
    if preemption is not None and preemption not in _PREEMPTION_POLICIES:
        where = f"{path}.preemptionPolicy"
        errors.append(not_supported(where, preemption, _PREEMPTION_POLICIES))


def _check_rare(spec: JsonObject, path: str, errors: list[FieldError]) -> None:
    for index, gate in enumerate(spec.get("readinessGates", ())):
        kind = gate.get("conditionType", "")
        where = f"{path}.readinessGates[{index}].conditionType"
        errors.extend(invalid(where, kind, fault) for fault in is_qualified_name(kind))
    if "schedulingGates" in spec:
        scheduling.check_gates(spec["schedulingGates"], f"{path}.schedulingGates", errors)
    if "topologySpreadConstraints" in spec:
        where = f"{path}.topologySpreadConstraints"
        scheduling.check_spread(spec["topologySpreadConstraints"], where, errors)
    network.check_host_users(spec, path, errors)
    deadline_s = spec.get("activeDeadlineSeconds")
    if deadline_s is not None and not 1 <= deadline_s <= _INT32_MAX:
        where = f"{path}.activeDeadlineSeconds"
        errors.append(invalid(where, deadline_s, range_error(1, _INT32_MAX)))
    _check_names(spec, path, errors)
    if "hostAliases" in spec:
        network.check_host_aliases(spec["hostAliases"], f"{path}.hostAliases", errors)
    for name in ("priorityClassName", "runtimeClassName"):
        if (value := spec.get(name)) is not None:
            _check_name(value, f"{path}.{name}", errors)
    if "overhead" in spec:
        check_overhead(spec["overhead"], f"{path}.overhead", errors)
    if "os" in spec:
        check_os(spec, path, errors)


def _check_names(spec: JsonObject, path: str, errors: list[FieldError]) -> None:
    for name in ("hostname", "subdomain"):
        if value := spec.get(name):
            faults = is_dns1123_label(value)
            errors.extend(invalid(f"{path}.{name}", value, fault) for fault in faults)
    if "hostnameOverride" in spec:
        network.check_hostname_override(spec, path, errors)


def _check_name(value: str, path: str, errors: list[FieldError]) -> None:
    if faults := is_dns1123_subdomain(value):
        errors.extend(invalid(path, value, fault) for fault in faults)


def _refuse_tokens(spec: JsonObject, errors: list[FieldError]) -> None:
    """A pod without a service account cannot project a token of it."""
    for index, volume in enumerate(spec.get("volumes", ())):
        for at, source in enumerate(volume.get("projected", {}).get("sources", ())):
            if "serviceAccountToken" in source:
                where = f"spec.volumes[{index}].projected.sources[{at}].serviceAccountToken"
                text = "must not be specified when serviceAccountName is not set"
                errors.append(forbidden(where, text))
