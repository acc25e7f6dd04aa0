"""What containers that ask for TPUs are told: who is in their slice, and which of them they are.

A slice is a group, or a subgroup of it. Its processes find each other by TPU_WORKER_HOSTNAMES and
TPU_PROCESS_ADDRESSES, where those of the leader come first if it asks for TPUs itself; if not,
workers count from 0 (upstream's pkg/utils/accelerators).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from controllers.leader_workers import names
from controllers.leader_workers.names import annotations_of, labels_of
from kube.json_types import JsonObject

RESOURCE: Final = "google.com/tpu"
_HOST_NAMES: Final = "TPU_WORKER_HOSTNAMES"
_ADDRESSES: Final = "TPU_PROCESS_ADDRESSES"
_PORT: Final = "TPU_PROCESS_PORT"
_WORKER_ID: Final = "TPU_WORKER_ID"
_SLICE: Final = "TPU_NAME"
_FIRST_PORT: Final = 8476


class _Host(NamedTuple):
    """A slice's name, that of its leader, and the place of a pod in it."""

    name: str
    place: int


def wants_tpus(spec: JsonObject) -> bool:
    """Tell whether a pod asks for TPUs."""
    return bool(_asking(spec))


def _asking(spec: JsonObject) -> list[JsonObject]:
    found = []
    for part in ("containers", "initContainers"):
        for container in spec.get(part) or ():
            resources = container.get("resources") or {}
            for kind in ("limits", "requests"):
                if str((resources.get(kind) or {}).get(RESOURCE, "0")) != "0":
                    found.append(container)
                    break
    return found


def tell_of_slice(pod: JsonObject, size: int) -> None:
    """Give the containers of a pod that ask for TPUs their variables; it is changed in place.

    Args:
        pod: with its labels and annotations.
        size: of its group.
    """
    containers = _asking(pod["spec"])
    if not containers:
        return
    known = {one["name"] for one in containers[0].get("env") or ()}
    if known & {_HOST_NAMES, _WORKER_ID}:
        return
    in_subgroup = names.SUBGROUP_SIZE in annotations_of(pod)
    if in_subgroup:
        # Of those that ask only the first is told, as upstream.
        hosts, own, containers = *_subgroup(pod), containers[:1]
    else:
        hosts, own = _group(pod, size)
    ports = [_port_of(one) or str(_FIRST_PORT + at) for at, one in enumerate(containers)]
    count = len(containers)
    host_names = [host for host in hosts for _ in range(count)]
    addresses = [f"{host}:{port}" for host in hosts for port in ports]
    for at, container in enumerate(containers):
        variables = {
            _HOST_NAMES: ",".join(host_names),
            _WORKER_ID: str(own.place * count + at),
            _SLICE: own.name,
            _ADDRESSES: ",".join(addresses),
        }
        if not _port_of(container):
            variables[_PORT] = ports[at]
        told = [{"name": name, "value": value} for name, value in variables.items()]
        container["env"] = [*(container.get("env") or ()), *told]


def _port_of(container: JsonObject) -> str:
    for one in container.get("env") or ():
        if one["name"] == _PORT:
            return str(one.get("value", ""))
    return ""


def _is_leader(pod: JsonObject) -> bool:
    return labels_of(pod).get(names.WORKER_INDEX) == "0"


def _leader_of(pod: JsonObject) -> str:
    name: str = pod["metadata"]["name"]
    return name if _is_leader(pod) else name.rpartition("-")[0]


def _group(pod: JsonObject, size: int) -> tuple[list[str], _Host]:
    """Return the hosts of a group's slice, and the leader's name with the pod's place in it."""
    subdomain, leader = pod["spec"].get("subdomain", ""), _leader_of(pod)
    index = int(labels_of(pod)[names.WORKER_INDEX])
    hosts = [f"{leader}-{at}.{subdomain}" for at in range(1, size)]
    if _is_leader(pod) or annotations_of(pod).get(names.LEADER_WANTS_TPUS) == "true":
        return [f"{leader}.{subdomain}", *hosts], _Host(leader, index)
    return hosts, _Host(leader, index - 1)


def _subgroup(pod: JsonObject) -> tuple[list[str], _Host]:
    """Return the hosts of a subgroup's slice, and the leader's name with the pod's place in it."""
    labels, annotations = labels_of(pod), annotations_of(pod)
    subdomain, leader = pod["spec"].get("subdomain", ""), _leader_of(pod)
    size, index = int(annotations[names.SUBGROUP_SIZE]), int(labels[names.WORKER_INDEX])
    subgroup = int(labels.get(names.SUBGROUP_INDEX, "0"))
    leads = annotations.get(names.LEADER_WANTS_TPUS) == "true"
    place = index % size
    if index and not leads:
        place, subgroup = (index - 1) % size, (index - 1) // size
    first, last = size * subgroup + 1, size * (subgroup + 1)
    hosts = []
    if index == 0 or (leads and subgroup == 0):
        hosts.append(f"{leader}.{subdomain}")
        last -= 1
    elif leads:
        first, last = first - 1, last - 1
    hosts += [f"{leader}-{at}.{subdomain}" for at in range(first, last + 1)]
    return hosts, _Host(leader, place)
