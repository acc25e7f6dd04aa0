"""What controllers make of Services and their Pods: Endpoints, EndpointSlices, mirrors of them."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from conformance.checks import check, eventually, same
from conformance.registry import case
from conformance.resource import Resource
from conformance.samples import controller, pod
from conformance.stage import Stage
from conformance.workloads import at_once, pods_ready
from kube.json_types import JsonObject

_COLLECTED_S: Final = 90.0
_MIRRORED_S: Final = 12.0
_NO_MATCH: Final = {"does-not-match-anything": "made-all-the-same"}
_TRIALS: Final = 200
_PARALLEL: Final = 15
_MEDIAN_S_MAX: Final = 20.0
_TAIL_S_MAX: Final = 50.0


def _services(stage: Stage) -> Resource:
    return stage.of("v1", "services", "Service")


def _endpoints(stage: Stage) -> Resource:
    return stage.of("v1", "endpoints", "Endpoints")


def _slices(stage: Stage) -> Resource:
    return stage.of("discovery.k8s.io/v1", "endpointslices", "EndpointSlice")


async def _slices_of(stage: Stage, service: str) -> list[JsonObject]:
    return await _slices(stage).items(labelSelector=f"kubernetes.io/service-name={service}")


def _service(name: str, selector: dict[str, str] | None, port: str, target: Any) -> JsonObject:
    ports = [{"name": port, "port": 80, "protocol": "TCP", "targetPort": target}]
    spec: JsonObject = {"ports": ports, "publishNotReadyAddresses": True}
    return {"metadata": {"name": name}, "spec": spec | ({"selector": selector} if selector else {})}


@case(
    "[sig-network] EndpointsController should create and delete Endpoints for a Service with a "
    "selector that matches no pods [Conformance]"
)
async def empty_endpoints(stage: Stage) -> None:
    """A Service without Pods has Endpoints for as long as it is there."""
    name = "example-empty-selector"
    await _services(stage).create(_service(name, _NO_MATCH, "example", 80))
    await eventually("the Endpoints are there", lambda: _endpoints(stage).get(name))
    await _services(stage).delete(name)
    await eventually("the Endpoints are gone", lambda: _endpoints(stage).gone(name))


@case(
    "[sig-network] EndpointSlice should create and delete EndpointSlices for a Service with a "
    "selector that matches no pods [Conformance]"
)
async def empty_slices(stage: Stage) -> None:
    """A Service without Pods has an empty EndpointSlice for as long as it is there."""
    name = "example-empty-selector"
    await _services(stage).create(_service(name, _NO_MATCH, "example", 80))
    found = (await eventually("the slice is there", lambda: _slices_of(stage, name)))[0]
    manager = found["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"]
    same(manager, "endpointslice-controller.k8s.io", "whose it is")
    same(found.get("endpoints") or [], [], "its endpoints")
    await _services(stage).delete(name)

    async def none() -> bool:
        return not await _slices_of(stage, name)

    await eventually("the slice is gone", none, within_s=_COLLECTED_S)


async def _two_pods(stage: Stage) -> dict[str, JsonObject]:
    """Return two Pods with addresses, by name: each has a port of the same name, not number."""
    for number, ports in ((1, [3000]), (2, [3001, 3002])):
        labels = {f"pod{number}": "on", "shared12": "on"}
        obj = pod(f"pod{number}", labels=labels)
        names = ["example-name", "other-port"]
        obj["spec"]["containers"][0]["ports"] = [
            {"name": name, "containerPort": port} for name, port in zip(names, ports, strict=False)
        ]
        await stage.pods.create(obj)

    async def addressed() -> dict[str, JsonObject]:
        pods = {item["metadata"]["name"]: item for item in await stage.pods.items()}
        check(all(item["status"].get("podIPs") for item in pods.values()), "all have addresses")
        return pods

    return await eventually("the Pods have addresses", addressed)


def _addresses(pods: dict[str, JsonObject], ports: dict[str, int]) -> dict[str, int]:
    """Return ports of Pods by the Pods' addresses."""
    return {pods[name]["status"]["podIP"]: port for name, port in ports.items()}


_SERVICES: Final[tuple[tuple[str, dict[str, str], str, Any, dict[str, int]], ...]] = (
    # Its name, what it selects, its port's name and target; the Pods and their ports expected.
    ("example-int-port", {"pod1": "on"}, "example", 3000, {"pod1": 3000}),
    (
        "example-named-port",
        {"shared12": "on"},
        "http",
        "example-name",
        {"pod1": 3000, "pod2": 3001},
    ),
    ("example-no-match", {"pod3": "on"}, "example-no-match", 8080, {}),
)


@case(
    "[sig-network] EndpointsController should create Endpoints for Pods matching a Service "
    "[Conformance]"
)
async def matching_endpoints(stage: Stage) -> None:
    """Each Pod is in the subset of its port."""
    pods = await _two_pods(stage)
    for name, selector, port, target, _ in _SERVICES[:2]:
        await _services(stage).create(_service(name, selector, port, target))
    for name, _, port, _, expected in _SERVICES[:2]:
        await _subsets(stage, name, port, _addresses(pods, expected))


