"""pods/eviction: a delete that disruption budgets may refuse.

The budget's allowance is taken before the pod is deleted, on the condition that the budget is as it
was read: two evictions never spend the same allowance.
"""

from __future__ import annotations

from typing import Final

import orjson

from apiserver.documents import read_request
from apiserver.exchange import Exchange
from apiserver.metadata import ensure_namespace
from apiserver.options import DeleteOptions, WriteOptions, delete_options, write_options
from apiserver.resources import Resource, Target
from apiserver.server import Server
from apiserver.types.pods.conditions import set_condition
from apiserver.verbs.admitting import admit
from apiserver.verbs.answer import respond_document
from apiserver.verbs.delete import delete_object
from apiserver.verbs.update import Change, Part
from kube import status as st
from kube import times
from kube.json_types import JsonObject
from kube.selector_parser import label_selector_of
from storage.record import Record
from storage.scan import Query

_BUDGETS: Final = "policy/poddisruptionbudgets"
_DISRUPTED_MAX: Final = 2000
_FINISHED: Final = ("Succeeded", "Failed")
_REFUSED: Final = "Cannot evict pod as it would violate the pod's disruption budget."
_TOO_MANY_BUDGETS: Final[JsonObject] = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Failure",
    "message": (
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not "
        "support."
    ),
    "code": 500,
}
"""Upstream sends this failure as the answer of a create that went well, with HTTP status 201."""


async def evict(server: Server, exchange: Exchange, target: Target) -> None:
    """Delete a pod if its disruption budget allows it."""
    pods = target.resource
    options = write_options(exchange, "CreateOptions")
    part = target.subresource_info
    eviction = await read_request(exchange, pods, options.field_validation, part)
    ensure_namespace(pods, target.namespace, eviction["metadata"])
    if eviction["metadata"].get("name") != target.name:
        raise st.bad_request("name in URL does not match name in Eviction object")
    eviction = await admit(server, exchange, target, eviction, options)
    deletion = delete_options(exchange, eviction.get("deleteOptions") or {})
    deletion.dry_run = deletion.dry_run or options.dry_run
    record = await server.read(pods, target.namespace, target.name)
    pod: JsonObject = orjson.loads(record.body)
    if not _is_free_to_go(pod):
        budgets = await _budgets_of(server, pod)
        if len(budgets) > 1:
            await respond_document(exchange, _TOO_MANY_BUDGETS, 201)
            return
        if budgets:
            await _spend(server, exchange, budgets[0], pod, deletion)
            if deletion.uid is None:
                # The allowance was taken for this very pod.
                deletion.uid = pod["metadata"]["uid"]
    await delete_object(server, None, pods, (target.namespace, target.name), deletion)
    success = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "code": 201,
    }
    await respond_document(exchange, success, 201)


def _is_free_to_go(pod: JsonObject) -> bool:
    """Tell whether no budget matters: the pod is over, has not begun, or is leaving already."""
    phase = pod.get("status", {}).get("phase", "")
    return (
        phase in _FINISHED or phase == "Pending" or bool(pod["metadata"].get("deletionTimestamp"))
    )


async def _budgets_of(server: Server, pod: JsonObject) -> list[JsonObject]:
    budgets = server.catalog.by_storage[_BUDGETS]
    await server.fresh(budgets)
    labels = pod["metadata"].get("labels") or {}
    found: list[JsonObject] = []
    with server.store.scan(Query(_BUDGETS, pod["metadata"]["namespace"])) as scan:
        for chunk in scan:
            for record in chunk:
                budget: JsonObject = orjson.loads(record.body)
                if label_selector_of(budget["spec"].get("selector")).matches(labels):
                    found.append(budget)
    return found


async def _spend(
    server: Server,
    exchange: Exchange,
    budget: JsonObject,
    pod: JsonObject,
    deletion: DeleteOptions,
) -> None:
    """Take one disruption off the budget, unless a pod that is not ready may go without."""
    if _is_unready_and_unguarded(budget, pod):
        return
    budgets: Resource = server.catalog.by_storage[_BUDGETS]
    now = times.format_seconds(int(server.clock.now_s()))
    name = pod["metadata"]["name"]

    def produce(_record: Record, old: JsonObject) -> JsonObject:
        new: JsonObject = orjson.loads(orjson.dumps(old))
        _take(new, name, now)
        return new

    options = WriteOptions(dry_run=deletion.dry_run)
    change = Change(server, exchange, budgets, produce, options, Part.OWN, admitted=False)
    await change.apply(budget["metadata"]["namespace"], budget["metadata"]["name"])


def _is_unready_and_unguarded(budget: JsonObject, pod: JsonObject) -> bool:
    """AlwaysAllow, and IfHealthyBudget with a healthy budget, let broken pods go."""
    conditions = pod.get("status", {}).get("conditions", ())
    if any(one["type"] == "Ready" and one["status"] == "True" for one in conditions):
        return False
    if budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status", {})
    healthy, desired = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
    return bool(healthy >= desired > 0)


def _take(budget: JsonObject, pod_name: str, now: str) -> None:
    metadata, status = budget["metadata"], budget.setdefault("status", {})
    name = metadata["name"]
    if status.get("observedGeneration", 0) < metadata.get("generation", 0):
        error = st.too_many_requests(_REFUSED, 10)
        text = f"The disruption budget {name} is still being processed by the server."
        error.status["details"]["causes"] = [{"reason": "DisruptionBudget", "message": text}]
        raise error
    allowed = status.get("disruptionsAllowed", 0)
    if allowed < 0:
        why = "pdb disruptions allowed is negative"
        raise st.forbidden("policy", "poddisruptionbudget", name, why)
    disrupted = status.setdefault("disruptedPods", {})
    if len(disrupted) > _DISRUPTED_MAX:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise st.forbidden("policy", "poddisruptionbudget", name, why)
    if allowed == 0:
        error = st.too_many_requests(_REFUSED, 0)
        del error.status["details"]["retryAfterSeconds"]
        error.headers = ()
        text = (
            f"The disruption budget {name} needs {status.get('desiredHealthy', 0)} healthy pods "
            f"and has {status.get('currentHealthy', 0)} currently"
        )
        error.status["details"]["causes"] = [{"reason": "DisruptionBudget", "message": text}]
        raise error
    status["disruptionsAllowed"] = allowed - 1
    if allowed == 1:
        exhausted = {
            "type": "DisruptionAllowed",
            "status": "False",
            "observedGeneration": status.get("observedGeneration", 0),
            "reason": "InsufficientPods",
            "message": "",
        }
        set_condition(status, exhausted, now)
    disrupted[pod_name] = now
