"""Who a StatefulSet's pods are: names by ordinals, and what belongs to each.

A pod's name is its set's and its ordinal; of these come its host name, its claims' names, and the
labels by which services find one pod (stateful_set_utils.go).
"""

from __future__ import annotations

from typing import Final

from controllers.workloads.claims import Kind
from controllers.workloads.history import POD_LABEL
from controllers.workloads.pod_control import pod_from_template
from controllers.workloads.pods import PodBrief
from kube.json_types import JsonObject

STATEFUL_SET: Final = Kind("apps/v1", "StatefulSet", "statefulsets")
NAME_LABEL: Final = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL: Final = "apps.kubernetes.io/pod-index"
_INT32_MAX: Final = 2**31 - 1


def ordinal_of(set_name: str, pod_name: str) -> int:
    """Return which of a set's pods has a name, -1: none."""
    parent, _, digits = pod_name.rpartition("-")
    if parent != set_name or not (digits.isascii() and digits.isdigit()):
        return -1
    ordinal = int(digits)
    # "web-01" is none: the pod of that ordinal has another name.
    return ordinal if ordinal <= _INT32_MAX and digits == str(ordinal) else -1


def identity(name: str) -> dict[str, str]:
    """Return the labels that a pod of a set has by its name."""
    return {NAME_LABEL: name, INDEX_LABEL: name.rpartition("-")[2]}


def has_identity(pod: PodBrief) -> bool:
    """Tell whether a pod has the label by which it is found alone."""
    return (NAME_LABEL, pod.name) in pod.labels


def revision_of(pod: PodBrief) -> str:
    """Return the name of the revision that a pod was made by."""
    return next((value for key, value in pod.labels if key == POD_LABEL), "")


def new_pod(
    stateful_set: JsonObject, template: JsonObject, revision: str, ordinal: int
) -> JsonObject:
    """Return a pod of a set, not yet written.

    Args:
        stateful_set: whose it is.
        template: of the revision.
        revision: its name.
        ordinal: of the pod.
    """
    pod = pod_from_template(STATEFUL_SET, stateful_set, template)
    name = f"{stateful_set['metadata']['name']}-{ordinal}"
    metadata = pod["metadata"]
    metadata["name"] = name
    metadata["labels"] = {**metadata.get("labels", {}), **identity(name), POD_LABEL: revision}
    spec = pod["spec"] = {**pod["spec"], "hostname": name}
    spec.pop("subdomain", None)
    if service := stateful_set["spec"].get("serviceName"):
        spec["subdomain"] = service
    claims = [
        {
            "name": one["metadata"]["name"],
            "persistentVolumeClaim": {"claimName": claim_name(one, name)},
        }
        for one in templates_of(stateful_set)
    ]
    own = {volume["name"] for volume in claims}
    volumes = [one for one in spec.get("volumes") or () if one["name"] not in own]
    if claims or volumes:
        spec["volumes"] = [*claims, *volumes]
    return pod


def templates_of(stateful_set: JsonObject) -> list[JsonObject]:
    """Return the templates of the claims that each pod has."""
    templates: list[JsonObject] = stateful_set["spec"].get("volumeClaimTemplates") or []
    return templates


def claim_name(template: JsonObject, pod_name: str) -> str:
    """Return what a pod's claim by a template is called."""
    return f"{template['metadata']['name']}-{pod_name}"


def new_claim(stateful_set: JsonObject, template: JsonObject, pod_name: str) -> JsonObject:
    """Return a pod's claim by a template, not yet written."""
    metadata = {**template["metadata"]}
    labels = (stateful_set["spec"].get("selector") or {}).get("matchLabels") or {}
    metadata["name"] = claim_name(template, pod_name)
    metadata["namespace"] = stateful_set["metadata"]["namespace"]
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": template["spec"],
    }
