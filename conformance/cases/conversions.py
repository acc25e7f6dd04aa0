"""Custom resources in two versions, converted by a webhook served from this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from conformance.checks import eventually, has, same
from conformance.custom import Custom, custom_resource, definitions, version
from conformance.registry import case
from conformance.resource import JSON_PATCH, Resource
from conformance.stage import Stage
from conformance.watching import Watch
from conformance.webhook_server import serve_webhooks
from kube.json_types import JsonObject

_SPEC: Final = "[sig-api-machinery] CustomResourceConversionWebhook [Privileged:ClusterAdmin]"


@asynccontextmanager
async def _converted(stage: Stage) -> AsyncIterator[Custom]:
    """Give a custom resource whose v1 has a hostPort, and whose v2 has a host and a port."""

    def schema(*names: str) -> JsonObject:
        return {"type": "object", "properties": {name: {"type": "string"} for name in names}}

    def fields(*names: str) -> Any:
        return {"selectableFields": [{"jsonPath": f".{name}"} for name in names]}

    async with serve_webhooks(stage) as webhooks:
        webhook = {
            "clientConfig": webhooks.client("/crdconvert"),
            "conversionReviewVersions": ["v1", "v1beta1"],
        }
        yield await custom_resource(
            stage,
            f"{stage.unique}.example.com",
            "E2eTest",
            version("v1", schema("hostPort"), **fields("hostPort")),
            version("v2", schema("host", "port"), **fields("host", "port")),
            scope="Namespaced",
            conversion={"strategy": "Webhook", "webhook": webhook},
        )


@case(f"{_SPEC} should be able to convert from CR v1 to CR v2 [Conformance]", local=True)
async def convert(stage: Stage) -> None:
    """What is created at one version is read at the other."""
    async with _converted(stage) as custom:
        await custom.resource.create({"metadata": {"name": "cr-1"}, "hostPort": "localhost:8080"})
        second = custom.version("v2")
        found = await eventually("it can be read at v2", lambda: second.get("cr-1"))
        _check_second(found)


def _check_second(obj: JsonObject) -> None:
    has(obj, {"host": "localhost", "port": "8080"}, "the object at v2")
    same("hostPort" in obj, False, "the object at v2 has a hostPort")


@case(f"{_SPEC} should be able to convert a non homogeneous list of CRs [Conformance]", local=True)
async def convert_list(stage: Stage) -> None:
    """Objects stored in different versions are listed in the one that is asked for."""
    async with _converted(stage) as custom:
        first, second = custom.resource, custom.version("v2")
        await first.create({"metadata": {"name": "cr-1"}, "hostPort": "localhost:8080"})
        patch = [
            {"op": "replace", "path": f"/spec/versions/{number}/storage", "value": bool(number)}
            for number in (0, 1)
        ]
        await definitions(stage).patch(custom.name, patch, JSON_PATCH)

        async def create() -> JsonObject:
            obj = {"metadata": {"name": "cr-2"}, "hostPort": "localhost:8080"}
            return await first.create(obj)

        await eventually("the second object is created", create)
        for obj in await _both(second):
            _check_second(obj)
        for obj in await _both(first):
            same(obj["hostPort"], "localhost:8080", "hostPort at v1")
            same("host" in obj, False, "the object at v1 has a host")


async def _both(resource: Resource) -> list[JsonObject]:
    items = await resource.items()
    same(sorted(item["metadata"]["name"] for item in items), ["cr-1", "cr-2"], "names")
    return items


class _Told:
    """What a watch has told so far."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._added: set[str] = set()
        self._deleted: set[str] = set()

    async def expect(self, added: set[str], deleted: set[str]) -> None:
        """Take events until these names have been added and deleted, and no others."""
        while (self._added, self._deleted) != (added, deleted):
            event = await self._watch.next()
            if event.type == "ADDED":
                self._added.add(event.name)
            elif event.type == "DELETED":
                self._deleted.add(event.name)
            has(added, event.name, "names that may be told of")


@case(
    "[sig-api-machinery] CustomResourceFieldSelectors [Privileged:ClusterAdmin] "
    "CustomResourceFieldSelectors MUST list and watch custom resources matching the field selector "
    "[Conformance]",
    local=True,
)
async def field_selectors(stage: Stage) -> None:
    """Each version's fields select, in lists, watches and deletions."""
    async with _converted(stage) as custom, AsyncExitStack() as stack:
        first, second = custom.resource, custom.version("v2")
        host, both, joined = "host=host1", "host=host1,port=80", "hostPort=host1:80"
        watches = [
            _Told(await stack.enter_async_context(resource.watch(fieldSelector=selector)))
            for resource, selector in ((second, host), (second, both), (first, joined))
        ]
        for number, fields in enumerate(
            ({"host": "host1", "port": "80"}, {"host": "host1", "port": "8080"}, {"host": "host2"})
        ):
            await second.create({"metadata": {"name": f"cr-{number}"}, **fields})
        same(sorted(await second.names(fieldSelector=host)), ["cr-0", "cr-1"], host)
        same(await second.names(fieldSelector=both), ["cr-0"], both)
        same(await first.names(fieldSelector=joined), ["cr-0"], joined)
        other = "hostPort=host1:8080"
        same(await first.names(fieldSelector=other), ["cr-1"], other)
        await watches[0].expect({"cr-0", "cr-1"}, set())
        await watches[1].expect({"cr-0"}, set())
        await watches[2].expect({"cr-0"}, set())
        await second.delete_all("", field_selector=both, gracePeriodSeconds=0)
        await second.update("cr-1", lambda obj: obj.update(host="host2"))
        same(await second.names(fieldSelector=host), [], host)
        same(await second.names(fieldSelector=both), [], both)
        await watches[0].expect({"cr-0", "cr-1"}, {"cr-0", "cr-1"})
        await watches[1].expect({"cr-0"}, {"cr-0"})
        await watches[2].expect({"cr-0"}, {"cr-0"})
