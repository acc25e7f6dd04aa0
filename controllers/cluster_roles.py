"""Fills the ClusterRoles that are made of others: their rules are those of all roles selected.

All ClusterRoles are kept in memory. One that changes may be a part of any aggregated role, so each
of those is worked out again: there are few, and the work is a comparison of labels.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from controllers.workqueue import Backoff, WorkQueue, run_worker
from kube.client import ApiClient
from kube.informers.changes import Change
from kube.json_types import JsonObject
from kube.selector_parser import SelectorError, label_selector_of
from kube.status import StatusError
from runtime.tasks import TaskScope

PATH: Final = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
_AGAIN_S: Final = 1.0


class ClusterRoleController:
    """See the module's head."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._queue: WorkQueue[str] = WorkQueue(Backoff(first_s=0.1, most_s=30.0))
        self._roles: dict[str, JsonObject] = {}
        self._aggregated: set[str] = set()

    def start(self, scope: TaskScope) -> None:
        """Start the worker in `scope`, once the watch is synced: before, roles seem absent."""
        scope.spawn(run_worker(self._queue, self.reconcile), name="cluster roles")

    def observe(self, change: Change, role: JsonObject) -> None:
        """Take note of a role's change."""
        name = role["metadata"]["name"]
        if change is Change.DELETED:
            self._roles.pop(name, None)
            self._aggregated.discard(name)
        else:
            self._roles[name] = role
            if role.get("aggregationRule"):
                self._aggregated.add(name)
            else:
                self._aggregated.discard(name)
        for aggregated in self._aggregated:
            self._queue.add(aggregated)

    async def reconcile(self, name: str) -> float | None:
        """Give a role the rules it should have; return in how many seconds to look again."""
        role = self._roles.get(name)
        if role is None or name not in self._aggregated:
            return None
        rules = aggregated_rules(role, self._roles.values())
        if rules == (role.get("rules") or []):
            return None
        try:
            await self._client.request("PUT", f"{PATH}/{name}", {**role, "rules": rules})
        except StatusError as error:
            if error.reason == "NotFound":
                return None
            if error.reason != "Conflict":
                raise
            return _AGAIN_S  # the watch is about to show what is there now
        return None


def aggregated_rules(role: JsonObject, roles: Iterable[JsonObject]) -> list[JsonObject]:
    """Return the rules of all roles that an aggregated role selects, each rule once.

    They come selector by selector, and by the roles' names below that. A selector that can't be
    read selects nothing.
    """
    rules: list[JsonObject] = []
    named = sorted(roles, key=lambda one: str(one["metadata"]["name"]))
    for written in role["aggregationRule"].get("clusterRoleSelectors") or ():
        try:
            selector = label_selector_of(written)
        except SelectorError:
            continue
        for other in named:
            metadata = other["metadata"]
            if metadata["name"] == role["metadata"]["name"]:
                continue
            if selector.matches(metadata.get("labels")):
                rules += [rule for rule in other.get("rules") or () if rule not in rules]
    return rules
