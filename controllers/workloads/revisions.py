"""Revisions of a Deployment: which ReplicaSet is new, what it is called, which are forgotten.

The annotations and their rules are upstream's (deployment/util); the hash is not: it is made of the
template's JSON, and nobody but this controller makes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import orjson

from controllers.workloads.claims import Kind
from controllers.workloads.rollout_math import DESIRED, MAX, max_surge, replicas_of, status_of
from kube.json_types import JsonObject

HASH: Final = "pod-template-hash"
REVISION: Final = "deployment.kubernetes.io/revision"
HISTORY: Final = "deployment.kubernetes.io/revision-history"
ROLLBACK: Final = "deprecated.deployment.rollback.to"
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
OWN_ANNOTATIONS: Final = frozenset({_LAST_APPLIED, REVISION, HISTORY, DESIRED, MAX, ROLLBACK})
"""Annotations of a Deployment that its ReplicaSets do not get."""
_HISTORY_MAX: Final = 512
_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
_FNV_OFFSET: Final = 0x811C9DC5
_FNV_PRIME: Final = 0x01000193


def bare(template: JsonObject) -> JsonObject:
    """Return a template without what a ReplicaSet's has beside a Deployment's."""
    metadata = dict(template.get("metadata") or {})
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH}
    metadata.pop("creationTimestamp", None)
    metadata.pop("labels", None)
    if labels:
        metadata["labels"] = labels
    return {**template, "metadata": metadata}


def is_of(replica_set: JsonObject, deployment: JsonObject) -> bool:
    """Tell whether a ReplicaSet is of a Deployment's template."""
    return bare(replica_set["spec"]["template"]) == bare(deployment["spec"]["template"])


def find_new(deployment: JsonObject, sets: Iterable[JsonObject]) -> JsonObject | None:
    """Return the ReplicaSet of the Deployment's template; of several, the oldest."""
    wanted = bare(deployment["spec"]["template"])
    for one in sorted(sets, key=_age):
        if bare(one["spec"]["template"]) == wanted:
            return one
    return None


def _age(replica_set: JsonObject) -> tuple[str, str]:
    metadata = replica_set["metadata"]
    return metadata["creationTimestamp"], metadata["name"]


def oldest_first(sets: Iterable[JsonObject]) -> list[JsonObject]:
    """Return ReplicaSets by age."""
    return sorted(sets, key=_age)


def hash_of(template: JsonObject, collisions: int) -> str:
    """Return a short text that tells templates apart."""
    data = orjson.dumps(bare(template), option=orjson.OPT_SORT_KEYS)
    return hashed(data + (str(collisions).encode() if collisions else b""))


def hashed(data: bytes) -> str:
    """Return a short text that tells bytes apart (FNV-1a, in letters no word is made of)."""
    value = _FNV_OFFSET
    for byte in data:
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return "".join(_ALPHABET[ord(char) % len(_ALPHABET)] for char in str(value))


def revision_of(obj: JsonObject) -> int:
    """Return the revision that an object's annotation names, 0 for none."""
    text = (obj["metadata"].get("annotations") or {}).get(REVISION, "")
    return int(text) if text.isdigit() else 0


def annotate(
    deployment: JsonObject, replica_set: JsonObject, revision: int, *, exists: bool
) -> bool:
    """Give a new ReplicaSet the annotations it is to have; return whether any changed.

    Args:
        deployment: whose it is.
        replica_set: changed in place.
        revision: that it has now.
        exists: whether it was there before.
    """
    before = dict(replica_set["metadata"].get("annotations") or {})
    after = dict(before)
    for key, value in (deployment["metadata"].get("annotations") or {}).items():
        if key not in OWN_ANNOTATIONS:
            after[key] = value
    old = before.get(REVISION)
    if old is None or (old.isdigit() and int(old) < revision):
        after[REVISION] = str(revision)
        if exists and old is not None:
            after[HISTORY] = _remembered(before.get(HISTORY, ""), old)
    if not exists:
        after |= sizes(deployment)
    replica_set["metadata"]["annotations"] = after
    return after != before


def _remembered(history: str, revision: str) -> str:
    kept = history.split(",") if history else []
    while kept and len(",".join([*kept, revision])) > _HISTORY_MAX:
        del kept[0]
    return ",".join([*kept, revision])


def sizes(deployment: JsonObject) -> dict[str, str]:
    """Return the annotations by which a later scaling knows what was wanted before."""
    total = replicas_of(deployment)
    return {DESIRED: str(total), MAX: str(total + max_surge(deployment))}


def new_set(kind: Kind, deployment: JsonObject) -> JsonObject:
    """Return the ReplicaSet that a Deployment lacks, with no replicas yet."""
    spec, metadata = deployment["spec"], deployment["metadata"]
    collisions = int((deployment.get("status") or {}).get("collisionCount", 0))
    digest = hash_of(spec["template"], collisions)
    template_metadata = dict(spec["template"].get("metadata") or {})
    labels = {**(template_metadata.get("labels") or {}), HASH: digest}
    template_metadata["labels"] = labels
    selector = spec.get("selector") or {}
    made_spec: JsonObject = {
        "replicas": 0,
        "selector": {
            **selector,
            "matchLabels": {**(selector.get("matchLabels") or {}), HASH: digest},
        },
        "template": {**spec["template"], "metadata": template_metadata},
    }
    if spec.get("minReadySeconds"):
        made_spec["minReadySeconds"] = spec["minReadySeconds"]
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{metadata['name']}-{digest}",
            "namespace": metadata["namespace"],
            "labels": labels,
            "ownerReferences": [kind.controls(deployment)],
        },
        "spec": made_spec,
    }


def forgotten(deployment: JsonObject, old: Sequence[JsonObject]) -> list[JsonObject]:
    """Return the old ReplicaSets that are more than are to be remembered, oldest first."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    if limit is None or limit == 2**31 - 1:
        return []
    alive = [one for one in old if "deletionTimestamp" not in one["metadata"]]
    surplus = len(alive) - limit
    if surplus <= 0:
        return []
    alive.sort(key=revision_of)
    return [one for one in alive[:surplus] if _is_idle(one)]


def _is_idle(replica_set: JsonObject) -> bool:
    generation = replica_set["metadata"].get("generation", 0)
    return (
        replicas_of(replica_set) == 0
        and status_of(replica_set, "replicas") == 0
        and status_of(replica_set, "observedGeneration") >= generation
    )