async def _subsets(stage: Stage, name: str, port: str, expected: dict[str, int]) -> None:
    async def look() -> bool:
        subsets = (await _endpoints(stage).get(name)).get("subsets") or []
        found = {}
        for subset in subsets:
            same([entry["name"] for entry in subset["ports"]], [port], "names of ports")
            for entry in [*subset.get("addresses", []), *subset.get("notReadyAddresses", [])]:
                same(entry["targetRef"]["kind"], "Pod", "what the address is of")
                found[entry["ip"]] = subset["ports"][0]["port"]
        same(found, expected, f"addresses and ports of {name}")
        same(len(subsets), len(set(expected.values())), f"subsets of {name}")
        return True

    await eventually(f"the Endpoints of {name} are right", look, within_s=_COLLECTED_S)


@case(
    "[sig-network] EndpointSlice should create Endpoints and EndpointSlices for Pods matching a "
    "Service [Conformance]"
)
async def matching_slices(stage: Stage) -> None:
    """Each Pod is in the slice of its port; slices that are deleted are made again."""
    pods = await _two_pods(stage)
    for name, selector, port, target, _ in _SERVICES:
        await _services(stage).create(_service(name, selector, port, target))
    for name, _, port, _, expected in _SERVICES:
        addresses = _addresses(pods, expected)
        await _sliced(stage, name, port, addresses)
        await _subsets(stage, name, port, addresses)
    name, _, port, _, expected = _SERVICES[1]
    await _slices(stage).delete_all(f"kubernetes.io/service-name={name}")
    await _sliced(stage, name, port, _addresses(pods, expected))


async def _sliced(stage: Stage, name: str, port: str, expected: dict[str, int]) -> None:
    async def look() -> bool:
        slices = await _slices_of(stage, name)
        found = {}
        for entry in slices:
            ports = [each.get("name") for each in entry.get("ports") or []]
            same(ports, [port] if expected else [], "names of ports")
            for endpoint in entry.get("endpoints") or []:
                same(endpoint["targetRef"]["kind"], "Pod", "what the endpoint is")
                found[endpoint["addresses"][0]] = entry["ports"][0]["port"]
        same(found, expected, f"addresses and ports of {name}")
        same(len(slices), max(1, len(set(expected.values()))), f"slices of {name}")
        return True

    await eventually(f"the slices of {name} are right", look, within_s=_COLLECTED_S)


@case(
    "[sig-network] EndpointSliceMirroring should mirror a custom Endpoints resource through "
    "create update and delete [Conformance]"
)
async def mirroring(stage: Stage) -> None:
    """Endpoints that somebody writes are copied to a slice, and so is what becomes of them."""
    name = "example-custom-endpoints"
    await _services(stage).create(_service(name, None, "example", 80))

    def custom(address: str) -> JsonObject:
        subset = {"ports": [{"port": 80}], "addresses": [{"ip": address}]}
        return {"metadata": {"name": name}, "subsets": [subset]}

    await _endpoints(stage).create(custom("10.1.2.3"))
    await _mirrored(stage, name, ["10.1.2.3"])
    await _endpoints(stage).replace(custom("10.2.3.4"))
    await _mirrored(stage, name, ["10.2.3.4"])
    await _endpoints(stage).delete(name)
    await _mirrored(stage, name, [])


async def _mirrored(stage: Stage, name: str, addresses: list[str]) -> None:
    async def look() -> bool:
        slices = await _slices_of(stage, name)
        endpoints = [each for entry in slices for each in entry.get("endpoints") or []]
        same([each["addresses"] for each in endpoints], [[each] for each in addresses], "mirrored")
        ports = [each["port"] for entry in slices for each in entry.get("ports") or []]
        same(ports, [80] * len(addresses), "ports mirrored")
        return True

    await eventually(f"the mirror shows {addresses}", look, within_s=_MIRRORED_S)


@case(
    "[sig-network] Service endpoints latency should not be very high [Conformance]",
    timeout_s=300,
)
async def latency(stage: Stage) -> None:
    """From when a Service is made, its endpoints are there within a time that is very long."""
    labels = {"name": "svc-latency-rc"}
    await stage.of("v1", "replicationcontrollers", "ReplicationController").create(
        at_once(controller("svc-latency-rc", 1, labels))
    )
    await pods_ready(stage, "name=svc-latency-rc", 1)
    places = asyncio.Semaphore(_PARALLEL)

    async def trial() -> float:
        async with places:
            return await _latency_s(stage, labels)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(trial()) for _ in range(_TRIALS)]
    found = sorted(task.result() for task in tasks)
    check(found[_TRIALS // 2] <= _MEDIAN_S_MAX, f"median {found[_TRIALS // 2]:.1f} s")
    tail_s = found[_TRIALS * 99 // 100]
    check(tail_s <= _TAIL_S_MAX, f"99th percentile {tail_s:.1f} s")


async def _latency_s(stage: Stage, labels: dict[str, str]) -> float:
    """Return how long after a Service its endpoints are there, in seconds."""
    obj = _service("", labels, "", 80)
    obj["metadata"] = {"generateName": "latency-svc-"}
    time = asyncio.get_running_loop().time
    began_s = time()
    made = await _services(stage).create(obj)
    name = made["metadata"]["name"]

    async def look() -> bool:
        subsets = (await _endpoints(stage).get(name)).get("subsets") or []
        return any(subset.get("addresses") for subset in subsets)

    await eventually(f"{name} has endpoints", look, within_s=_TAIL_S_MAX * 2)
    took_s = time() - began_s
    await _services(stage).delete(name)
    return took_s
