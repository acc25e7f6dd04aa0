"""Validating webhooks, served from this machine."""

from __future__ import annotations

from typing import Any, Final

from conformance.api import Call
from conformance.checks import check, eventually, has, refused, same
from conformance.custom import custom_resource, definition, definitions
from conformance.operations import check_discovery
from conformance.registry import case
from conformance.resource import JSON_PATCH
from conformance.samples import pod
from conformance.stage import Stage
from conformance.webhook_configs import (
    GROUP,
    configurations,
    hook,
    register,
    rule,
    until_allowed,
    until_denied,
)
from conformance.webhook_server import DELAY_S, serve_webhooks
from kube.json_types import JsonObject

_SPEC: Final = "[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin]"
_MAPS_DENIED: Final = "the configmap contains unwanted key and value"
_CREATE_UPDATE: Final = ("CREATE", "UPDATE")


def _map(name: str, value: str = "webhook-disallow") -> JsonObject:
    return {"metadata": {"name": name}, "data": {"webhook-e2e-test": value}}


@case(f"{_SPEC} should include webhook resources in discovery documents [Conformance]", local=True)
async def discovery(stage: Stage) -> None:
    """The documents tell of both kinds of configurations."""
    plurals = ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
    await check_discovery(stage, GROUP, *plurals)


@case(f"{_SPEC} should be able to deny pod and configmap creation [Conformance]", local=True)
async def deny(stage: Stage) -> None:
    """What the webhook does not like is not created, updated or patched; nor if it hangs."""
    async with serve_webhooks(stage) as webhooks:
        slow = "/always-allow-delay-5s"
        hanging: Any = {
            "objectSelector": {"matchLabels": {"hang": "true"}},
            "timeoutSeconds": 1,
            "failurePolicy": "Fail",
        }
        await register(
            stage,
            "Validating",
            hook(stage, webhooks, "deny-pods.k8s.io", "/pods", rule("pods")),
            hook(stage, webhooks, "hang.k8s.io", slow, rule("pods"), **hanging),
            hook(
                stage,
                webhooks,
                "deny-maps.k8s.io",
                "/configmaps",
                rule("configmaps", *_CREATE_UPDATE),
            ),
        )
        bad = pod("disallowed-pod", labels={"webhook-e2e-test": "webhook-disallow"})
        bad["spec"]["containers"][0]["name"] = "webhook-disallow"
        await until_denied(stage, stage.pods, bad, "the pod contains unwanted container name")
        await refused("", stage.pods.create(bad), containing="the pod contains unwanted label")
        stuck = pod("hanging-pod", labels={"hang": "true"})
        error = await refused("", stage.pods.create(stuck))
        for word in ("webhook", "deadline"):
            has(str(error), word, "the refusal for a webhook that hangs")
        await refused("NotFound", stage.pods.get("hanging-pod"))
        await until_denied(stage, stage.config_maps, _map("bad"), _MAPS_DENIED)
        await stage.config_maps.create({"metadata": {"name": "admitted"}, "data": {"ok": "yes"}})

        def spoil(obj: JsonObject) -> None:
            obj["data"]["webhook-e2e-test"] = "webhook-disallow"

        update = stage.config_maps.update("admitted", spoil)
        await refused("", update, containing=_MAPS_DENIED)
        patch = {"data": {"webhook-e2e-test": "webhook-disallow"}}
        await refused("", stage.config_maps.patch("admitted", patch), containing=_MAPS_DENIED)
        other = (await stage.new_namespace("exempted"))["metadata"]["name"]
        await stage.config_maps.within(other).create(_map("bad"))


