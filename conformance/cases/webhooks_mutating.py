"""Mutating webhooks, served from this machine."""

from __future__ import annotations

from typing import Any, Final

from conformance.checks import CaseFailed, check, eventually, has, same
from conformance.custom import Custom, custom_resource, definitions, version
from conformance.registry import case
from conformance.resource import JSON_PATCH
from conformance.samples import pod
from conformance.stage import Stage
from conformance.webhook_configs import (
    configurations,
    hook,
    register,
    rule,
    to_mutate,
    until_mutated,
)
from conformance.webhook_server import Webhooks, serve_webhooks
from kube.json_types import JsonObject

_SPEC: Final = "[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin]"
_ALL: Final = {
    "mutation-start": "yes",
    "mutation-stage-1": "yes",
    "mutation-stage-2": "yes",
}


def _two_stages(
    stage: Stage, webhooks: Webhooks, path: str, *rules: JsonObject
) -> list[JsonObject]:
    return [
        hook(stage, webhooks, f"adding-data-stage-{number}.k8s.io", path, *rules)
        for number in (1, 2)
    ]


@case(f"{_SPEC} should mutate configmap [Conformance]", local=True)
async def config_maps(stage: Stage) -> None:
    """The second webhook sees what the first has added."""
    async with serve_webhooks(stage) as webhooks:
        hooks = _two_stages(stage, webhooks, "/mutating-configmaps", rule("configmaps"))
        await register(stage, "Mutating", *hooks)
        wanted = to_mutate("to-be-mutated")
        created = await until_mutated(stage, stage.config_maps, wanted, "mutation-stage-2")
        same(created["data"], _ALL, "data after both webhooks")


@case(f"{_SPEC} should mutate pod and apply defaults after mutation [Conformance]", local=True)
async def pods(stage: Stage) -> None:
    """What a webhook adds gets its defaults."""
    async with serve_webhooks(stage) as webhooks:
        await register(
            stage, "Mutating", hook(stage, webhooks, "init.k8s.io", "/mutating-pods", rule("pods"))
        )

        async def look() -> JsonObject:
            created = await stage.pods.create(pod("webhook-to-be-mutated"))
            await stage.pods.delete("webhook-to-be-mutated", gracePeriodSeconds=0)
            if not created["spec"].get("initContainers"):
                raise CaseFailed("the Pod was not mutated")
            return created

        created = await eventually("the Pod is mutated", look)
        added = created["spec"]["initContainers"]
        same([entry["name"] for entry in added], ["webhook-added-init-container"], "initContainers")
        same(added[0]["terminationMessagePolicy"], "File", "its terminationMessagePolicy")


@case(
    f"{_SPEC} should not be able to mutate or prevent deletion of webhook configuration objects "
    "[Conformance]",
    local=True,
)
async def not_themselves(stage: Stage) -> None:
    """Webhooks are not asked about webhook configurations: nobody is locked out."""
    async with serve_webhooks(stage) as webhooks:
        plurals = ("validatingwebhookconfigurations", "mutatingwebhookconfigurations")
        group = "admissionregistration.k8s.io"
        ours = {"objectSelector": {"matchLabels": {"e2e": stage.unique}}}
        deletes = [rule(plural, "DELETE", group=group, version="*") for plural in plurals]
        creates = [rule(plural, "CREATE", group=group, version="*") for plural in plurals]
        deny: Any = hook(stage, webhooks, "deny-deletion.k8s.io", "/always-deny", *deletes, **ours)
        label: Any = hook(stage, webhooks, "add-label.k8s.io", "/add-label", *creates, **ours)
        for entry in (deny, label):
            del entry["namespaceSelector"]
        await register(stage, "Validating", deny)
        await register(stage, "Mutating", label)
        await _wait_in_force(stage, webhooks)
        for word in ("Validating", "Mutating"):
            resource, name = configurations(stage, word), f"dummy-{stage.unique}"
            dummy = hook(stage, webhooks, "dummy.k8s.io", "/always-deny", rule("invalid"))
            metadata = {"name": name, "labels": {"e2e": stage.unique}}
            created = await resource.create({"metadata": metadata, "webhooks": [dummy]})
            check("added-label" not in created["metadata"]["labels"], f"{word}: nothing was added")
            await resource.delete(name)


async def _wait_in_force(stage: Stage, webhooks: Webhooks) -> None:
    """Wait until a configuration that is newer than the others counts."""
    stages = hook(stage, webhooks, "marker.k8s.io", "/mutating-configmaps", rule("configmaps"))
    await register(stage, "Mutating", stages, name=f"marker-{stage.unique}")
    await until_mutated(stage, stage.config_maps, to_mutate("marker"), "mutation-stage-1")


async def _custom(stage: Stage, *versions: JsonObject) -> Custom:
    group = f"{stage.unique}.example.com"
    return await custom_resource(stage, group, "E2eTest", *versions, scope="Namespaced")


