"""How the endpoints of a Service are spread over slices (k8s.io/endpointslice, reconciler). Pure.

As few slices are written as can be, not as few kept as could be: endpoints stay where they are,
slices that change anyway are filled first, then one that has room for all the rest, then new ones.
New endpoints are placed in the order in which their pods came, so that pods that came together, and
will become ready together, are in the same slices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import orjson

from controllers.network import backends
from controllers.network.settled import PortsKey, Settled
from controllers.workloads.pods import PodBrief
from kube.json_types import JsonObject

ENDPOINTS_MAX: Final = 100
SERVICE_NAME: Final = "kubernetes.io/service-name"
MANAGED_BY: Final = "endpointslice.kubernetes.io/managed-by"
MANAGER: Final = "endpointslice-controller.k8s.io"
_RESERVED: Final = frozenset({SERVICE_NAME, MANAGED_BY, backends.HEADLESS})
_PREFIX_MAX: Final = 253 - 1
Identity = tuple[tuple[str, ...], str, str, str]


@dataclass(slots=True)
class Plan:
    """What is to be written.

    Attributes:
        create: new slices.
        update, delete: by name, as they are to be, and as they are.
        kept: by name, those that stay as they are.
    """

    create: list[JsonObject] = field(default_factory=list)
    update: dict[str, JsonObject] = field(default_factory=dict)
    delete: dict[str, JsonObject] = field(default_factory=dict)
    kept: dict[str, JsonObject] = field(default_factory=dict)


def name_of(piece: JsonObject) -> str:
    """Return a slice's name."""
    name: str = piece["metadata"]["name"]
    return name


def endpoints_of(piece: JsonObject) -> list[JsonObject]:
    """Return a slice's endpoints."""
    return piece.get("endpoints") or []


def identity(endpoint: JsonObject) -> Identity:
    """Return what makes an endpoint the same one; all else is updated in place (hashEndpoint)."""
    target = endpoint.get("targetRef") or {}
    return (
        tuple(sorted(endpoint["addresses"])),
        endpoint.get("hostname") or "",
        target.get("namespace", ""),
        target.get("name", ""),
    )


def is_same(one: JsonObject, other: JsonObject) -> bool:
    """Tell whether endpoints of one identity are alike in the rest (EndpointsEqualBeyondHash)."""
    if one.get("nodeName") != other.get("nodeName") or one.get("zone") != other.get("zone"):
        return False
    mine, its = one.get("conditions") or {}, other.get("conditions") or {}
    if any(mine.get(key) != its.get(key) for key in ("ready", "serving", "terminating")):
        return False
    target, its_target = one.get("targetRef"), other.get("targetRef")
    if target == its_target:
        return True
    if target is None or its_target is None:
        return False
    drop = "resourceVersion"
    return {**target, drop: ""} == {**its_target, drop: ""}


def endpoint_of(pod: PodBrief, zone: str, service: JsonObject, family: str) -> JsonObject | None:
    """Return the endpoint that a pod is, None if it has no address of the family."""
    addresses = backends.ips_of(pod, family)
    if not addresses:
        return None
    is_serving, is_terminating = pod.ready_s is not None, pod.is_deleting
    always = bool(service["spec"].get("publishNotReadyAddresses"))
    endpoint: JsonObject = {
        "addresses": addresses,
        "conditions": {
            "ready": always or (is_serving and not is_terminating),
            "serving": is_serving,
            "terminating": is_terminating,
        },
        "targetRef": backends.target_of(pod),
    }
    if pod.node:
        endpoint["nodeName"] = pod.node
    if zone:
        endpoint["zone"] = zone
    if hostname := backends.hostname_in(pod, service):
        endpoint["hostname"] = hostname
    return endpoint


def ports_of(pod: PodBrief, service: JsonObject) -> list[JsonObject]:
    """Return the ports of a Service that a pod has (getEndpointPorts)."""
    ports = []
    for port in service["spec"].get("ports") or ():
        number = backends.find_port(pod, port)
        if number is None:
            continue
        made: JsonObject = {
            "name": port.get("name", ""),
            "port": number,
            "protocol": port.get("protocol", "TCP"),
        }
        if (application := port.get("appProtocol")) is not None:
            made["appProtocol"] = application
        ports.append(made)
    return ports


def ports_key(ports: Iterable[JsonObject] | None) -> PortsKey:
    """Return what makes sets of ports the same, in whatever order."""
    return tuple(
        sorted(
            (
                # No name and an empty one are different to upstream.
                "-" if port.get("name") is None else "=" + port["name"],
                -1 if port.get("port") is None else port["port"],
                port.get("protocol") or "",
                "-" if port.get("appProtocol") is None else "=" + port["appProtocol"],
            )
            for port in ports or ()
        )
    )


def is_owned_by(piece: JsonObject, service: JsonObject) -> bool:
    """Tell whether a slice refers to this very Service as its owner."""
    return any(
        one["uid"] == service["metadata"]["uid"]
        and one["kind"] == "Service"
        and one["apiVersion"] == "v1"
        for one in piece["metadata"].get("ownerReferences") or ()
    )


