"""kr8s's ordinary flows: objects that know how to refresh, patch, label, scale, watch and wait."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import kr8s
import kr8s.asyncio
import pytest
from kr8s.asyncio.objects import ConfigMap, Deployment, Pod, Service

from tests.integration.cluster import Cluster

_MERGE = "application/merge-patch+json"
pytestmark = [
    # It knows versions up to that of its own release, and says so of newer ones.
    pytest.mark.filterwarnings("ignore:Kubernetes version:UserWarning"),
    # It keeps its connections until the interpreter ends.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def _left_open() -> Iterator[None]:
    """Let what it left open be found here, and not in the tests that follow."""
    yield
    kr8s.Api._instances.clear()
    gc.collect()


def _metadata(namespace: str, name: str) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "labels": {"app": name}}


def _pod(namespace: str, name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _metadata(namespace, name),
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }


def _config_map(namespace: str, name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(namespace, name),
        "data": {"k": "1"},
    }


async def _api(cluster: Cluster, namespace: str) -> kr8s.asyncio.Api:
    return await kr8s.asyncio.api(kubeconfig=str(cluster.kubeconfig), namespace=namespace)


def test_the_api_tells_of_itself(cluster: Cluster, namespace: str) -> None:
    async def scenario() -> None:
        api = await _api(cluster, namespace)
        assert (await api.version())["minor"] == "37"
        assert (await api.whoami()) is not None
        kinds = {one["name"] for one in await api.api_resources()}
        assert {"pods", "deployments", "leases"} <= kinds

    asyncio.run(scenario())


def test_an_object_is_created_patched_labelled_and_deleted(
    cluster: Cluster, namespace: str
) -> None:
    async def scenario() -> None:
        api = await _api(cluster, namespace)
        made = await ConfigMap(_config_map(namespace, "a"), api=api)
        await made.create()
        assert await made.exists()
        await made.patch({"data": {"k": "2"}})
        await made.label(tier="front")
        await made.annotate(why="because")
        found = await ConfigMap.get("a", namespace=namespace, api=api)
        assert found.raw["data"] == {"k": "2"}
        assert (found.labels["tier"], found.annotations["why"]) == ("front", "because")
        await made.delete()
        assert not await made.exists()
        with pytest.raises(kr8s.NotFoundError):
            await ConfigMap.get("a", namespace=namespace, api=api, timeout=1)

    asyncio.run(scenario())


def test_selectors_choose_what_is_listed(cluster: Cluster, namespace: str) -> None:
    async def scenario() -> None:
        api = await _api(cluster, namespace)
        for name in ("a", "b"):
            await (await Pod(_pod(namespace, name), api=api)).create()
        found = [pod.name async for pod in api.get("pods", label_selector="app=b")]
        assert found == ["b"]
        by_field = api.get("pods", field_selector={"metadata.name": "a"})
        assert [pod.name async for pod in by_field] == ["a"]

    asyncio.run(scenario())


def test_a_deployment_is_scaled(cluster: Cluster, namespace: str) -> None:
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(namespace, "web"),
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template},
    }

    async def report(cluster_path: str, replicas: int) -> None:
        """Be the controller: it observes what is wanted."""
        status = {"status": {"replicas": replicas, "observedGeneration": 2}}
        answer = await asyncio.to_thread(
            cluster.call, "PATCH", cluster_path, status, content_type=_MERGE
        )
        assert answer.code == 200, answer.body

    async def scenario() -> None:
        api = await _api(cluster, namespace)
        web = await Deployment(manifest, api=api)
        await web.create()
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web/status"
        await report(path, 3)
        await web.scale(3)
        await web.refresh()
        assert web.replicas == 3

    asyncio.run(scenario())


def test_a_pod_is_watched_and_waited_for(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods/p/status"
    conditions = [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady")]
    ready = {"status": {"conditions": conditions}}

    async def scenario() -> None:
        api = await _api(cluster, namespace)
        pod = await Pod(_pod(namespace, "p"), api=api)
        await pod.create()
        waiting = asyncio.ensure_future(pod.wait("condition=Ready", timeout=20))
        answer = await asyncio.to_thread(cluster.call, "PATCH", path, ready, content_type=_MERGE)
        assert answer.code == 200, answer.body
        await waiting
        assert await pod.ready()

    asyncio.run(scenario())


def test_a_service_finds_its_pods(cluster: Cluster, namespace: str) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(namespace, "web"),
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
    }

    async def scenario() -> None:
        api = await _api(cluster, namespace)
        service = await Service(manifest, api=api)
        await service.create()
        await (await Pod(_pod(namespace, "web"), api=api)).create()
        assert await service.ready_pods() == []
        assert service.raw["spec"]["clusterIP"]

    asyncio.run(scenario())
