"""What the API of LeaderWorkerSets calls things: its labels, annotations and variables."""

from __future__ import annotations

from typing import Final

from controllers.workloads.claims import Kind
from kube.json_types import JsonObject

GROUP: Final = "leaderworkerset.x-k8s.io"
LEADER_WORKER_SET: Final = Kind(f"{GROUP}/v1", "LeaderWorkerSet", "leaderworkersets")
MANAGER: Final = "lws"
"""As whom the controller applies, upstream's name."""
_PREFIX: Final = "leaderworkerset.sigs.k8s.io/"

NAME: Final = f"{_PREFIX}name"
GROUP_INDEX: Final = f"{_PREFIX}group-index"
WORKER_INDEX: Final = f"{_PREFIX}worker-index"
GROUP_KEY: Final = f"{_PREFIX}group-key"
REVISION: Final = f"{_PREFIX}template-revision-hash"
SUBGROUP_INDEX: Final = f"{_PREFIX}subgroup-index"
SUBGROUP_KEY: Final = f"{_PREFIX}subgroup-key"

SIZE: Final = f"{_PREFIX}size"
REPLICAS: Final = f"{_PREFIX}replicas"
LEADER_NAME: Final = f"{_PREFIX}leader-name"
EXCLUSIVE: Final = f"{_PREFIX}exclusive-topology"
SUBGROUP_EXCLUSIVE: Final = f"{_PREFIX}subgroup-exclusive-topology"
SUBGROUP_SIZE: Final = f"{_PREFIX}subgroup-size"
SUBGROUP_TYPE: Final = f"{_PREFIX}subgroup-policy-type"
SUBDOMAIN: Final = f"{_PREFIX}subdomainPolicy"
AFTER_START: Final = f"{_PREFIX}experimental-recreate-group-after-start"
LEADER_WANTS_TPUS: Final = f"{_PREFIX}leader-requests-tpus"

LEADER_ADDRESS: Final = "LWS_LEADER_ADDRESS"
GROUP_SIZE: Final = "LWS_GROUP_SIZE"
OWN_INDEX: Final = "LWS_WORKER_INDEX"

SHARED: Final = "Shared"
UNIQUE: Final = "UniquePerReplica"
LEADER_EXCLUDED: Final = "LeaderExcluded"


def labels_of(obj: JsonObject) -> dict[str, str]:
    """Return an object's labels."""
    found: dict[str, str] = obj["metadata"].get("labels") or {}
    return found


def annotations_of(obj: JsonObject) -> dict[str, str]:
    """Return an object's annotations."""
    found: dict[str, str] = obj["metadata"].get("annotations") or {}
    return found


def revision_of(obj: JsonObject) -> str:
    """Return the hash of the template that an object was made by, "" if it says none."""
    return labels_of(obj).get(REVISION, "")