def labels_for(service: JsonObject) -> dict[str, str]:
    """Return the labels of a Service's slices: its own, and what says whose they are."""
    own = service["metadata"].get("labels") or {}
    labels = {key: value for key, value in own.items() if key not in _RESERVED}
    if backends.is_headless(service):
        labels[backends.HEADLESS] = ""
    labels[SERVICE_NAME] = service["metadata"]["name"]
    labels[MANAGED_BY] = MANAGER
    return labels


def _has_labels(piece: JsonObject, labels: dict[str, str]) -> bool:
    own = piece["metadata"].get("labels") or {}
    mine = {key: value for key, value in own.items() if key not in _RESERVED}
    return mine == {key: value for key, value in labels.items() if key not in _RESERVED}


def new_slice(
    service: JsonObject, ports: Sequence[JsonObject], family: str, endpoints: list[JsonObject]
) -> JsonObject:
    """Return a slice that is to be created; the server finds it a name."""
    metadata = service["metadata"]
    owner = {
        "apiVersion": "v1",
        "kind": "Service",
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": prefix_of(metadata["name"]),
            "namespace": metadata["namespace"],
            "labels": labels_for(service),
            "ownerReferences": [owner],
        },
        "addressType": family,
        "ports": list(ports),
        "endpoints": endpoints,
    }


def prefix_of(name: str) -> str:
    """Return what names of slices begin with."""
    return f"{name}-" if len(name) <= _PREFIX_MAX else name


def is_placeholder(piece: JsonObject, service: JsonObject) -> bool:
    """Tell whether a slice is what a Service without endpoints has: one without any."""
    return (
        not endpoints_of(piece)
        and not piece.get("ports")
        and (piece["metadata"].get("labels") or {}) == labels_for(service)
    )


class Shape(NamedTuple):
    """What slices of one spreading have alike: ports, family, how many endpoints at most."""

    ports: Sequence[JsonObject]
    family: str
    most: int = ENDPOINTS_MAX


def spread(
    service: JsonObject,
    desired: dict[Identity, JsonObject],
    existing: Sequence[JsonObject],
    shape: Shape,
    settled: dict[str, Settled] | None = None,
) -> Plan:
    """Return what is to be written for the endpoints of one set of ports and one family.

    Args:
        service: whose they are.
        desired: the endpoints; emptied.
        existing: the slices that have these ports, decoded for this call; changed in place.
        shape: of all of them.
        settled: by name, slices that stay as they are if no room is needed; one that is filled up
            is taken out.
    """
    ports, family, most = shape
    rooms = {} if settled is None else settled
    plan, labels = Plan(), labels_for(service)
    for piece in existing:
        _keep(plan, piece, desired, labels)
    _fill(plan, desired, most)
    while desired:
        room = _find_room(plan, rooms, len(desired), most)
        if room is None:
            plan.create.append(new_slice(service, ports, family, _take(desired, most)))
            continue
        piece = plan.kept.pop(room) if room in plan.kept else orjson.loads(rooms.pop(room).raw)
        piece["endpoints"] = endpoints_of(piece) + _take(desired, most)
        plan.update[room] = piece
    return plan


def _keep(
    plan: Plan, piece: JsonObject, desired: dict[Identity, JsonObject], labels: dict[str, str]
) -> None:
    """Decide on an existing slice by what of it is still wanted."""
    before, after = endpoints_of(piece), []
    changed = False
    for endpoint in before:
        wanted = desired.pop(identity(endpoint), None)
        if wanted is None:
            changed = True
        elif is_same(wanted, endpoint):
            # The one that is there has its hints.
            after.append(endpoint)
        else:
            after.append(wanted)
            changed = True
    name = name_of(piece)
    if changed and not after:
        plan.delete[name] = piece
    elif changed or not _has_labels(piece, labels):
        piece["endpoints"] = after
        piece["metadata"]["labels"] = labels
        plan.update[name] = piece
    else:
        plan.kept[name] = piece


def _fill(plan: Plan, desired: dict[Identity, JsonObject], most: int) -> None:
    """Fill those that are written anyway, the fullest first."""
    for piece in sorted(plan.update.values(), key=lambda one: -len(endpoints_of(one))):
        if not desired:
            return
        room = most - len(endpoints_of(piece))
        if room > 0:
            piece["endpoints"] = endpoints_of(piece) + _take(desired, room)


def _find_room(plan: Plan, settled: Mapping[str, Settled], count: int, most: int) -> str | None:
    """Return the name of the slice that will be fullest with so many more (getSliceToFill)."""
    if count >= most:
        return None
    closest, found = most, None
    filled = {name: len(endpoints_of(piece)) for name, piece in plan.kept.items()}
    filled |= {name: len(piece.pods) for name, piece in settled.items()}
    for name, number in filled.items():
        left = most - count - number
        if 0 <= left < closest:
            closest, found = left, name
    return found


def _take(desired: dict[Identity, JsonObject], count: int) -> list[JsonObject]:
    taken = []
    for key in list(desired)[:count] if len(desired) > count else list(desired):
        taken.append(desired.pop(key))
    return taken
