"""ResourceQuotas count what there is: objects of each type, from creation to deletion."""

from __future__ import annotations

from typing import Final

from conformance.checks import refused
from conformance.quotas import EXTENDED, measured_pod, quota, quotas, used
from conformance.registry import case
from conformance.resource import Resource
from conformance.samples import controller, workload
from conformance.stage import Stage
from kube.json_types import JsonObject

_QUOTA: Final = "test-quota"


async def _quota(stage: Stage, **hard: str) -> None:
    await quotas(stage).create(quota(_QUOTA, {**_all_hard(), **hard}))
    await used(stage, _QUOTA, {"resourcequotas": "1"})


def _all_hard() -> dict[str, str]:
    return dict(quota(_QUOTA)["spec"]["hard"])


@case(
    "[sig-api-machinery] ResourceQuota should create a ResourceQuota and ensure its status is "
    "promptly calculated. [Conformance]"
)
async def status_calculated(stage: Stage) -> None:
    """A new quota counts itself."""
    await _quota(stage)


async def _life(stage: Stage, resource: Resource, obj: JsonObject, counts: tuple[str, ...]) -> None:
    """Create one object and delete it; the quota follows, from zero and back."""
    await used(stage, _QUOTA, dict.fromkeys(counts, "0"))
    await resource.create(obj)
    await used(stage, _QUOTA, dict.fromkeys(counts, "1"))
    # Nobody has to make anything from it here.
    await resource.delete(obj["metadata"]["name"], propagationPolicy="Background")
    await used(stage, _QUOTA, dict.fromkeys(counts, "0"))


@case(
    "[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a "
    "configMap. [Conformance]"
)
async def config_map(stage: Stage) -> None:
    """A ConfigMap is counted, besides those that each namespace has."""
    found = len(await stage.config_maps.items())
    await _quota(stage, configmaps=str(found + 1))
    await used(stage, _QUOTA, {"configmaps": str(found)})
    await stage.config_maps.create({"metadata": {"name": "test-configmap"}, "data": {"a": "b"}})
    await used(stage, _QUOTA, {"configmaps": str(found + 1)})
    await refused("Forbidden", stage.config_maps.create({"metadata": {"name": "one-too-many"}}))
    await stage.config_maps.delete("test-configmap")
    await used(stage, _QUOTA, {"configmaps": str(found)})


@case(
    "[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a "
    "secret. [Conformance]"
)
async def secret(stage: Stage) -> None:
    """A Secret is counted, besides those that each namespace has."""
    secrets = stage.of("v1", "secrets", "Secret")
    found = len(await secrets.items())
    await _quota(stage, secrets=str(found + 1))
    await used(stage, _QUOTA, {"secrets": str(found)})
    await secrets.create({"metadata": {"name": "test-secret"}, "data": {"data-1": "dmFsdWUtMQo="}})
    await used(stage, _QUOTA, {"secrets": str(found + 1)})
    await secrets.delete("test-secret")
    await used(stage, _QUOTA, {"secrets": str(found)})


@case(
    "[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a "
    "service. [Conformance]"
)
async def service(stage: Stage) -> None:
    """Services are counted, and apart those with node ports and load balancers."""
    services = stage.of("v1", "services", "Service")
    await _quota(stage)
    ports = [{"port": 80, "targetPort": 80}]

    async def create(name: str, kind: str, **spec: object) -> JsonObject:
        return await services.create(
            {"metadata": {"name": name}, "spec": {"type": kind, "ports": ports, **spec}}
        )

    await create("test-service", "ClusterIP")
    await create("test-service-np", "NodePort")
    await used(stage, _QUOTA, {"services": "2", "services.nodeports": "1"})
    await refused(
        "Forbidden", create("test-service-lbnp", "LoadBalancer"), containing="exceeded quota"
    )
    await services.delete("test-service-np")
    await used(stage, _QUOTA, {"services": "1", "services.nodeports": "0"})
    await create("test-service-lb", "LoadBalancer", allocateLoadBalancerNodePorts=False)
    counts = {"services": "2", "services.nodeports": "0", "services.loadbalancers": "1"}
    await used(stage, _QUOTA, counts)
    await services.delete("test-service")
    await services.delete("test-service-lb")
    counts = {"services": "0", "services.nodeports": "0", "services.loadbalancers": "0"}
    await used(stage, _QUOTA, counts)


@case(
    "[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a "
    "replication controller. [Conformance]"
)
async def replication_controller(stage: Stage) -> None:
    """A ReplicationController is counted."""
    await _quota(stage)
    controllers = stage.of("v1", "replicationcontrollers", "ReplicationController")
    await _life(stage, controllers, controller("test-rc", 0), ("replicationcontrollers",))


@case(
    "[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a "
    "replica set. [Conformance]"
)
async def replica_set(stage: Stage) -> None:
    """A ReplicaSet is counted by the general form of names."""
    await _quota(stage, **{"count/replicasets.apps": "5"})
    sets = stage.of("apps/v1", "replicasets", "ReplicaSet")
    await _life(stage, sets, workload("test-rs", 0), ("count/replicasets.apps",))


@case(
    "[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a "
    "pod. [Conformance]"
)
async def pod(stage: Stage) -> None:
    """Pods are counted by what they request; what exceeds the quota is refused."""
    await _quota(stage)
    requests = {"cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi", EXTENDED: "2"}
    counts = {
        "pods": "1",
        "cpu": "500m",
        "memory": "252Mi",
        "ephemeral-storage": "30Gi",
        f"requests.{EXTENDED}": "2",
    }
    await stage.pods.create(measured_pod("test-pod", requests, {EXTENDED: "2"}))
    await used(stage, _QUOTA, counts)
    much = {"cpu": "600m", "memory": "100Mi"}
    await refused("Forbidden", stage.pods.create(measured_pod("fail-pod", much)))
    extended = {"cpu": "500m", "memory": "100Mi", "ephemeral-storage": "30Gi", EXTENDED: "2"}
    more = measured_pod("fail-pod-for-extended-resource", extended, {EXTENDED: "2"})
    await refused("Forbidden", stage.pods.create(more))
    await used(stage, _QUOTA, counts)

    def ask_for_more(obj: JsonObject) -> None:
        asked = obj["spec"]["containers"][0]["resources"]["requests"]
        asked |= {"cpu": "100m", "memory": "100Mi", "ephemeral-storage": "10Gi"}

    await refused("Invalid", stage.pods.update("test-pod", ask_for_more))
    await used(stage, _QUOTA, counts)
    await stage.pods.delete("test-pod", gracePeriodSeconds=0)
    await used(stage, _QUOTA, dict.fromkeys(counts, "0"))
