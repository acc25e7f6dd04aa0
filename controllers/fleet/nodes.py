"""The nodes of the fleet: registered at the start, followed by one watch, mended when they differ.

Every node with the fleet's label is kept alive, whoever made it: one that is made with that label
is taken over, and one that is deleted is a machine that is gone, until the fleet is started again.
Faults come from a node's annotations and from stages, and go when they do.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import orjson

from controllers.fleet.fleet_node import FAULT, FAULTS, SLOW, Node
from controllers.fleet.lives import Stage, faults_of
from controllers.fleet.machines import (
    SIMULATED,
    Machine,
    Resources,
    fixed_status,
    node_of,
    resources_of,
)
from controllers.fleet.node_status import KUBELETS, accelerator_of, conditions, shared
from controllers.fleet.plan import INSTANCE_TYPES, FleetPlan
from kube import times
from kube.informers.changes import Change, Told
from kube.json_types import JsonObject
from runtime.clock import Clock

PATH: Final = "/api/v1/nodes"
QUERY: Final = {"labelSelector": SIMULATED}
_TYPE_LABEL: Final = "node.kubernetes.io/instance-type"
_SHARED_MAX: Final = 4096
_SLOW_MAX: Final = 1_000_000.0
_log = logging.getLogger(__name__)


class NodeBook:
    """The nodes there are; a sink of a reflector.

    Args of the constructor:
        plan: the fleet's.
        clock: for times in statuses.
        stages: those that count now.

    Attributes:
        nodes: by name.
        on_node: is told of each node that has come, or changed in what counts for its pods.
        on_dirty: is told of each whose status has to be written.
    """

    def __init__(self, plan: FleetPlan, clock: Clock, stages: Callable[[], list[Stage]]) -> None:
        self.nodes: dict[str, Node] = {}
        self.on_node: Callable[[Node], None] = lambda _node: None
        self.on_dirty: Callable[[Node], None] = lambda _node: None
        self._plan = plan
        self._clock = clock
        self._stages = stages
        self._resources: dict[str, Resources] = {}
        self._labels: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
        self._told: set[str] = set()
        self._is_initial = True

    def begin(self) -> None:
        """See Sink."""
        self._told = set()
        self._is_initial = True

    def take(self, events: Sequence[Told]) -> None:
        """See Sink."""
        for told in events:
            name: str = told.object["metadata"]["name"]
            if told.change is Change.DELETED:
                self._forget(name)
                continue
            if self._is_initial:
                self._told.add(name)
            try:
                self._observe(name, told.object)
            except (KeyError, TypeError, ValueError, AttributeError):
                # One node that is not as nodes are must not stop all others.
                _log.exception("node %s cannot be kept alive", name)

    def sweep(self) -> Iterator[None]:
        """See Sink."""
        self._is_initial = False
        for name in [name for name, node in self.nodes.items() if node.is_alive]:
            if name not in self._told:
                self._forget(name)
                yield
        self._told = set()

    def restage(self) -> None:
        """Look at all nodes again: stages have changed."""
        for node in self.nodes.values():
            self._find_faults(node)

    def _forget(self, name: str) -> None:
        node = self.nodes.pop(name, None)
        if node is not None:
            node.is_alive = False
            self.on_node(node)

    def _observe(self, name: str, obj: JsonObject) -> None:
        metadata = obj["metadata"]
        node = self.nodes.get(name)
        if node is not None and node.uid not in ("", metadata["uid"]):
            self._forget(name)
            node = None
        if node is None:
            node = self.nodes[name] = Node(name)
        is_new = not node.is_alive
        node.is_alive, node.uid = True, metadata["uid"]
        node.labels = self._shared_labels(name, metadata.get("labels") or {})
        if is_new:
            self._learn(node, obj)
        self._read_slow(node, metadata.get("annotations") or {})
        node.own_faults = _faults(metadata.get("annotations") or {})
        changed = self._find_faults(node)
        if is_new and not changed:
            self.on_node(node)
        if not is_new:
            node.is_doubted = _contradicts(obj.get("status") or {}, node)
        elif self._differs(obj.get("status") or {}):
            self._mark(node)

    def _learn(self, node: Node, obj: JsonObject) -> None:
        """Take over what the API says of a node that is new here."""
        if cidr := (obj.get("spec") or {}).get("podCIDR"):
            network = ipaddress.ip_network(cidr, strict=False)
            if network.version == 4:
                node.network = int(network.network_address) & ~0xFF
        known = {}
        for one in (obj.get("status") or {}).get("conditions") or ():
            since = one.get("lastTransitionTime")
            since_s = float(times.epoch_seconds(since)) if since else self._clock.now_s()
            known[one["type"]] = (one.get("status", ""), since_s)
        if known:
            node.conditions = shared(known)

    def _shared_labels(self, name: str, labels: dict[str, str]) -> dict[str, str]:
        """Return labels without the one that names the node: those of most are the same."""
        key = tuple(item for item in sorted(labels.items()) if item[1] != name)
        found = self._labels.get(key)
        if found is None:
            if len(self._labels) >= _SHARED_MAX:
                self._labels.clear()
            found = self._labels[key] = dict(key)
        return found

    def _read_slow(self, node: Node, annotations: JsonObject) -> None:
        try:
            factor = float(annotations.get(SLOW, 1))
        except ValueError:
            factor = 1.0
        node.slow = factor if 0 <= factor <= _SLOW_MAX else 1.0

    def _find_faults(self, node: Node) -> bool:
        """Note what is wrong with a node; return whether that is news."""
        staged = faults_of(self._stages(), node.name, node.labels)
        found = tuple(one for one in FAULTS if one in node.own_faults or one in staged)
        if found == node.faults:
            return False
        node.faults = found
        self.on_node(node)
        self._mark(node)
        return True

    def _mark(self, node: Node) -> None:
        if not node.is_dirty:
            node.is_dirty = True
            self.on_dirty(node)

    def _differs(self, status: JsonObject) -> bool:
        endpoint = (status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}
        return not status.get("capacity") or endpoint.get("Port", 0) != self._plan.kubelet_port

    def resources(self, instance_type: str) -> Resources:
        """Return what machines of a type have; an unknown type is the plan's first."""
        found = self._resources.get(instance_type)
        if found is None:
            more = self._plan.instance_types
            known = instance_type in INSTANCE_TYPES or instance_type in more
            name = instance_type if known else self._plan.templates[0].instance_type
            found = self._resources[instance_type] = resources_of(name, more)
        return found

    def allocatable(self, node: Node) -> dict[str, str]:
        """Return what of a node is for pods."""
        return self.resources(node.labels.get(_TYPE_LABEL, "")).allocatable

    def new_node(self, machine: Machine) -> bytes:
        """Return the Node that registers a machine."""
        node = self.nodes.setdefault(machine.name, Node(machine.name))
        node.is_new = True
        status = self._status(node, machine.template.instance_type)
        return orjson.dumps(node_of(machine, status))

    def status_patch(self, node: Node, *, whole: bool) -> bytes:
        """Return the strategic merge patch of a node's status.

        Args:
            node: whose.
            whole: with what does not change, too.
        """
        kind = node.labels.get(_TYPE_LABEL, "")
        status: Any = self._status(node, kind)
        if not whole:
            status = {"conditions": status["conditions"]}
        return orjson.dumps({"status": status})

    def _status(self, node: Node, instance_type: str) -> JsonObject:
        resources = self.resources(instance_type)
        status = fixed_status(node.name, resources, self._plan.host, self._plan.kubelet_port)
        accelerator = accelerator_of(resources.capacity)
        status["conditions"] = conditions(node, accelerator, self._clock.now_s())
        return status


def _contradicts(status: JsonObject, node: Node) -> bool:
    """Tell whether the API says else of a node than was told last, as of one long silent."""
    known = node.conditions
    for one in status.get("conditions") or ():
        kind = one["type"]
        if kind in KUBELETS and kind in known and known[kind][0] != one.get("status"):
            return True
    return False


def _faults(annotations: JsonObject) -> tuple[str, ...]:
    text = annotations.get(FAULT)
    return tuple(one.strip() for one in text.split(",")) if text else ()