@case(f"{_SPEC} should mutate custom resource [Conformance]", local=True)
async def custom_resources(stage: Stage) -> None:
    """Custom resources are mutated like others."""
    async with serve_webhooks(stage) as webhooks:
        custom = await _custom(stage)
        rules = rule(custom.plural, group=custom.group)
        hooks = _two_stages(stage, webhooks, "/mutating-custom-resource", rules)
        await register(stage, "Mutating", *hooks)
        wanted = to_mutate("cr-instance-1")
        created = await until_mutated(stage, custom.resource, wanted, "mutation-stage-2")
        same(created["data"], _ALL, "data after both webhooks")


@case(f"{_SPEC} should mutate custom resource with pruning [Conformance]", local=True)
async def pruning(stage: Stage) -> None:
    """What a webhook adds is pruned by the schema."""
    properties = {name: {"type": "string"} for name in ("mutation-start", "mutation-stage-1")}
    schema: Any = {
        "type": "object",
        "properties": {"data": {"type": "object", "properties": properties}},
    }
    async with serve_webhooks(stage) as webhooks:
        custom = await _custom(stage, version("v1", schema))
        rules = rule(custom.plural, group=custom.group)
        hooks = _two_stages(stage, webhooks, "/mutating-custom-resource", rules)
        await register(stage, "Mutating", *hooks)
        wanted = to_mutate("cr-instance-1")
        created = await until_mutated(stage, custom.resource, wanted, "mutation-stage-1")
        same(created["data"], dict.fromkeys(properties, "yes"), "data after webhooks and pruning")


@case(
    f"{_SPEC} should mutate custom resource with different stored version [Conformance]",
    local=True,
)
async def stored_version(stage: Stage) -> None:
    """An object stored in one version is patched, and mutated, when another is stored."""
    async with serve_webhooks(stage) as webhooks:
        custom = await _custom(stage, version("v1"), version("v2"))
        operations = ("CREATE", "UPDATE")
        rules = [
            rule(custom.plural, *operations, group=custom.group, version=name)
            for name in ("v1", "v2")
        ]
        hooks = _two_stages(stage, webhooks, "/mutating-custom-resource", *rules)
        await register(stage, "Mutating", *hooks)
        await until_mutated(stage, custom.resource, to_mutate("marker"), "mutation-stage-1")
        await custom.resource.create({"metadata": {"name": "cr-instance-1"}, "data": {}})
        patch = [
            {"op": "replace", "path": f"/spec/versions/{number}/storage", "value": bool(number)}
            for number in (0, 1)
        ]
        await definitions(stage).patch(custom.name, patch, JSON_PATCH)
        second = custom.version("v2")

        async def patched() -> JsonObject:
            return await second.patch("cr-instance-1", {"data": {"mutation-start": "yes"}})

        found = await eventually("the object can be patched at v2", patched)
        has(found["data"], _ALL, "data after the patch")
        same((await custom.resource.get("cr-instance-1"))["data"], found["data"], "data at v1")


@case(f"{_SPEC} patching/updating a mutating webhook should work [Conformance]", local=True)
async def change(stage: Stage) -> None:
    """Rules that are updated or patched count for what comes next."""
    async with serve_webhooks(stage) as webhooks:
        path, key = "/mutating-configmaps", "mutation-stage-1"
        await register(
            stage, "Mutating", hook(stage, webhooks, "add.k8s.io", path, rule("configmaps"))
        )
        await until_mutated(stage, stage.config_maps, to_mutate("map"), key)
        resource = configurations(stage, "Mutating")

        def only_updates(obj: JsonObject) -> None:
            obj["webhooks"][0]["rules"][0]["operations"] = ["UPDATE"]

        await resource.update(stage.unique, only_updates)
        await until_mutated(stage, stage.config_maps, to_mutate("map"), key, mutated=False)
        where = "/webhooks/0/rules/0/operations"
        patch: Any = [{"op": "replace", "path": where, "value": ["CREATE"]}]
        await resource.patch(stage.unique, patch, JSON_PATCH)
        await until_mutated(stage, stage.config_maps, to_mutate("map"), key)


@case(f"{_SPEC} listing mutating webhooks should work [Conformance]", local=True)
async def collection(stage: Stage) -> None:
    """Ten with a label are listed; deleted as a collection, they mutate no more."""
    async with serve_webhooks(stage) as webhooks:
        path, key = "/mutating-configmaps", "mutation-stage-1"
        adding = hook(stage, webhooks, "add.k8s.io", path, rule("configmaps"))
        for number in range(10):
            name = f"{stage.unique}-{number}"
            await register(stage, "Mutating", adding, name=name, labels={"e2e": stage.unique})
        resource, selector = configurations(stage, "Mutating"), f"e2e={stage.unique}"
        same(len(await resource.items(labelSelector=selector)), 10, "configurations")
        await until_mutated(stage, stage.config_maps, to_mutate("map"), key)
        await resource.delete_all(selector)
        await until_mutated(stage, stage.config_maps, to_mutate("map"), key, mutated=False)
