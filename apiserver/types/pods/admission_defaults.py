"""What the default admission plugins of a server add to a pod, as pure functions.

Not part of a pod's own defaults: the server calls these where its admission chain runs, before the
pod is validated. They stand in for ServiceAccount (without the token volume), Priority (without
classes) and DefaultTolerationSeconds.
"""

from __future__ import annotations

from typing import Final

from kube.json_types import JsonObject

NOT_READY: Final = "node.kubernetes.io/not-ready"
UNREACHABLE: Final = "node.kubernetes.io/unreachable"
MIRROR_POD: Final = "kubernetes.io/config.mirror"
TOLERATION_S: Final = 300


def admit_pod(pod: JsonObject) -> None:
    """Apply all of the below to a pod to be created, in upstream's plugin order."""
    default_service_account(pod)
    default_toleration_seconds(pod)
    default_priority(pod)


def admit_pod_update(new: JsonObject, old: JsonObject) -> None:
    """Give back to an update what it leaves out of what admission added to the new pod.

    Without this a client that writes the pod as it once sent it would seem to remove tolerations.
    """
    default_toleration_seconds(new)
    spec, stored = new["spec"], old["spec"]
    for key in ("priority", "preemptionPolicy"):
        if key in stored:
            spec.setdefault(key, stored[key])


def default_service_account(pod: JsonObject) -> None:
    """Give a pod the namespace's `default` service account; mirror pods have none."""
    if MIRROR_POD in pod["metadata"].get("annotations", ()):
        return
    spec = pod["spec"]
    if not spec.get("serviceAccountName"):
        spec["serviceAccountName"] = spec["serviceAccount"] = "default"


def default_priority(pod: JsonObject) -> None:
    """Give a pod without a priority class the priority 0, and the usual preemption policy."""
    spec = pod["spec"]
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")


def default_toleration_seconds(pod: JsonObject) -> None:
    """Let a pod stay five minutes on a node that fails, unless it says otherwise."""
    spec = pod["spec"]
    tolerations = spec.get("tolerations", ())
    missing = [
        key
        for key in (NOT_READY, UNREACHABLE)
        if not any(_covers(toleration, key) for toleration in tolerations)
    ]
    for key in missing:
        spec.setdefault("tolerations", []).append(
            {
                "key": key,
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": TOLERATION_S,
            }
        )


def _covers(toleration: JsonObject, key: str) -> bool:
    if toleration.get("key", key) != key:
        return False
    return bool(toleration.get("effect", "NoExecute") == "NoExecute")
