"""Webhook configurations of cases: which hook is asked for what, in the case's namespace alone."""

from __future__ import annotations

from typing import Any, Final

from conformance.checks import CaseFailed, eventually
from conformance.resource import Resource
from conformance.stage import Stage
from conformance.webhook_server import Webhooks
from kube.json_types import JsonObject
from kube.status import StatusError

GROUP: Final = "admissionregistration.k8s.io/v1"
IN_FORCE_S: Final = 30.0


def configurations(stage: Stage, word: str) -> Resource:
    """Return the type of configurations: of Validating or Mutating ones."""
    plural = f"{word.lower()}webhookconfigurations"
    return stage.cluster(GROUP, plural, f"{word}WebhookConfiguration")


def rule(resource: str, *operations: str, group: str = "", version: str = "v1") -> JsonObject:
    """Return a rule for writes of one resource."""
    return {
        "operations": list(operations or ("CREATE",)),
        "apiGroups": [group],
        "apiVersions": [version],
        "resources": [resource],
    }


def hook(
    stage: Stage, webhooks: Webhooks, name: str, path: str, *rules: JsonObject, **more: Any
) -> JsonObject:
    """Return a webhook that is asked about objects in the case's namespace."""
    return {
        "name": name,
        "rules": list(rules),
        "clientConfig": webhooks.client(path),
        "sideEffects": "None",
        "admissionReviewVersions": ["v1", "v1beta1"],
        "namespaceSelector": {"matchLabels": {stage.unique: "true"}},
        **more,
    }


def to_mutate(name: str) -> JsonObject:
    """Return an object with what mutating webhooks add to."""
    return {"metadata": {"name": name}, "data": {"mutation-start": "yes"}}


async def select_namespace(stage: Stage) -> None:
    """Label the case's namespace, so that its webhooks are asked."""
    labels = {"metadata": {"labels": {stage.unique: "true"}}}
    await stage.namespaces.patch(stage.namespace, labels)


async def register(
    stage: Stage,
    word: str,
    *hooks: JsonObject,
    name: str = "",
    labels: dict[str, str] | None = None,
) -> JsonObject:
    """Create a configuration, and have it deleted in the end."""
    await select_namespace(stage)
    resource = configurations(stage, word)
    metadata: JsonObject = {"name": name or stage.unique, "labels": labels or {}}
    created = await resource.create({"metadata": metadata, "webhooks": list(hooks)})
    stage.remove(resource, metadata["name"])
    return created


async def until_denied(stage: Stage, resource: Resource, obj: JsonObject, message: str) -> None:
    """Wait until creating an object is denied, with a message; what is let through is deleted."""
    name = obj["metadata"]["name"]

    async def look() -> bool:
        try:
            await resource.create(obj)
        except StatusError as error:
            if message not in str(error):
                raise CaseFailed(f"denied otherwise: {error}") from error
            return True
        await resource.delete(name)
        return False

    await eventually(f"{name} is denied", look, within_s=IN_FORCE_S)


async def until_allowed(stage: Stage, resource: Resource, obj: JsonObject) -> JsonObject:
    """Wait until creating an object is not denied any more; return it, deleted again."""
    created = await eventually(
        "the object is allowed", lambda: resource.create(obj), within_s=IN_FORCE_S
    )
    await resource.delete(obj["metadata"]["name"])
    return created


async def until_mutated(
    stage: Stage, resource: Resource, obj: JsonObject, key: str, *, mutated: bool = True
) -> JsonObject:
    """Wait until a created object's data has a key, or has it no more; return it, deleted again."""

    async def look() -> JsonObject:
        created = await resource.create(obj)
        await resource.delete(obj["metadata"]["name"])
        if (key in (created.get("data") or {})) != mutated:
            raise CaseFailed(f"{key} in the data of {created}: expected {mutated}")
        return created

    return await eventually("the object is mutated as it should be", look, within_s=IN_FORCE_S)