@case(f"{_SPEC} should be able to deny attaching pod [Conformance]", local=True)
async def deny_attach(stage: Stage) -> None:
    """A connection is an operation, too."""
    async with serve_webhooks(stage) as webhooks:
        attach = rule("pods/attach", "CONNECT")
        await register(
            stage, "Validating", hook(stage, webhooks, "deny-attach.k8s.io", "/pods/attach", attach)
        )
        await stage.pods.create(pod("to-be-attached-pod"))
        path = f"{stage.pods.path}/to-be-attached-pod/attach"
        query = {"container": "pause", "stdin": "true", "stdout": "true"}

        async def denied() -> bool:
            await refused(
                "",
                stage.api.call(Call("POST", path, query=query)),
                containing="attaching to pod 'to-be-attached-pod' is not allowed",
            )
            return True

        await eventually("attaching is denied", denied)


@case(
    f"{_SPEC} should be able to deny custom resource creation, update and deletion [Conformance]",
    local=True,
)
async def deny_custom(stage: Stage) -> None:
    """Custom resources are asked about like others, their deletion as well."""
    async with serve_webhooks(stage) as webhooks:
        group = f"{stage.unique}.example.com"
        custom = await custom_resource(stage, group, "E2eTest", scope="Namespaced")
        resource = custom.resource
        operations = ("CREATE", "UPDATE", "DELETE")
        rules = rule(custom.plural, *operations, group=group)
        denying = hook(stage, webhooks, "deny-custom.k8s.io", "/custom-resource", rules)
        await register(stage, "Validating", denying)
        message = "the custom resource contains unwanted data"
        await until_denied(stage, resource, _map("cr-1"), message)
        await resource.create(_map("cr-2", "webhook-allow"))
        bad = {"data": {"webhook-e2e-test": "webhook-disallow"}}
        await refused("", resource.patch("cr-2", bad), containing=message)
        # One from before the webhook, which forbids its deletion.
        await configurations(stage, "Validating").delete(stage.unique)
        await eventually("it can be spoilt", lambda: resource.patch("cr-2", bad))
        await register(stage, "Validating", denying)
        await until_denied(stage, resource, _map("cr-3"), message)
        await refused("", resource.delete("cr-2"), containing=message)
        good = {"data": {"webhook-e2e-test": "webhook-allow"}}
        await resource.patch("cr-2", good)
        await resource.delete("cr-2")


@case(
    f"{_SPEC} should unconditionally reject operations on fail closed webhook [Conformance]",
    local=True,
)
async def fail_closed(stage: Stage) -> None:
    """A webhook that cannot be trusted denies everything, if it is to fail closed."""
    async with serve_webhooks(stage) as webhooks:
        closed = hook(
            stage,
            webhooks,
            "fail-closed.k8s.io",
            "/configmaps",
            rule("configmaps"),
            failurePolicy="Fail",
        )
        # Without the authority's certificate nobody trusts the server.
        del closed["clientConfig"]["caBundle"]
        await register(stage, "Validating", closed)
        await until_denied(
            stage, stage.config_maps, {"metadata": {"name": "foo"}}, "failed calling webhook"
        )
        await refused("InternalError", stage.config_maps.create({"metadata": {"name": "foo"}}))


@case(f"{_SPEC} should deny crd creation [Conformance]", local=True)
async def deny_definition(stage: Stage) -> None:
    """A definition is an object like others."""
    async with serve_webhooks(stage) as webhooks:
        wanted = rule("*", group="apiextensions.k8s.io", version="*")
        denying = hook(stage, webhooks, "deny-crd.k8s.io", "/crd", wanted)
        # Objects of the cluster are in no namespace: these are told by their labels.
        del denying["namespaceSelector"]
        denying["objectSelector"] = {"matchLabels": {stage.unique: "true"}}
        await register(stage, "Validating", denying)
        bad = definition(f"{stage.unique}.example.com", "Foo")
        bad["metadata"]["labels"] = {"webhook-e2e-test": "webhook-disallow", stage.unique: "true"}
        await until_denied(stage, definitions(stage), bad, "the crd contains unwanted label")


