"""The tolerations that admission gives a pod, as a pure function.

Not part of a pod's own defaults: the plugin DefaultTolerationSeconds adds them.
"""

from __future__ import annotations

from typing import Final

from kube.json_types import JsonObject

NOT_READY: Final = "node.kubernetes.io/not-ready"
UNREACHABLE: Final = "node.kubernetes.io/unreachable"
MIRROR_POD: Final = "kubernetes.io/config.mirror"
TOLERATION_S: Final = 300


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
