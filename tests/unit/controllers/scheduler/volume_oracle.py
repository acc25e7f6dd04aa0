"""What upstream's volume plugins say, in plain Python: one pod, one node, over objects as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kube.quantity import parse_value

Obj = dict[str, Any]
SELECTED = "volume.kubernetes.io/selected-node"
COMPLETED = "pv.kubernetes.io/bind-completed"
ZONES = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")


@dataclass
class VolumeWorld:
    """All objects, as the API has them, and pods that have a node."""

    nodes: dict[str, Obj] = field(default_factory=dict)
    claims: dict[str, Obj] = field(default_factory=dict)
    volumes: dict[str, Obj] = field(default_factory=dict)
    classes: dict[str, Obj] = field(default_factory=dict)
    limits: dict[str, dict[str, int]] = field(default_factory=dict)
    pods: list[Obj] = field(default_factory=list)


def refusals(world: VolumeWorld, pod: Obj, node: str) -> set[str]:
    """Return the plugins that refuse a node: all, not the first only."""
    found = set()
    whole = refused_whole(world, pod)
    if whole:
        return {whole}
    claims = claims_of(world, pod)
    labels = world.nodes[node]["metadata"]["labels"]
    if not bound_reach(world, claims, labels) or not can_bind(world, claims, node):
        found.add("VolumeBinding")
    if not zones_match(world, claims, labels):
        found.add("VolumeZone")
    if used_alone(world, claims) or disk_conflict(world, pod, node):
        found.add("VolumeRestrictions")
    if too_many(world, pod, node):
        found.add("NodeVolumeLimits")
    return found


def claims_of(world: VolumeWorld, pod: Obj) -> list[Obj]:
    """Return the claims of a pod that exist."""
    names = [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["spec"].get("volumes", ())
        if "persistentVolumeClaim" in volume
    ]
    return [world.claims[name] for name in names if name in world.claims]


def is_bound(claim: Obj) -> bool:
    """Bound for good."""
    notes = claim["metadata"].get("annotations", {})
    return bool(claim["spec"].get("volumeName")) and COMPLETED in notes


def is_delayed(world: VolumeWorld, claim: Obj) -> bool:
    """Whether it waits for its first pod."""
    found = world.classes.get(claim["spec"].get("storageClassName", ""), {})
    return bool(found.get("volumeBindingMode") == "WaitForFirstConsumer")


def refused_whole(world: VolumeWorld, pod: Obj) -> str | None:
    """Who refuses the pod, whatever the node."""
    names = [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["spec"].get("volumes", ())
        if "persistentVolumeClaim" in volume
    ]
    if any(name not in world.claims for name in names):
        return "VolumeRestrictions"
    for claim in claims_of(world, pod):
        if not is_bound(claim) and (
            not is_delayed(world, claim) or claim["spec"].get("volumeName")
        ):
            return "VolumeBinding"
    for claim in claims_of(world, pod):
        name = claim["spec"].get("volumeName")
        if name and name not in world.volumes:
            return "VolumeZone"
    return None


def reaches(volume: Obj, labels: dict[str, str]) -> bool:
    """Node affinity of a volume, by labels alone."""
    required = volume["spec"].get("nodeAffinity", {}).get("required")
    if required is None:
        return True
    for term in required["nodeSelectorTerms"]:
        expressions = term.get("matchExpressions", [])
        if expressions and all(_matches(one, labels) for one in expressions):
            return True
    return False


def _matches(expression: Obj, labels: dict[str, str]) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case _:
            return value is not None


def bound_reach(world: VolumeWorld, claims: list[Obj], labels: dict[str, str]) -> bool:
    """Whether the node reaches what is bound."""
    return all(
        reaches(world.volumes[claim["spec"]["volumeName"]], labels)
        for claim in claims
        if is_bound(claim)
    )


def size_of(obj: Obj, *path: str) -> int:
    """A quantity somewhere in an object."""
    for name in path:
        obj = obj.get(name, {})
    return parse_value(obj or "0").value


def can_bind(world: VolumeWorld, claims: list[Obj], node: str) -> bool:
    """Whether those that wait for their first pod get a volume on a node."""
    labels, chosen = world.nodes[node]["metadata"]["labels"], set()
    waiting = [claim for claim in claims if not is_bound(claim)]
    distinct = {claim["metadata"]["name"]: claim for claim in waiting}
    if any(
        claim["metadata"].get("annotations", {}).get(SELECTED, node) != node for claim in waiting
    ):
        return False
    ordered = sorted(
        distinct.values(), key=lambda one: size_of(one, "spec", "resources", "requests", "storage")
    )
    left = []
    for claim in ordered:
        found = None
        if SELECTED not in claim["metadata"].get("annotations", {}):
            found = smallest(world, claim, labels, chosen)
        if found is None:
            left.append(claim)
        else:
            chosen.add(found)
    return all(can_provision(world, claim, labels) for claim in left)


def smallest(
    world: VolumeWorld, claim: Obj, labels: dict[str, str], chosen: set[str]
) -> str | None:
    """The volume that a claim gets, by name."""
    fitting = []
    wanted = size_of(claim, "spec", "resources", "requests", "storage")
    for name, volume in world.volumes.items():
        spec = volume["spec"]
        if name in chosen or spec["storageClassName"] != claim["spec"]["storageClassName"]:
            continue
        size = size_of(volume, "spec", "capacity", "storage")
        if size < wanted:
            continue
        reference = spec.get("claimRef")
        if reference is not None:
            if reference["name"] == claim["metadata"]["name"]:
                return name if reaches(volume, labels) else None
            continue
        if volume["status"]["phase"] != "Available" or not reaches(volume, labels):
            continue
        if set(claim["spec"]["accessModes"]) <= set(spec["accessModes"]):
            fitting.append((size, name))
    return min(fitting)[1] if fitting else None


def can_provision(world: VolumeWorld, claim: Obj, labels: dict[str, str]) -> bool:
    """Whether a class makes volumes for a node."""
    found = world.classes[claim["spec"]["storageClassName"]]
    if found["provisioner"] == "kubernetes.io/no-provisioner":
        return False
    topologies = found.get("allowedTopologies")
    return not topologies or any(
        all(labels.get(one["key"]) in one["values"] for one in term["matchLabelExpressions"])
        for term in topologies
    )


def zones_match(world: VolumeWorld, claims: list[Obj], labels: dict[str, str]) -> bool:
    """VolumeZone."""
    if not any(key in labels for key in ZONES):
        return True
    for claim in claims:
        if not is_bound(claim):
            continue
        theirs = world.volumes[claim["spec"]["volumeName"]]["metadata"].get("labels", {})
        for key in ZONES:
            if key not in theirs:
                continue
            mine = labels.get(key, labels.get(ZONES[0]))
            if mine not in theirs[key].split("__"):
                return False
    return True


def used_alone(world: VolumeWorld, claims: list[Obj]) -> bool:
    """Whether a claim that only one pod may have is another's."""
    for claim in claims:
        if "ReadWriteOncePod" not in claim["spec"]["accessModes"]:
            continue
        if any(claim in claims_of(world, pod) for pod in world.pods):
            return True
    return False