@case(f"{_SPEC} should honor timeout [Conformance]", local=True, timeout_s=180)
async def timeouts(stage: Stage) -> None:
    """A webhook that is slower than its timeout fails as its policy says, and no other does."""
    async with serve_webhooks(stage) as webhooks:
        resource = configurations(stage, "Validating")
        names = iter(f"timeout-{number}" for number in range(100))

        async def configured(timeout_s: int | None, policy: str) -> None:
            more: Any = {"failurePolicy": policy}
            if timeout_s is not None:
                more["timeoutSeconds"] = timeout_s
            slow = hook(
                stage,
                webhooks,
                "slow.k8s.io",
                "/always-allow-delay-5s",
                rule("configmaps"),
                **more,
            )
            # A webhook that answers at once tells that the configuration is in force.
            ready: Any = {"objectSelector": {"matchLabels": {"marker": "true"}}}
            marker = hook(
                stage, webhooks, "ready.k8s.io", "/always-deny", rule("configmaps"), **ready
            )
            slow["objectSelector"] = {
                "matchExpressions": [{"key": "marker", "operator": "DoesNotExist"}]
            }
            await register(stage, "Validating", slow, marker)
            obj = {"metadata": {"name": "marker", "labels": {"marker": "true"}}}
            await until_denied(stage, stage.config_maps, obj, "denies all requests")

        async def reset() -> None:
            await resource.delete(stage.unique)
            obj = {"metadata": {"name": "marker", "labels": {"marker": "true"}}}
            await until_allowed(stage, stage.config_maps, obj)

        def another() -> JsonObject:
            return {"metadata": {"name": next(names)}}

        await configured(1, "Fail")
        error = await refused("", stage.config_maps.create(another()))
        told = any(word in str(error) for word in ("context deadline exceeded", "timeout"))
        check(told, f"a webhook that is too slow is told as such: {error}")
        await reset()
        await configured(1, "Ignore")
        await stage.config_maps.create(another())
        await reset()
        for longer in (int(DELAY_S) * 2, None):
            await configured(longer, "Fail")
            await stage.config_maps.create(another())
            await reset()


@case(f"{_SPEC} patching/updating a validating webhook should work [Conformance]", local=True)
async def change(stage: Stage) -> None:
    """Rules that are updated or patched count for what comes next."""
    async with serve_webhooks(stage) as webhooks:
        denying = hook(stage, webhooks, "deny-maps.k8s.io", "/configmaps", rule("configmaps"))
        await register(stage, "Validating", denying)
        await until_denied(stage, stage.config_maps, _map("bad"), _MAPS_DENIED)
        resource = configurations(stage, "Validating")

        def only_updates(obj: JsonObject) -> None:
            obj["webhooks"][0]["rules"][0]["operations"] = ["UPDATE"]

        await resource.update(stage.unique, only_updates)
        await until_allowed(stage, stage.config_maps, _map("bad"))
        path = "/webhooks/0/rules/0/operations"
        patch: Any = [{"op": "replace", "path": path, "value": ["CREATE"]}]
        await resource.patch(stage.unique, patch, JSON_PATCH)
        await until_denied(stage, stage.config_maps, _map("bad"), _MAPS_DENIED)


@case(f"{_SPEC} listing validating webhooks should work [Conformance]", local=True)
async def collection(stage: Stage) -> None:
    """Ten with a label are listed; deleted as a collection, they deny no more."""
    async with serve_webhooks(stage) as webhooks:
        denying = hook(stage, webhooks, "deny-maps.k8s.io", "/configmaps", rule("configmaps"))
        for number in range(10):
            name = f"{stage.unique}-{number}"
            await register(stage, "Validating", denying, name=name, labels={"e2e": stage.unique})
        resource, selector = configurations(stage, "Validating"), f"e2e={stage.unique}"
        same(len(await resource.items(labelSelector=selector)), 10, "configurations")
        await until_denied(stage, stage.config_maps, _map("bad"), _MAPS_DENIED)
        await resource.delete_all(selector)
        await until_allowed(stage, stage.config_maps, _map("bad"))
