"""Priority and fairness as objects."""

from __future__ import annotations

from typing import Any, Final

from conformance.checks import has, same
from conformance.operations import Operations, check_discovery, check_operations
from conformance.registry import case
from conformance.resource import Resource
from conformance.stage import Stage
from kube.json_types import JsonObject

_GROUP: Final = "flowcontrol.apiserver.k8s.io/v1"


async def _check_status(stage: Stage, resource: Resource, template: JsonObject) -> None:
    """Demand that /status can be read, patched and updated."""
    name = f"status-{stage.unique}"
    created = await resource.create({**template, "metadata": {"name": name}})
    stage.remove(resource, name)
    gotten = await resource.get(name, "status")
    same(gotten["metadata"]["uid"], created["metadata"]["uid"], "uid of /status")
    condition = {"type": "PatchStatusFailed", "status": "False", "reason": "e2e"}
    patched = await resource.patch(name, {"status": {"conditions": [condition]}}, part="status")
    kinds = [entry["type"] for entry in patched["status"]["conditions"]]
    same(kinds, ["PatchStatusFailed"], "conditions patched")

    def change(obj: JsonObject) -> None:
        more = {"type": "StatusUpdateFailed", "status": "False", "reason": "E2E", "message": "x"}
        obj["status"]["conditions"].append(more)

    updated = await resource.update(name, change, "status")
    kinds = [entry["type"] for entry in updated["status"]["conditions"]]
    has(kinds, "StatusUpdateFailed", "conditions updated")


@case(
    "[sig-api-machinery] API priority and fairness should support FlowSchema API operations "
    "[Conformance]"
)
async def flow_schemas(stage: Stage) -> None:
    """FlowSchemas have all verbs and a status."""
    await check_discovery(stage, _GROUP, "flowschemas", "flowschemas/status")
    resource = stage.cluster(_GROUP, "flowschemas", "FlowSchema")
    rule = {
        "subjects": [{"kind": "User", "user": {"name": "example-e2e-non-existent-user"}}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    }
    spec: Any = {
        "matchingPrecedence": 10_000,
        "priorityLevelConfiguration": {"name": "global-default"},
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [rule],
    }

    def change(obj: JsonObject) -> None:
        obj["metadata"]["annotations"]["updated"] = "true"
        obj["spec"]["matchingPrecedence"] = 9_998

    steps = Operations(
        {"spec": spec},
        {
            "metadata": {"annotations": {"patched": "true"}},
            "spec": {"matchingPrecedence": 9_999},
        },
        lambda obj: obj["spec"]["matchingPrecedence"] == 9_999,
        change,
        lambda obj: obj["spec"]["matchingPrecedence"] == 9_998,
    )
    await _check_status(stage, resource, {"spec": spec})
    await check_operations(stage, resource, steps)


@case(
    "[sig-api-machinery] API priority and fairness should support PriorityLevelConfiguration API "
    "operations [Conformance]"
)
async def priority_levels(stage: Stage) -> None:
    """So have PriorityLevelConfigurations."""
    plural = "prioritylevelconfigurations"
    await check_discovery(stage, _GROUP, plural, f"{plural}/status")
    resource = stage.cluster(_GROUP, plural, "PriorityLevelConfiguration")
    spec: Any = {
        "type": "Limited",
        "limited": {"nominalConcurrencyShares": 2, "limitResponse": {"type": "Reject"}},
    }

    def shares(obj: JsonObject) -> int:
        found: int = obj["spec"]["limited"]["nominalConcurrencyShares"]
        return found

    def change(obj: JsonObject) -> None:
        obj["metadata"]["annotations"]["updated"] = "true"
        obj["spec"]["limited"]["nominalConcurrencyShares"] = 6

    steps = Operations(
        {"spec": spec},
        {
            "metadata": {"annotations": {"patched": "true"}},
            "spec": {"limited": {"nominalConcurrencyShares": 4}},
        },
        lambda obj: shares(obj) == 4,
        change,
        lambda obj: shares(obj) == 6,
    )
    await _check_status(stage, resource, {"spec": spec})
    await check_operations(stage, resource, steps)
