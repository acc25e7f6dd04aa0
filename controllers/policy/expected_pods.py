"""How many pods the owners of some pods want in all, for budgets that are a share of that.

Owners that this process watches anyway are looked up in its informers; a ReplicaSet that belongs to
a Deployment counts as that. Others are asked for their scale, at most once a sync.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from controllers.policy.scales import Scales
from controllers.workloads.pods import Owner, PodBrief, controller_of
from kube.informers.store import Store
from kube.json_types import JsonObject


class NoOwner(Exception):
    """An owner that a pod names is not found anywhere."""


class ExpectedPods:
    """See the module's head.

    Args of the constructor:
        stores: of the kinds that are watched, by kind.
        pods: all pods, for what briefs do not say.
        scales: for all other kinds.
    """

    def __init__(self, stores: Mapping[str, Store], pods: Store, scales: Scales) -> None:
        self._stores = stores
        self._pods = pods
        self._scales = scales

    async def count(self, pods: Iterable[PodBrief]) -> tuple[int, list[str]]:
        """Return how many pods there should be, and the names of those that nobody controls.

        Raises:
            NoOwner, NoSuchKind: an owner can't be found, or says nothing of how many.
            StatusError, Unreachable: an owner can't be asked.
        """
        seen: set[str] = set()
        wanted: dict[str, int] = {}
        unmanaged = []
        for pod in pods:
            if pod.owner is None:
                unmanaged.append(pod.name)
                continue
            if pod.owner.uid in seen:
                continue
            seen.add(pod.owner.uid)
            found = self._watched(pod.namespace, pod.owner) or await self._asked(pod)
            if found is None:
                raise NoOwner(f'found no controllers for pod "{pod.name}"')
            wanted[found[0]] = found[1]
        return sum(wanted.values()), unmanaged

    def _watched(self, namespace: str, owner: Owner) -> tuple[str, int] | None:
        obj = self._get(namespace, owner)
        if obj is None:
            return None
        above = controller_of(obj) if owner.kind == "ReplicaSet" else None
        if above is not None and above.kind == "Deployment":
            obj = self._get(namespace, above)
            if obj is None:
                return None
        return obj["metadata"]["uid"], obj["spec"].get("replicas", 1)

    def _get(self, namespace: str, owner: Owner) -> JsonObject | None:
        store = self._stores.get(owner.kind)
        found = store.get(f"{namespace}/{owner.name}") if store is not None else None
        return found if found is not None and found["metadata"]["uid"] == owner.uid else None

    async def _asked(self, pod: PodBrief) -> tuple[str, int] | None:
        assert pod.owner is not None
        owner = pod.owner
        whole = self._pods.get(pod.key)
        references = whole["metadata"].get("ownerReferences") or () if whole is not None else ()
        for reference in references:
            if reference["uid"] == owner.uid:
                replicas = await self._scales.replicas_of(
                    reference["apiVersion"], owner.kind, (pod.namespace, owner.name), owner.uid
                )
                return None if replicas is None else (owner.uid, replicas)
        return None
