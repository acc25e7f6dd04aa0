"""What nodes look like: instance types, the machines of a fleet, and Node objects as kubelets
write them.

A machine's number decides its name, zone and pods' network, so that a fleet that is started again
is the same one. Who says which machines there are is a `Provider`.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from controllers.fleet.plan import INSTANCE_TYPES, FleetPlan, Template
from kube import quantity
from kube.builtin_kinds import KUBERNETES_VERSION
from kube.json_types import JsonObject

GROUP: Final = "fleet.ultraplane.dev"
USER_AGENT: Final = "kubelet/ultraplane-fleet"
"""What stands before the slash is who manages what is written, as of a kubelet's."""
SIMULATED: Final = f"{GROUP}/template"
"""The label of nodes that a fleet keeps alive: which template they are of."""
_DEFAULTS: Final = {"ephemeral-storage": "100Gi", "pods": "110"}
_RESERVED: Final = {"cpu": "100m", "memory": "100Mi"}
"""What is no pod's, as kubelets are told to leave to themselves."""
_NETWORK_BITS: Final = 8
OS: Final = "linux"
ARCHITECTURE: Final = "amd64"
_DECLARED: Final = ("GuaranteedQoSPodCPUResize", "InPlacePodLevelResourcesVerticalScaling")
"""What kubelets of this version say they can do with pods that run, by upstream's names."""


class Machine(NamedTuple):
    """A machine that is to be a node.

    Attributes:
        network: its pods' network, an IPv4 number; 0: whatever its Node says.
    """

    name: str
    template: Template
    zone: str
    network: int = 0


class Provider(Protocol):
    """Who says which machines there are; a fleet makes nodes of them."""

    def machines(self) -> Iterator[Machine]:
        """Yield those that are to be registered at the start."""
        ...


@dataclass(frozen=True, slots=True)
class FixedFleet:
    """The machines of a plan: as many as it says, templates by their weights, in turn."""

    plan: FleetPlan

    def machines(self) -> Iterator[Machine]:
        """See Provider."""
        turns = [one for one in self.plan.templates for _ in range(one.weight)]
        counts = {one.name: 0 for one in turns}
        networks = _networks(self.plan.pod_cidrs)
        for number in range(self.plan.nodes):
            template = turns[number % len(turns)]
            count = counts[template.name]
            counts[template.name] += 1
            zone = template.zones[count % len(template.zones)]
            yield Machine(f"{template.name}-{count}", template, zone, next(networks, 0))


def _networks(ranges: Sequence[str]) -> Iterator[int]:
    for text in ranges:
        whole = ipaddress.IPv4Network(text)
        for at in range(whole.num_addresses >> _NETWORK_BITS):
            yield int(whole.network_address) + (at << _NETWORK_BITS)


def address_text(number: int) -> str:
    """Return an IPv4 address as text."""
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


class Resources(NamedTuple):
    """What a machine has, and what of it is for pods."""

    capacity: dict[str, str]
    allocatable: dict[str, str]


def resources_of(instance_type: str, more: Mapping[str, Mapping[str, str]]) -> Resources:
    """Return what machines of a type have.

    Raises:
        KeyError: there is no such type.
        ValueError: a quantity is none.
    """
    capacity = {**_DEFAULTS, **(more.get(instance_type) or INSTANCE_TYPES[instance_type])}
    allocatable = dict(capacity)
    for name, reserved in _RESERVED.items():
        left = quantity.parse(capacity[name]) - quantity.parse(reserved)
        allocatable[name] = str(left)
    return Resources(capacity, allocatable)


def labels_of(machine: Machine) -> dict[str, str]:
    """Return the labels of a machine's node, as kubelets and clouds set them."""
    template = machine.template
    return {
        "kubernetes.io/arch": ARCHITECTURE,
        "kubernetes.io/os": OS,
        "kubernetes.io/hostname": machine.name,
        "node.kubernetes.io/instance-type": template.instance_type,
        "topology.kubernetes.io/region": "simulated",
        "topology.kubernetes.io/zone": machine.zone,
        **template.labels,
        SIMULATED: template.name,
    }


def node_of(machine: Machine, status: JsonObject) -> JsonObject:
    """Return a Node as a kubelet creates it."""
    spec: JsonObject = {"providerID": f"fleet:///{machine.zone}/{machine.name}"}
    if machine.network:
        cidr = f"{address_text(machine.network)}/{32 - _NETWORK_BITS}"
        spec |= {"podCIDR": cidr, "podCIDRs": [cidr]}
    if machine.template.taints:
        spec["taints"] = list(machine.template.taints)
    metadata: JsonObject = {"name": machine.name, "labels": labels_of(machine)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    }


def fixed_status(name: str, resources: Resources, host: str, port: int) -> JsonObject:
    """Return what does not change of a node's status."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    status: JsonObject = {
        "capacity": resources.capacity,
        "allocatable": resources.allocatable,
        "addresses": [
            {"type": "InternalIP", "address": host},
            {"type": "Hostname", "address": name},
        ],
        "nodeInfo": {
            "machineID": digest[:32],
            "systemUUID": f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-"
            f"{digest[20:32]}",
            "bootID": f"{digest[32:40]}-{digest[40:44]}-{digest[44:48]}-{digest[48:52]}-"
            f"{digest[52:64]}",
            "kernelVersion": "6.12.0",
            "osImage": "Simulated Linux",
            "containerRuntimeVersion": "containerd://2.1.0",
            "kubeletVersion": f"v{KUBERNETES_VERSION}",
            "kubeProxyVersion": "",
            "operatingSystem": OS,
            "architecture": ARCHITECTURE,
        },
        "declaredFeatures": list(_DECLARED),
        "images": [{"names": ["registry.k8s.io/pause:3.10"], "sizeBytes": 320368}],
    }
    if port:
        status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": port}}
    return status
