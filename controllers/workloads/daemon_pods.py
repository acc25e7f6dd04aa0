"""The pods of a DaemonSet: one template, bound to a node by affinity (daemon/util)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from controllers.workloads.claims import Kind
from controllers.workloads.history import POD_LABEL
from controllers.workloads.node_fit import tolerations_of
from controllers.workloads.pod_control import pod_from_template
from controllers.workloads.pods import PodBrief
from kube.json_types import JsonObject

DAEMON_SET: Final = Kind("apps/v1", "DaemonSet", "daemonsets")
GENERATION: Final = "deprecated.daemonset.template.generation"
GENERATION_LABEL: Final = "pod-template-generation"
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"


def generation_of(daemon_set: JsonObject) -> str:
    """Return the generation of a set's template, "" if none is known."""
    text = (daemon_set["metadata"].get("annotations") or {}).get(GENERATION, "")
    return text if text.isascii() and text.isdigit() else ""


def pods_for(daemon_set: JsonObject, digest: str) -> Callable[[str], JsonObject]:
    """Return what makes a set's pod for a node.

    Args:
        daemon_set: whose pods they are.
        digest: of its template's revision.
    """
    template = daemon_set["spec"]["template"]
    metadata = {**(template.get("metadata") or {})}
    labels = {**(metadata.get("labels") or {}), POD_LABEL: digest}
    if generation := generation_of(daemon_set):
        labels[GENERATION_LABEL] = generation
    metadata["labels"] = labels
    spec = {**template["spec"], "tolerations": tolerations_of(template["spec"])}
    pod = pod_from_template(DAEMON_SET, daemon_set, {"metadata": metadata, "spec": spec})
    affinity = spec.get("affinity") or {}

    def make(node: str) -> JsonObject:
        # It replaces what the template requires: the node was chosen by that already.
        only = {"key": "metadata.name", "operator": "In", "values": [node]}
        required = {"nodeSelectorTerms": [{"matchFields": [only]}]}
        by_node = {**(affinity.get("nodeAffinity") or {}), _REQUIRED: required}
        return {**pod, "spec": {**spec, "affinity": {**affinity, "nodeAffinity": by_node}}}

    return make


def node_of(pod: PodBrief) -> str:
    """Return the node that a daemon is on or made for, "" if it names none."""
    return pod.node or pod.target


class Freshness:
    """Tells a set's new pods from its old ones."""

    def __init__(self, daemon_set: JsonObject, digest: str) -> None:
        generation = generation_of(daemon_set)
        self._digest = (POD_LABEL, digest)
        self._generation = (GENERATION_LABEL, generation) if generation else None

    def has_digest(self, pod: PodBrief) -> bool:
        """Tell whether a pod was made by the current revision."""
        return self._digest in pod.labels

    def is_new(self, pod: PodBrief) -> bool:
        """Tell whether a pod is of the current template, by its revision or its generation."""
        return self._digest in pod.labels or self._generation in pod.labels
