"""Pods that wait for their claims: none of their containers starts before all are bound.

As a kubelet's volume manager has it (WaitForAttachAndMount): it asks whether claims are bound, and
complains of those that are not after two minutes. A pod without claims costs nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controllers.fleet.disk_objects import is_bound
from controllers.fleet.pod_life import Pod
from controllers.volumes import facts
from kube.informers.changes import Change
from kube.informers.informer import Delta, Informer
from kube.json_types import JsonObject


class Mounts:
    """See the module's head.

    Args of the constructor:
        claims: what is watched.

    Attributes:
        on_bound: is told of pods whose claims are bound now.
        on_wait: is told of claims that are waited for.
    """

    def __init__(self, claims: Informer) -> None:
        self.on_bound: Callable[[Pod], None] = lambda _pod: None
        self.on_wait: Callable[[str], None] = lambda _key: None
        self._claims = claims.store
        self._waiting: dict[str, set[Pod]] = {}
        claims.on_changes(self._observe)

    def admit(self, pod: Pod, obj: JsonObject) -> None:
        """Have a pod wait that is new on its node, if there is anything to wait for."""
        missing = {key: volume for key, volume in _mounts(obj).items() if not self._is_bound(key)}
        if not missing:
            return
        pod.mounts = missing
        for key in missing:
            self._waiting.setdefault(key, set()).add(pod)
            self.on_wait(key)

    def forget(self, pod: Pod) -> None:
        """Let go of a pod that is gone."""
        for key in pod.mounts:
            self._leave(key, pod)
        pod.mounts = {}

    def node_of(self, key: str) -> str | None:
        """Return a node on which a pod waits for a claim; None: nobody does."""
        for pod in self._waiting.get(key, ()):
            name: str = pod.node.name
            return name
        return None

    def _is_bound(self, key: str) -> bool:
        claim = self._claims.get(key)
        return claim is not None and is_bound(claim)

    def _leave(self, key: str, pod: Pod) -> None:
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.discard(pod)
            if not waiting:
                del self._waiting[key]

    def _observe(self, deltas: Sequence[Delta]) -> None:
        if not self._waiting:
            return
        for change, key, claim, _ in deltas:
            if key not in self._waiting or change is Change.DELETED or not is_bound(claim):
                continue
            for pod in tuple(self._waiting[key]):
                self._leave(key, pod)
                pod.mounts.pop(key, None)
                if not pod.mounts:
                    self.on_bound(pod)


def _mounts(obj: JsonObject) -> dict[str, str]:
    """Return the claims that a pod uses, "namespace/name", and for each its volume's name."""
    metadata, found = obj["metadata"], {}
    for volume in obj["spec"].get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            name = volume["persistentVolumeClaim"]["claimName"]
        elif "ephemeral" in volume:
            name = facts.template_claim_name(obj, volume)
        else:
            continue
        found[f"{metadata['namespace']}/{name}"] = volume["name"]
    return found
