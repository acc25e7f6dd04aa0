"""Rolling a Deployment back by an annotation, as old clients ask (deployment/rollback.go)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from controllers.workloads.revisions import OWN_ANNOTATIONS, ROLLBACK, bare, is_of, revision_of
from kube.json_types import JsonObject

DONE: Final = "DeploymentRollback"
NOT_FOUND: Final = "DeploymentRollbackRevisionNotFound"
UNCHANGED: Final = "DeploymentRollbackTemplateUnchanged"


class RolledBack(NamedTuple):
    """What comes of it.

    Attributes:
        deployment: to be written; it does not ask any more.
        is_done: whether its template is another.
        reason, text: to be told.
    """

    deployment: JsonObject
    is_done: bool
    reason: str
    text: str


def wanted_revision(deployment: JsonObject) -> int | None:
    """Return which revision is asked for, 0: the last before this one; None: nobody asks."""
    text = (deployment["metadata"].get("annotations") or {}).get(ROLLBACK)
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def find(deployment: JsonObject, sets: Sequence[JsonObject], revision: int) -> RolledBack:
    """Return what comes of going back.

    Args:
        deployment: asks for it.
        sets: all its ReplicaSets.
        revision: see `wanted_revision`.
    """
    if not revision:
        numbers = sorted(map(revision_of, sets), reverse=True)
        revision = numbers[1] if len(numbers) > 1 else 0
        if not revision:
            return _given_up(deployment, NOT_FOUND, "Unable to find last revision.")
    found = next((one for one in sets if revision_of(one) == revision), None)
    if found is None:
        return _given_up(deployment, NOT_FOUND, "Unable to find the revision to rollback to.")
    name = deployment["metadata"]["name"]
    if is_of(found, deployment):
        text = f'The rollback revision contains the same template as current deployment "{name}"'
        return _given_up(deployment, UNCHANGED, text)
    text = f'Rolled back deployment "{name}" to revision {revision}'
    return RolledBack(_restored(deployment, found), is_done=True, reason=DONE, text=text)


def _given_up(deployment: JsonObject, reason: str, text: str) -> RolledBack:
    annotations = {**deployment["metadata"]["annotations"]}
    annotations.pop(ROLLBACK, None)
    metadata = {**deployment["metadata"], "annotations": annotations}
    return RolledBack({**deployment, "metadata": metadata}, is_done=False, reason=reason, text=text)


def _restored(deployment: JsonObject, replica_set: JsonObject) -> JsonObject:
    """Return a Deployment with the template of a ReplicaSet, and the annotations it had then."""
    own = deployment["metadata"].get("annotations") or {}
    then = replica_set["metadata"].get("annotations") or {}
    annotations = {key: value for key, value in own.items() if key in OWN_ANNOTATIONS}
    annotations |= {key: value for key, value in then.items() if key not in OWN_ANNOTATIONS}
    annotations.pop(ROLLBACK, None)
    return {
        **deployment,
        "metadata": {**deployment["metadata"], "annotations": annotations},
        "spec": {**deployment["spec"], "template": bare(replica_set["spec"]["template"])},
    }
