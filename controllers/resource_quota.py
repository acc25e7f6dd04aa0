"""Counts anew what is used of ResourceQuotas: what the server charges, this gives back.

A quota is counted when its spec changes, when anything that it counts has gone or changed in its
namespace, and every few minutes. Only the collections that a namespace's quotas name are watched.
Which types there are is asked again when a custom type or an aggregated API is registered, goes or
changes, so that a limit of a type's objects counts as soon as there is the type, or the other way
round; upstream looks every half minute.

Invariants:
    - A count is written only if the quota is as it was before the objects were listed: what was
      charged meanwhile is not lost.
    - A charge comes before its object. So the listing waits a little, and less so at each attempt,
      as charges that never stop must not keep anybody from counting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from controllers.discovery import Collection, Discovery
from controllers.workqueue import Backoff, WorkQueue, run_worker
from kube.client import ApiClient
from kube.informers.changes import Change, Told
from kube.informers.reflector import Reflector
from kube.json_types import JsonObject
from kube.quota.amounts import read
from kube.quota.evaluators import Evaluator, evaluator_of, recount
from kube.status import StatusError
from runtime.tasks import TaskScope

QUOTAS: Final = "/api/v1/resourcequotas"
REGISTERING: Final = (
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "/apis/apiregistration.k8s.io/v1/apiservices",
)
"""What says which types there are beside the built-in ones."""
_WORKERS: Final = 4
_WAITS_S: Final = (0.5, 0.2, 0.05, 0.0)
_RECOUNT_S: Final = 300.0
_FOLLOWED_MAX: Final = 2000
"""Watches, each a request of its own; namespaces beyond are counted every few seconds."""
_UNFOLLOWED_S: Final = 10.0
_DISCOVERY_S: Final = 30.0
_SETTLE_S: Final = 0.1
"""What is registered changes a few times until it is served."""
_PAGE_SIZE: Final = 500
_FINISHED: Final = frozenset({"Succeeded", "Failed"})


class ResourceQuotaController:
    """See the module's head."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._discovery = Discovery(client)
        self._queue: WorkQueue[str] = WorkQueue(Backoff(first_s=0.1, most_s=30.0))
        self._quotas: dict[str, set[str]] = {}
        self._custom: set[str] = set()
        self._registered_s = 0.0
        self._followed: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._scope: TaskScope | None = None

    def start(self, scope: TaskScope) -> None:
        """Start the workers in `scope`; `observe` feeds them."""
        self._scope = scope
        for number in range(_WORKERS):
            scope.spawn(run_worker(self._queue, self.reconcile), name=f"resource quotas {number}")

    def observe(self, change: Change, quota: JsonObject) -> None:
        """Take note of a quota's change; those of its status alone are charges, and ours."""
        namespace, name = quota["metadata"]["namespace"], quota["metadata"]["name"]
        known = self._quotas.setdefault(namespace, set())
        if change is Change.DELETED:
            known.discard(name)
            if not known:
                del self._quotas[namespace]
                self._custom.discard(namespace)
                self._queue.add(namespace)  # to follow nothing there any more
            return
        if any(map(_may_be_custom, quota["spec"].get("hard") or ())):
            self._custom.add(namespace)
        is_new = name not in known
        known.add(name)
        if is_new or not is_counted(quota):
            self._queue.add(namespace)

    def observe_types(self, _change: Change, _registered: JsonObject) -> None:
        """Take note that other types may be there than before: a definition or API changed."""
        self._registered_s = self._client.clock.monotonic_s()
        for namespace in self._custom:
            self._queue.add_after(namespace, _SETTLE_S)

    async def reconcile(self, namespace: str) -> float | None:
        """Count all quotas of a namespace; return in how many seconds to do so again."""
        if namespace not in self._quotas:
            self._follow(namespace, ())
            return None
        path = f"/api/v1/namespaces/{namespace}/resourcequotas"
        quotas = (await self._client.request("GET", path)).get("items") or []
        counted = await self._counted(quotas)
        self._follow(namespace, [collection.path(namespace) for collection, _ in counted])
        for quota in quotas:
            await self._count(quota, namespace, counted)
        is_followed = all((namespace, one.path(namespace)) in self._followed for one, _ in counted)
        is_known = not _unknown(_names(quotas), counted)
        return _RECOUNT_S if is_followed and is_known else _UNFOLLOWED_S

    async def _counted(self, quotas: list[JsonObject]) -> list[tuple[Collection, Evaluator]]:
        """Return the collections that quotas name, each with who counts it."""
        names = _names(quotas)
        now_s = self._client.clock.monotonic_s()
        found = await self._counting(names, max(self._registered_s, now_s - _DISCOVERY_S))
        if _unknown(names, found):
            # The type may have come just now, and what watches for it be late.
            found = await self._counting(names, now_s - _SETTLE_S)
        return found

    async def _counting(
        self, names: set[str], not_before_s: float
    ) -> list[tuple[Collection, Evaluator]]:
        found = []
        for collection in (await self._discovery.collections(not_before_s)).known:
            evaluator = evaluator_of(collection.group, collection.resource)
            if evaluator is not None and evaluator.matching(names):
                found.append((collection, evaluator))
        return found

    async def _count(
        self, quota: JsonObject, namespace: str, counted: list[tuple[Collection, Evaluator]]
    ) -> None:
        collection, name = (
            f"/api/v1/namespaces/{namespace}/resourcequotas",
            quota["metadata"]["name"],
        )
        # Its role has no get: upstream reads from its cache, which is too old for this.
        query = {"fieldSelector": f"metadata.name={name}"}
        for wait_s in _WAITS_S:
            try:
                found = await self._client.request("GET", collection, query=query)
                if not found.get("items"):
                    return
                await self._client.clock.sleep(wait_s)
                await self._write(f"{collection}/{name}", found["items"][0], namespace, counted)
            except StatusError as error:
                if error.code == 404:
                    return
                if error.reason != "Conflict" or not wait_s:
                    raise
            else:
                return

    async def _write(
        self,
        path: str,
        quota: JsonObject,
        namespace: str,
        counted: list[tuple[Collection, Evaluator]],
    ) -> None:
        hard = quota["spec"].get("hard") or {}
        found = []
        for collection, evaluator in counted:
            if evaluator.matching(hard):
                found.append((evaluator, await self._list(collection.path(namespace))))
        status = quota.get("status") or {}
        limits, used = recount(quota, found, self._client.clock.now_s())
        same = read(status.get("hard")) == read(limits) and read(status.get("used")) == read(used)
        if not same or "hard" not in status:
            quota["status"] = {"hard": limits, "used": used}
            await self._client.request("PUT", f"{path}/status", quota)

    async def _list(self, path: str) -> list[JsonObject]:
        items: list[JsonObject] = []
        query = {"limit": str(_PAGE_SIZE)}
        while True:
            page = await self._client.request("GET", path, query=query)
            items += page.get("items") or []
            more = page["metadata"].get("continue")
            if not more:
                return items
            query["continue"] = more

    def _follow(self, namespace: str, paths: list[str] | tuple[()]) -> None:
        """Watch just these collections of a namespace."""
        assert self._scope is not None
        wanted = {(namespace, path) for path in paths}
        for key in [key for key in self._followed if key[0] == namespace and key not in wanted]:
            self._followed.pop(key).cancel()
        for key in wanted - self._followed.keys():
            if len(self._followed) >= _FOLLOWED_MAX:
                return
            reflector = Reflector(self._client, key[1], _Freed(lambda: self._soon(namespace)))
            self._followed[key] = self._scope.spawn(
                reflector.run(), name=f"quota watch of {key[1]}"
            )

    def _soon(self, namespace: str) -> None:
        self._queue.add_after(namespace, _WAITS_S[0])


