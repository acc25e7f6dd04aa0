"""Services as objects."""

from __future__ import annotations

from typing import Any, Final

from conformance.checks import eventually, has, same
from conformance.registry import case
from conformance.resource import STRATEGIC, Resource
from conformance.stage import Stage
from kube.json_types import JsonObject

_PORT: Final = {"name": "http", "protocol": "TCP", "port": 80, "targetPort": 80}


def _services(stage: Stage) -> Resource:
    return stage.of("v1", "services", "Service")


@case("[sig-network] Services should find a service from listing all namespaces [Conformance]")
async def find(stage: Stage) -> None:
    """The server's own is among them."""
    items = await _services(stage).anywhere().items()
    found = [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in items]
    has(found, ("default", "kubernetes"), "Services of all namespaces")


@case("[sig-network] Services should delete a collection of services [Conformance]")
async def collection(stage: Stage) -> None:
    """Those with a label go, the other stays."""
    services = _services(stage)
    label = f"e2e-svc-{stage.unique}"
    for name, value in (("a", label), ("b", label), ("c", "other")):
        labels = {"e2e-test-service": value}
        port = {**_PORT, "port": 8001}
        await services.create(
            {"metadata": {"name": f"e2e-svc-{name}", "labels": labels}, "spec": {"ports": [port]}}
        )
    same(len(await services.items()), 3, "Services created")
    await services.delete_all(f"e2e-test-service={label}")

    async def one_left() -> bool:
        return await services.names() == ["e2e-svc-c"]

    await eventually("one Service is left", one_left)


@case("[sig-network] Services should complete a service status lifecycle [Conformance]")
async def status(stage: Stage) -> None:
    """The status can be read, patched and updated; a watch tells of each."""
    services, name = _services(stage), f"test-service-{stage.unique}"
    labels = {"test-service-static": stage.unique}
    selector = f"test-service-static={stage.unique}"
    async with services.watch(labelSelector=selector) as watch:
        await services.create(
            {
                "metadata": {"name": name, "labels": labels},
                "spec": {"type": "LoadBalancer", "ports": [_PORT]},
            }
        )
        await watch.expect("ADDED")
        same((await services.get(name, "status"))["kind"], "Service", "kind of /status")
        balancer: Any = {"ingress": [{"ip": "203.0.113.1"}]}
        patch: Any = {
            "metadata": {"annotations": {"patchedstatus": "true"}},
            "status": {"loadBalancer": balancer},
        }
        await services.patch(name, patch, STRATEGIC, "status")
        seen = await watch.until(
            "MODIFIED",
            lambda obj: (obj["metadata"].get("annotations") or {}).get("patchedstatus") == "true",
        )
        same(seen["status"]["loadBalancer"]["ingress"][0]["ip"], "203.0.113.1", "the status")
        condition = {
            "type": "StatusUpdate",
            "status": "True",
            "reason": "E2E",
            "message": "Set from e2e test",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }

        def change(obj: JsonObject) -> None:
            obj["status"].setdefault("conditions", []).append(condition)

        await services.update(name, change, "status")
        await watch.until(
            "MODIFIED",
            lambda obj: (
                "StatusUpdate" in [entry["type"] for entry in obj["status"].get("conditions") or []]
            ),
        )
        await services.patch(name, {"metadata": {"labels": {"test-service": "patched"}}}, STRATEGIC)
        await watch.until(
            "MODIFIED", lambda obj: obj["metadata"]["labels"].get("test-service") == "patched"
        )
        await services.delete(name)
        await watch.until("DELETED")
    same(await _left(services, selector), [], "Services left")


async def _left(services: Resource, selector: str) -> list[JsonObject]:
    return await services.items(labelSelector=selector)
