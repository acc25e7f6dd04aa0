"""The StatefulSets of a LeaderWorkerSet: one of leaders, and one of workers for each leader."""

from __future__ import annotations

from typing import Final

from controllers.leader_workers import names
from controllers.leader_workers.names import LEADER_WORKER_SET, annotations_of, labels_of
from controllers.leader_workers.rollout import Step
from controllers.leader_workers.tpus import wants_tpus
from controllers.leader_workers.wanted import read_spec
from controllers.workloads.claims import Kind
from controllers.workloads.stateful_identity import STATEFUL_SET
from kube.json_types import JsonObject

POD: Final = Kind("v1", "Pod", "pods")
_CLAIM_FIELDS: Final = ("accessModes", "storageClassName", "volumeMode", "resources")


def leader_selector(name: str) -> dict[str, str]:
    """Return the labels by which a set's leaders are found."""
    return {names.NAME: name, names.WORKER_INDEX: "0"}


def leader_set(lws: JsonObject, step: Step, key: str) -> JsonObject:
    """Return the StatefulSet of a set's leaders, as it is to be applied.

    Args:
        lws: the set.
        step: how far an update is to go, and how many leaders there are to be.
        key: of the template's revision.
    """
    spec, metadata = lws["spec"], lws["metadata"]
    wanted, template = read_spec(spec), spec["leaderWorkerTemplate"]
    name = metadata["name"]
    labels = {**leader_selector(name), names.REVISION: key}
    annotations = _pod_annotations(lws)
    if wanted.is_unique:
        annotations[names.SUBDOMAIN] = names.UNIQUE
    rolling = {
        # As StatefulSets have no surplus, its room counts to what may be missing.
        "maxUnavailable": max(1, wanted.unavailable_max + wanted.surge_max),
        "partition": step.partition,
    }
    kind = (spec.get("rolloutStrategy") or {}).get("type", "RollingUpdate")
    return {
        "apiVersion": STATEFUL_SET.api_version,
        "kind": STATEFUL_SET.kind,
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": {**labels_of(lws), names.NAME: name, names.REVISION: key},
            "annotations": {**annotations_of(lws), names.REPLICAS: str(wanted.replicas)},
            "ownerReferences": [LEADER_WORKER_SET.controls(lws)],
        },
        "spec": {
            "serviceName": name,
            "replicas": step.replicas,
            "podManagementPolicy": "Parallel",
            "template": _template(
                template.get("leaderTemplate") or template["workerTemplate"], labels, annotations
            ),
            "updateStrategy": {"type": kind, "rollingUpdate": rolling},
            "selector": {"matchLabels": leader_selector(name)},
            **_claims(template),
        },
    }


def worker_set(lws: JsonObject, leader: JsonObject, topology: dict[str, str]) -> JsonObject:
    """Return the StatefulSet of a leader's workers, not yet written.

    Args:
        lws: the set, as it was by the leader's revision.
        leader: the pod.
        topology: labels that the workers' nodes must have.
    """
    spec, metadata = lws["spec"], lws["metadata"]
    wanted, template = read_spec(spec), spec["leaderWorkerTemplate"]
    name = leader["metadata"]["name"]
    own = labels_of(leader)
    selector = {
        names.GROUP_INDEX: own[names.GROUP_INDEX],
        names.NAME: metadata["name"],
        names.GROUP_KEY: own[names.GROUP_KEY],
    }
    labels = {**selector, names.REVISION: names.revision_of(leader)}
    annotations = {**_pod_annotations(lws), names.LEADER_NAME: name}
    if wants_tpus(leader["spec"]):
        annotations[names.LEADER_WANTS_TPUS] = "true"
    pods = _template(template["workerTemplate"], labels, annotations)
    if topology:
        pods["spec"] = {
            **pods["spec"],
            "nodeSelector": {**(pods["spec"].get("nodeSelector") or {}), **topology},
        }
    return {
        "apiVersion": STATEFUL_SET.api_version,
        "kind": STATEFUL_SET.kind,
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": {**labels_of(lws), **labels},
            "annotations": annotations_of(lws),
            "ownerReferences": [POD.controls(leader)],
        },
        "spec": {
            "serviceName": name if wanted.is_unique else metadata["name"],
            "replicas": wanted.size - 1,
            "podManagementPolicy": "Parallel",
            "template": pods,
            "ordinals": {"start": 1},
            "selector": {"matchLabels": selector},
            **_claims(template),
        },
    }


def headless_service(
    lws: JsonObject, name: str, selector: dict[str, str], owner: JsonObject
) -> JsonObject:
    """Return the service by which pods of a set, or of a group, find each other by name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": lws["metadata"]["namespace"],
            "labels": {names.NAME: lws["metadata"]["name"]},
            "ownerReferences": [owner],
        },
        "spec": {"clusterIP": "None", "selector": selector, "publishNotReadyAddresses": True},
    }


def _pod_annotations(lws: JsonObject) -> dict[str, str]:
    """Return the annotations that leaders and workers have alike."""
    own, template = annotations_of(lws), lws["spec"]["leaderWorkerTemplate"]
    made = {names.SIZE: str(template.get("size", 1))}
    if own.get(names.EXCLUSIVE):
        made[names.EXCLUSIVE] = own[names.EXCLUSIVE]
    policy = template.get("subGroupPolicy")
    if policy is not None:
        made[names.SUBGROUP_TYPE] = policy.get("subGroupPolicyType", "LeaderWorker")
        made[names.SUBGROUP_SIZE] = str(policy["subGroupSize"])
        if own.get(names.SUBGROUP_EXCLUSIVE):
            made[names.SUBGROUP_EXCLUSIVE] = own[names.SUBGROUP_EXCLUSIVE]
    return made


def _template(
    template: JsonObject, labels: dict[str, str], annotations: dict[str, str]
) -> JsonObject:
    metadata = template.get("metadata") or {}
    return {
        **template,
        "metadata": {
            **metadata,
            "labels": {**(metadata.get("labels") or {}), **labels},
            "annotations": {**(metadata.get("annotations") or {}), **annotations},
        },
    }


def _claims(template: JsonObject) -> JsonObject:
    """Return what a StatefulSet's spec says of claims."""
    made: JsonObject = {}
    claims = [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": one["metadata"]["name"]},
            "spec": {name: one["spec"][name] for name in _CLAIM_FIELDS if name in one["spec"]},
        }
        for one in template.get("volumeClaimTemplates") or ()
    ]
    if claims:
        made["volumeClaimTemplates"] = claims
    policy = template.get("persistentVolumeClaimRetentionPolicy")
    if policy is not None:
        made["persistentVolumeClaimRetentionPolicy"] = policy
    return made
