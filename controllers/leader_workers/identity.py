"""What a pod of a group is told of itself: its place in the group, and who leads it.

A StatefulSet's template can't say what differs from pod to pod. Upstream has a webhook complete
each pod as it is created; but a webhook for pods has every pod of the cluster wait for it. Here
the controller of StatefulSets has what it is about to create completed, by `complete`. Both do the
same to a pod that is complete already, nothing, so a webhook may be there besides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from controllers.leader_workers import names
from controllers.leader_workers.names import annotations_of
from controllers.leader_workers.tpus import tell_of_slice
from controllers.workloads.stateful_identity import ordinal_of
from kube.json_types import JsonObject

_OWN: Final = (names.LEADER_ADDRESS, names.GROUP_SIZE, names.OWN_INDEX)
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"


def complete(pod: JsonObject, namespace: str) -> JsonObject:
    """Return a pod that is about to be created, with what it is by its place in a group.

    A pod of no group is returned as it is. What is given is not changed.
    """
    metadata = pod["metadata"]
    labels = metadata.get("labels") or {}
    size = (metadata.get("annotations") or {}).get(names.SIZE, "")
    if names.NAME not in labels or not size.isdecimal():
        return pod
    made = {**pod, "metadata": {**metadata, "labels": dict(labels)}, "spec": {**pod["spec"]}}
    if labels.get(names.WORKER_INDEX) == "0":
        is_member = _complete_leader(made, namespace)
    else:
        is_member = _complete_worker(made, int(size))
    if not is_member:
        return pod
    for part in ("containers", "initContainers"):
        if part in made["spec"]:
            made["spec"][part] = [{**container} for container in made["spec"][part]]
    tell_of_slice(made, int(size))
    _tell_of_group(made, size, namespace)
    return made


def group_key(parent: str, name: str) -> str:
    """Return what tells a group, or a subgroup, from all others."""
    return hashlib.sha1(f"{parent}/{name}".encode(), usedforsecurity=False).hexdigest()


def _complete_leader(pod: JsonObject, namespace: str) -> bool:
    metadata, labels, annotations = pod["metadata"], pod["metadata"]["labels"], annotations_of(pod)
    name: str = metadata["name"]
    index = ordinal_of(name.rpartition("-")[0], name)
    if index < 0:
        return False
    labels.setdefault(names.GROUP_INDEX, str(index))
    if annotations.get(names.SUBDOMAIN) == names.UNIQUE:
        pod["spec"]["subdomain"] = name
    key = labels.setdefault(names.GROUP_KEY, group_key(namespace, name))
    if topology := annotations.get(names.EXCLUSIVE):
        _make_exclusive(pod, key, topology, names.GROUP_KEY)
    is_member = annotations.get(names.SUBGROUP_TYPE) != names.LEADER_EXCLUDED
    if names.SUBGROUP_SIZE in annotations and is_member:
        # The leader is in the first subgroup.
        _join_subgroup(pod, name, "0")
    return True


def _complete_worker(pod: JsonObject, size: int) -> bool:
    metadata, labels, annotations = pod["metadata"], pod["metadata"]["labels"], annotations_of(pod)
    name: str = metadata["name"]
    index = ordinal_of(name.rpartition("-")[0], name)
    if index < 0 or names.GROUP_INDEX not in labels:
        return False
    labels[names.WORKER_INDEX] = str(index)
    if (text := annotations.get(names.SUBGROUP_SIZE, "")).isdecimal() and int(text):
        leader = annotations.get(names.LEADER_NAME, "")
        _join_subgroup(pod, leader, str(subgroup_of(size, int(text), index)))
    return True


def subgroup_of(size: int, subgroup_size: int, index: int) -> int:
    """Return the subgroup of a worker; where a leader is one too many, it counts for nobody."""
    if (size - 1) % subgroup_size == 0 and size % subgroup_size:
        return (index - 1) // subgroup_size
    return index // subgroup_size


def _join_subgroup(pod: JsonObject, leader: str, index: str) -> None:
    labels, annotations = pod["metadata"]["labels"], annotations_of(pod)
    if labels.get(names.SUBGROUP_INDEX):
        return
    key = group_key(leader, index)
    labels[names.SUBGROUP_INDEX], labels[names.SUBGROUP_KEY] = index, key
    if topology := annotations.get(names.SUBGROUP_EXCLUSIVE):
        _make_exclusive(pod, key, topology, names.SUBGROUP_KEY)


def _make_exclusive(pod: JsonObject, key: str, topology: str, label: str) -> None:
    """Have a pod go where those of its key are, and none of another is."""
    affinity = dict(pod["spec"].get("affinity") or {})
    near, far = affinity.get("podAffinity") or {}, affinity.get("podAntiAffinity") or {}
    if _names(near, topology) and _names(far, topology):
        return
    others = [
        {"key": label, "operator": "Exists"},
        {"key": label, "operator": "NotIn", "values": [key]},
    ]
    own = [{"key": label, "operator": "In", "values": [key]}]
    affinity["podAffinity"] = _with_term(near, own, topology)
    affinity["podAntiAffinity"] = _with_term(far, others, topology)
    pod["spec"]["affinity"] = affinity


def _names(part: JsonObject, topology: str) -> bool:
    return any(term.get("topologyKey") == topology for term in part.get(_REQUIRED) or ())


def _with_term(part: JsonObject, rules: Sequence[Any], topology: str) -> JsonObject:
    term = {"labelSelector": {"matchExpressions": list(rules)}, "topologyKey": topology}
    return {**part, _REQUIRED: [*(part.get(_REQUIRED) or ()), term]}


def _tell_of_group(pod: JsonObject, size: str, namespace: str) -> None:
    """Give all containers the variables by which they find their leader, before all others."""
    labels, spec = pod["metadata"]["labels"], pod["spec"]
    leader = f"{labels[names.NAME]}-{labels[names.GROUP_INDEX]}"
    address = f"{leader}.{spec.get('subdomain', '')}.{namespace}"
    values = (address, size, labels[names.WORKER_INDEX])
    own = [{"name": name, "value": value} for name, value in zip(_OWN, values, strict=True)]
    for part in ("containers", "initContainers"):
        for container in spec.get(part) or ():
            # First, so that others may refer to them: $(LWS_LEADER_ADDRESS).
            others = [one for one in container.get("env") or () if one["name"] not in _OWN]
            container["env"] = [*own, *others]
