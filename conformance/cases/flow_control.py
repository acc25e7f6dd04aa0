"""Priority and fairness as objects."""

from __future__ import annotations

from typing import Any, Final

from conformance.operations import check_discovery, check_operations, check_status, setting
from conformance.registry import case
from conformance.stage import Stage

_GROUP: Final = "flowcontrol.apiserver.k8s.io/v1"


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
    steps = setting({"spec": spec}, ["matchingPrecedence"], 9_999, 9_998)
    await check_status(stage, resource, {"spec": spec})
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
    steps = setting({"spec": spec}, ["limited", "nominalConcurrencyShares"], 4, 6)
    await check_status(stage, resource, {"spec": spec})
    await check_operations(stage, resource, steps)
