"""Match conditions of webhooks: kept as written, refused if they do not compile, and in force."""

from __future__ import annotations

from typing import Any, Final

from conformance.checks import refused, same
from conformance.registry import case
from conformance.stage import Stage
from conformance.webhook_configs import (
    configurations,
    hook,
    register,
    rule,
    to_mutate,
    until_allowed,
    until_mutated,
)
from conformance.webhook_server import serve_webhooks
from kube.json_types import JsonObject

_SPEC: Final = "[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin]"


def _conditions(*expressions: str) -> list[JsonObject]:
    return [
        {"name": f"expression-{number}", "expression": text}
        for number, text in enumerate(expressions, start=1)
    ]


async def _check_kept(stage: Stage, word: str) -> None:
    """Demand that conditions are kept as written, and as updated."""
    async with serve_webhooks(stage) as webhooks:
        first = _conditions("object.metadata.namespace == 'production'", "1 == 1")
        some: Any = {"matchConditions": first}
        path = "/always-deny"
        created = await register(
            stage, word, hook(stage, webhooks, "conditions.k8s.io", path, rule("pods"), **some)
        )
        same(created["webhooks"][0]["matchConditions"], first, "conditions created")
        more = _conditions("object.metadata.namespace == 'production'", "1 == 1", "2 == 2")

        def change(obj: JsonObject) -> None:
            obj["webhooks"][0]["matchConditions"] = more

        resource = configurations(stage, word)
        updated = await resource.update(stage.unique, change)
        same(updated["webhooks"][0]["matchConditions"], more, "conditions updated")
        gotten = await resource.get(stage.unique)
        same(gotten["webhooks"][0]["matchConditions"], more, "conditions gotten")


async def _check_refused(stage: Stage, word: str) -> None:
    """Demand that a condition that does not compile is refused."""
    async with serve_webhooks(stage) as webhooks:
        some: Any = {"matchConditions": _conditions("... [] bad expression")}
        bad = hook(stage, webhooks, "conditions.k8s.io", "/always-deny", rule("pods"), **some)
        await refused("Invalid", register(stage, word, bad), containing="compilation failed")


@case(
    f"{_SPEC} should be able to create and update validating webhook configurations with match "
    "conditions [Conformance]",
    local=True,
)
async def validating(stage: Stage) -> None:
    """Conditions of a validating webhook."""
    await _check_kept(stage, "Validating")


@case(
    f"{_SPEC} should reject validating webhook configurations with invalid match conditions "
    "[Conformance]",
    local=True,
)
async def validating_bad(stage: Stage) -> None:
    """What is no condition."""
    await _check_refused(stage, "Validating")


@case(
    f"{_SPEC} should be able to create and update mutating webhook configurations with match "
    "conditions [Conformance]",
    local=True,
)
async def mutating(stage: Stage) -> None:
    """Conditions of a mutating webhook."""
    await _check_kept(stage, "Mutating")


@case(
    f"{_SPEC} should reject mutating webhook configurations with invalid match conditions "
    "[Conformance]",
    local=True,
)
async def mutating_bad(stage: Stage) -> None:
    """What is no condition."""
    await _check_refused(stage, "Mutating")


@case(f"{_SPEC} should mutate everything except 'skip-me' configmaps [Conformance]", local=True)
async def skip_me(stage: Stage) -> None:
    """A condition spares one name."""
    async with serve_webhooks(stage) as webhooks:
        some: Any = {
            "matchConditions": [
                {"name": "skip-me", "expression": "object.metadata.name != 'skip-me'"}
            ]
        }
        path = "/mutating-configmaps"
        adding = hook(stage, webhooks, "add.k8s.io", path, rule("configmaps"), **some)
        await register(stage, "Mutating", adding)
        await until_mutated(stage, stage.config_maps, to_mutate("not-me"), "mutation-stage-1")
        spared = await until_allowed(stage, stage.config_maps, to_mutate("skip-me"))
        same(spared["data"], {"mutation-start": "yes"}, "data of the one that is spared")
