"""Services, pods and slices as a watch tells of them."""

from __future__ import annotations

from typing import Any

from controllers.network import slices
from controllers.workloads.pods import Network, PodBrief

NOW_S = 1_800_000_000


def service(name: str = "foo", **spec: Any) -> dict[str, Any]:
    """Return a Service of one named port that selects app=foo."""
    return {
        "metadata": {
            "name": name,
            "namespace": "n",
            "uid": f"uid-{name}",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"team": "net"},
        },
        "spec": {
            "clusterIP": "10.96.0.9",
            "ipFamilies": ["IPv4"],
            "selector": {"app": "foo"},
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}],
            **spec,
        },
    }


def pod(number: int, *, ready: bool = True, ip: str = "", **changes: Any) -> PodBrief:
    """Return the brief of a pod with an address."""
    network = Network((ip or f"10.{number // 250}.1.{number % 250}",), ready_change_s=NOW_S)
    if "network" in changes:
        network = network._replace(**changes.pop("network"))
    made = PodBrief(
        key=f"n/pod{number}",
        uid=f"uid{number}",
        owner=None,
        labels=frozenset({("app", "foo")}),
        phase="Running",
        node="node-1",
        is_deleting=False,
        created_s=NOW_S,
        ready_s=NOW_S if ready else None,
        restarts=(0, 0),
        cost=0,
        network=network,
    )
    return made._replace(**changes)


def desired(pods: list[PodBrief], of: dict[str, Any]) -> dict[slices.Identity, dict[str, Any]]:
    """Return the endpoints that pods make."""
    found = {}
    for one in pods:
        endpoint = slices.endpoint_of(one, "zone-a", of, "IPv4")
        assert endpoint is not None
        found[slices.identity(endpoint)] = endpoint
    return found


def piece(number: int, pods: list[PodBrief], of: dict[str, Any]) -> dict[str, Any]:
    """Return a slice that has pods' endpoints, as the server would tell of it."""
    made = slices.new_slice(of, ports(of), "IPv4", list(desired(pods, of).values()))
    metadata = {"name": f"s{number}", "uid": f"s{number}", "resourceVersion": "1", "generation": 1}
    made["metadata"] |= metadata
    return made


def ports(of: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the ports of a Service's slices."""
    return slices.ports_of(pod(0), of)