def disk_conflict(world: VolumeWorld, pod: Obj, node: str) -> bool:
    """Whether a disk is there that cannot be there twice."""
    for mine in pod["spec"].get("volumes", ()):
        disk = mine.get("gcePersistentDisk")
        for other in world.pods if disk else ():
            if other["spec"]["nodeName"] != node:
                continue
            for volume in other["spec"].get("volumes", ()):
                theirs = volume.get("gcePersistentDisk")
                if theirs is None or theirs["pdName"] != disk["pdName"]:
                    continue
                if not (theirs.get("readOnly") and disk.get("readOnly")):
                    return True
    return False


def handles(world: VolumeWorld, pod: Obj) -> set[tuple[str, str]]:
    """What a node attaches for a pod."""
    found = set()
    for volume in pod["spec"].get("volumes", ()):
        if "gcePersistentDisk" in volume:
            found.add(("pd.csi.storage.gke.io", volume["gcePersistentDisk"]["pdName"]))
    for claim in claims_of(world, pod):
        name = claim["spec"].get("volumeName")
        if name in world.volumes:
            csi = world.volumes[name]["spec"].get("csi")
            if csi:
                found.add((csi["driver"], csi["volumeHandle"]))
            continue
        storage_class = world.classes.get(claim["spec"]["storageClassName"])
        if storage_class:
            found.add((storage_class["provisioner"], claim["metadata"]["name"]))
    return found


def too_many(world: VolumeWorld, pod: Obj, node: str) -> bool:
    """NodeVolumeLimits."""
    there = set()
    for other in world.pods:
        if other["spec"]["nodeName"] == node:
            there |= handles(world, other)
    more = handles(world, pod) - there
    for driver, most in world.limits.get(node, {}).items():
        mine = sum(one[0] == driver for one in more)
        if mine and mine + sum(one[0] == driver for one in there) > most:
            return True
    return False
