"""The strategy of pods: what a create fills in, and what deletes and field selectors see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from apiserver.types.pods.annotations import APP_ARMOR, app_armor_profile
from apiserver.types.pods.qos import qos_class
from apiserver.types.pods.windows import each_container
from kube.json_types import JsonObject

_TERMS: Final = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)


def prepare_pod_create(pod: JsonObject) -> None:
    """Give a new pod its first status, and turn label keys into label selectors."""
    spec = pod["spec"]
    status: JsonObject = {"phase": "Pending", "qosClass": qos_class(spec)}
    pod["status"] = status
    if spec.get("schedulingGates"):
        status["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }
        ]
    labels = pod["metadata"].get("labels", {})
    if "affinity" in spec:
        _select_by_own_labels(spec["affinity"], labels)
    for constraint in spec.get("topologySpreadConstraints", ()):
        _add_expressions(constraint, constraint.get("matchLabelKeys", ()), "In", labels)
    annotations = pod["metadata"].get("annotations")
    if annotations:
        _copy_app_armor(spec, annotations)


def completion_depends_on(spec: JsonObject, metadata: JsonObject) -> list[object] | None:
    """Say what a new pod's defaults, validation and warnings depend on besides its spec.

    Args:
        spec: as the client sent it.
        metadata: likewise.

    Returns:
        The annotations, and the labels where terms may select by the pod's own; None where the
        pod's name matters (it names the claims of ephemeral volumes).
    """
    volumes = spec.get("volumes")
    if isinstance(volumes, list) and any(
        isinstance(volume, dict) and "ephemeral" in volume for volume in volumes
    ):
        return None
    selects = "affinity" in spec or "topologySpreadConstraints" in spec
    return [metadata.get("annotations"), metadata.get("labels") if selects else None]


def delete_grace_s(pod: JsonObject, asked_s: int | None = None) -> int:
    """Return how long a pod may take to end: not at all if it does not run, else as asked for."""
    spec = pod["spec"]
    if not spec.get("nodeName"):
        return 0
    if pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}:
        return 0
    grace_s: int = spec.get("terminationGracePeriodSeconds", 0) if asked_s is None else asked_s
    return 1 if grace_s < 0 else grace_s


def pod_ip(pod: JsonObject) -> str:
    """Return a pod's first address."""
    addresses = pod.get("status", {}).get("podIPs")
    return str(addresses[0].get("ip", "")) if addresses else ""


def spec_text(pod: JsonObject, name: str) -> str:
    """Return a text of a pod's spec, "" when it is absent."""
    return str(pod["spec"].get(name, ""))


def status_text(pod: JsonObject, name: str) -> str:
    """Return a text of a pod's status, "" when it is absent."""
    return str(pod.get("status", {}).get(name, ""))


def _select_by_own_labels(affinity: JsonObject, labels: dict[str, str]) -> None:
    for kind in ("podAffinity", "podAntiAffinity"):
        of_kind = affinity.get(kind, {})
        terms = list(of_kind.get(_TERMS[0], ()))
        terms += [weighted.get("podAffinityTerm", {}) for weighted in of_kind.get(_TERMS[1], ())]
        for term in terms:
            _add_expressions(term, term.get("matchLabelKeys", ()), "In", labels)
            _add_expressions(term, term.get("mismatchLabelKeys", ()), "NotIn", labels)


def _add_expressions(
    holder: JsonObject, keys: Sequence[str], operator: str, labels: dict[str, str]
) -> None:
    selector = holder.get("labelSelector")
    # Without a selector nothing matches, and keys would not change that.
    if selector is None:
        return
    for key in keys:
        if key in labels:
            expression = {"key": key, "operator": operator, "values": [labels[key]]}
            selector.setdefault("matchExpressions", []).append(expression)


def _copy_app_armor(spec: JsonObject, annotations: dict[str, str]) -> None:
    """Set the AppArmor field of containers that still use the annotation."""
    if spec.get("os", {}).get("name") == "windows":
        return
    of_pod = spec.get("securityContext", {}).get("appArmorProfile")
    for container, _ in each_container(spec, "spec"):
        annotation = annotations.get(APP_ARMOR + container.get("name", ""))
        if annotation is None or "appArmorProfile" in container.get("securityContext", {}):
            continue
        profile = app_armor_profile(annotation)
        if profile is not None and profile != of_pod:
            container.setdefault("securityContext", {})["appArmorProfile"] = profile
