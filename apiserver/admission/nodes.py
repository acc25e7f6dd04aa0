"""What nodes have to do with: taints of new ones, zones of pods, and whether a resize fits."""

from __future__ import annotations

from typing import Final

from apiserver.admission.attributes import CREATE, UPDATE, Attributes
from apiserver.admission.chain import Plugin
from apiserver.admission.facts import Facts
from apiserver.resources import Resource
from kube.field import quote
from kube.json_types import JsonObject
from kube.quantity import Quantity
from kube.quota.amounts import ZERO, read
from kube.quota.pods import totals

_NOT_READY: Final = "node.kubernetes.io/not-ready"
_NO_SCHEDULE: Final = "NoSchedule"
_TOPOLOGY: Final = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")
_OS: Final = "kubernetes.io/os"


class TaintNodesByCondition(Plugin):
    """Nothing is scheduled to a new node before its controller has seen that it is ready."""

    name = "TaintNodesByCondition"
    mutates = True

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return resource.storage == "nodes" and not subresource and operation == CREATE

    def admit(self, attributes: Attributes) -> None:
        """See Plugin."""
        assert attributes.obj is not None
        spec = attributes.obj.setdefault("spec", {})
        taints = spec.get("taints") or []
        if not any((one["key"], one["effect"]) == (_NOT_READY, _NO_SCHEDULE) for one in taints):
            spec["taints"] = [*taints, {"key": _NOT_READY, "effect": _NO_SCHEDULE}]


class PodTopologyLabels(Plugin):
    """A pod learns its node's zone and region: with its binding, or as it is created there.

    What it says of them itself is overwritten; no other labels are copied (KEP-4742).
    """

    name = "PodTopologyLabels"
    mutates = True

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        is_pod = resource.storage == "pods" and subresource in {"", "binding"}
        return is_pod and operation == CREATE

    def admit(self, attributes: Attributes) -> None:
        """See Plugin."""
        obj = attributes.obj
        assert obj is not None
        if attributes.subresource:
            target = obj.get("target") or {}
            node = target.get("name", "") if target.get("kind") == "Node" else ""
        else:
            node = obj["spec"].get("nodeName", "")
        copied = self._facts.labels("nodes", "", node, _TOPOLOGY) if node else None
        if copied:
            obj["metadata"]["labels"] = {**(obj["metadata"].get("labels") or {}), **copied}


class _PlacedPodValidator(Plugin):
    """Holds a change of a pod's spec against the node that it is on."""

    validates = True

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def validate(self, attributes: Attributes) -> None:
        """See Plugin."""
        pod, old = attributes.obj, attributes.old
        assert pod is not None
        assert old is not None
        same = pod["metadata"].get("generation") == old["metadata"].get("generation")
        if pod["spec"].get("nodeName") and not same:
            self._judge(attributes, pod, old)

    def _judge(self, attributes: Attributes, pod: JsonObject, old: JsonObject) -> None:
        raise NotImplementedError

    def _node(self, attributes: Attributes, name: str) -> JsonObject:
        node = self._facts.read("nodes", "", name)
        if node is None:
            raise attributes.forbidden(f"node {quote(name)} not found")
        return node


class PodResizeValidator(_PlacedPodValidator):
    """A pod asks for no more than its node has, and only nodes with Linux can resize it."""

    name = "PodResizeValidator"

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return resource.storage == "pods" and subresource == "resize" and operation == UPDATE

    def _judge(self, attributes: Attributes, pod: JsonObject, _old: JsonObject) -> None:
        name = pod["spec"]["nodeName"]
        node = self._node(attributes, name)
        faults = _too_much(pod, node)
        if faults:
            raise attributes.forbidden(
                f"Node didn't have enough allocatable resources: {'; '.join(faults)}"
            )
        system = (node["metadata"].get("labels") or {}).get(_OS, "")
        if system != "linux":
            raise attributes.forbidden(
                f"pod resize is only supported on linux nodes, node {quote(name)} is "
                f"{quote(system)}"
            )


class NodeDeclaredFeatureValidator(_PlacedPodValidator):
    """A pod that runs is changed only in ways that its node says it can do (KEP-5328)."""

    name = "NodeDeclaredFeatureValidator"

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        is_pod = resource.storage == "pods" and subresource in {"", "resize"}
        return is_pod and operation == UPDATE

    def _judge(self, attributes: Attributes, pod: JsonObject, old: JsonObject) -> None:
        needed = needed_features(pod, old)
        if not needed:
            return
        name = pod["spec"]["nodeName"]
        node = self._node(attributes, name)
        declared = (node.get("status") or {}).get("declaredFeatures") or ()
        if missing := [feature for feature in needed if feature not in declared]:
            raise attributes.forbidden(
                f"pod update requires features {', '.join(missing)} which are not available on "
                f"node {quote(name)}"
            )


def needed_features(pod: JsonObject, old: JsonObject) -> list[str]:
    """Return what a node has to be able to do to bring about a change of a pod."""
    new_spec, old_spec = pod["spec"], old["spec"]
    needed = []
    is_guaranteed = (old.get("status") or {}).get("qosClass") == "Guaranteed"
    if is_guaranteed and _cpu_of(new_spec) != _cpu_of(old_spec):
        needed.append("GuaranteedQoSPodCPUResize")
    if new_spec.get("resources") != old_spec.get("resources"):
        needed.append("InPlacePodLevelResourcesVerticalScaling")
    return needed


def _cpu_of(spec: JsonObject) -> list[Quantity]:
    containers = ((one.get("resources") or {}).get("requests") for one in spec["containers"])
    return [read(requests).get("cpu", ZERO) for requests in containers]


def _too_much(pod: JsonObject, node: JsonObject) -> list[str]:
    allocatable = read((node.get("status") or {}).get("allocatable"))
    bare = {"metadata": pod["metadata"], "spec": pod["spec"]}
    requests = totals(bare, "requests")
    cpu = requests.get("cpu", ZERO).milli_value, allocatable.get("cpu", ZERO).milli_value
    memory = requests.get("memory", ZERO).value, allocatable.get("memory", ZERO).value
    return [
        f"{name}, requested: {asked}, allocatable: {there}"
        for name, (asked, there) in (("cpu", cpu), ("memory", memory))
        if asked > there
    ]