class _Freed:
    """Told of a collection, hears whether less may be used now; keeps nothing."""

    def __init__(self, told: Callable[[], None]) -> None:
        self._told = told

    def begin(self) -> None:
        """All there is comes; it was counted."""

    def take(self, events: Sequence[Told]) -> None:
        """See whether anything went, or is over."""
        for change, obj, _ in events:
            if change is Change.DELETED or (change is Change.MODIFIED and _may_free(obj)):
                self._told()
                return

    def sweep(self) -> Iterator[None]:
        """What went while nobody looked is not told: count."""
        self._told()
        return iter(())


def is_counted(quota: JsonObject) -> bool:
    """Tell whether a quota's status is about its limits as they are."""
    status = quota.get("status") or {}
    hard = quota["spec"].get("hard") or {}
    is_same = "hard" in status and read(status["hard"]) == read(hard)
    return is_same and (status.get("used") or {}).keys() >= _countable(hard)


def _names(quotas: Sequence[JsonObject]) -> set[str]:
    return {name for quota in quotas for name in (quota["spec"].get("hard") or {})}


def _may_be_custom(name: str) -> bool:
    """Tell whether a name may be that of the count of a type that is not built in."""
    return name.startswith("count/") and "." in name


def _unknown(names: set[str], counted: Sequence[tuple[Collection, Evaluator]]) -> set[str]:
    """Return the counts of types among a quota's names that no collection is known for."""
    found = {name for name in names if _may_be_custom(name)}
    for _, evaluator in counted:
        found.difference_update(evaluator.matching(found))
    return found


def _countable(hard: JsonObject) -> set[str]:
    """Return the names that are counted whatever types there are."""
    found: set[str] = set()
    for plural in ("pods", "services", "persistentvolumeclaims"):
        evaluator = evaluator_of("", plural)
        assert evaluator is not None
        found.update(evaluator.matching(hard))
    return found


def _may_free(obj: JsonObject) -> bool:
    """Tell whether an object may take less than before: a pod that is over, or what is no pod."""
    phase = (obj.get("status") or {}).get("phase")
    if "containers" in (obj.get("spec") or {}):
        return phase in _FINISHED
    return "ports" in (obj.get("spec") or {}) or "resources" in (obj.get("spec") or {})
