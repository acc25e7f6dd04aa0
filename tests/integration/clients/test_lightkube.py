"""lightkube's ordinary flows: typed models, patches, apply, watches, waits, status and scale."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from lightkube import ApiError, Client, KubeConfig, codecs
from lightkube.models.apps_v1 import DeploymentSpec
from lightkube.models.autoscaling_v1 import ScaleSpec
from lightkube.models.core_v1 import Container, PodSpec, PodTemplateSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Namespace, Node, Pod, Service
from lightkube.types import CascadeType, PatchType

from tests.integration.cluster import Cluster

_MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: from-yaml}
data: {k: "VALUE"}
---
apiVersion: v1
kind: Service
metadata: {name: from-yaml}
spec: {ports: [{port: 80}]}
"""


@pytest.fixture
def client(cluster: Cluster, namespace: str) -> Iterator[Client]:
    """A client of a namespace."""
    config = KubeConfig.from_file(str(cluster.kubeconfig))
    with Client(
        config=config.get(),
        namespace=namespace,
        field_manager="lightkube-test",
        timeout=httpx2.Timeout(20),
    ) as made:
        yield made


def _deployment(name: str, replicas: int) -> Deployment:
    labels = {"app": name}
    pod = PodSpec(containers=[Container(name="c", image="i")])
    spec = DeploymentSpec(
        replicas=replicas,
        selector=LabelSelector(matchLabels=labels),
        template=PodTemplateSpec(metadata=ObjectMeta(labels=labels), spec=pod),
    )
    return Deployment(metadata=ObjectMeta(name=name), spec=spec)


def test_an_object_lives_through_all_verbs(client: Client) -> None:
    made = client.create(ConfigMap(metadata=ObjectMeta(name="a"), data={"k": "1"}))
    assert made.metadata is not None
    made.data = {"k": "2"}
    assert client.replace(made).data == {"k": "2"}
    with pytest.raises(ApiError) as stale:
        client.replace(made)
    assert (stale.value.status.code, stale.value.status.reason) == (409, "Conflict")
    assert [one.data for one in client.list(ConfigMap, labels={"none": "there"})] == []
    client.delete(ConfigMap, "a")
    with pytest.raises(ApiError) as gone:
        client.get(ConfigMap, "a")
    assert gone.value.status.code == 404


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        (PatchType.MERGE, {"data": {"l": "3", "k": None}}),
        (PatchType.STRATEGIC, {"data": {"l": "3", "k": None}}),
        (PatchType.JSON, [{"op": "move", "from": "/data/k", "path": "/data/l"}]),
    ],
)
def test_each_kind_of_patch_is_taken(client: Client, kind: PatchType, patch: object) -> None:
    client.create(ConfigMap(metadata=ObjectMeta(name="a"), data={"k": "3"}))
    patched = client.patch(ConfigMap, "a", patch, patch_type=kind)  # type: ignore[arg-type]
    assert patched.data == {"l": "3"}


def test_manifests_are_applied_and_taken_back(client: Client, namespace: str) -> None:
    for value in ("1", "2"):
        for obj in codecs.load_all_yaml(_MANIFEST.replace("VALUE", value)):
            client.apply(obj, namespace=namespace)  # type: ignore[call-overload]
    found = client.get(ConfigMap, "from-yaml")
    assert found.data == {"k": "2"}
    assert found.metadata is not None
    assert [entry.manager for entry in found.metadata.managedFields or []] == ["lightkube-test"]
    service = client.get(Service, "from-yaml")
    assert service.spec is not None
    assert service.spec.clusterIP
    other = ConfigMap(metadata=ObjectMeta(name="from-yaml"), data={"k": "3"})
    with pytest.raises(ApiError) as conflict:
        client.apply(other, field_manager="another")
    assert conflict.value.status.reason == "Conflict"


def test_status_and_scale_are_parts_of_their_own(client: Client) -> None:
    client.create(_deployment("web", 1))
    client.patch(Deployment.Status, "web", {"status": {"replicas": 1, "readyReplicas": 1}})
    found = client.get(Deployment, "web")
    assert found.status is not None
    assert found.status.readyReplicas == 1
    scale = client.get(Deployment.Scale, "web")
    scale.spec = ScaleSpec(replicas=3)
    client.replace(scale, "web")
    scaled = client.get(Deployment, "web")
    assert scaled.spec is not None
    assert scaled.spec.replicas == 3
    client.delete(Deployment, "web", cascade=CascadeType.BACKGROUND)


def test_a_watch_goes_on_from_a_list(client: Client) -> None:
    client.create(ConfigMap(metadata=ObjectMeta(name="before", labels={"w": "y"})))
    listed = client.list(ConfigMap, labels={"w": "y"})
    assert [one.metadata.name for one in listed if one.metadata] == ["before"]
    client.create(ConfigMap(metadata=ObjectMeta(name="after", labels={"w": "y"})))
    watch = client.watch(ConfigMap, labels={"w": "y"}, resource_version=listed.resourceVersion)
    event, obj = next(iter(watch))
    assert obj.metadata is not None
    assert (event, obj.metadata.name) == ("ADDED", "after")


def test_a_pod_is_waited_for(client: Client) -> None:
    pod = Pod(
        metadata=ObjectMeta(name="p"), spec=PodSpec(containers=[Container(name="c", image="i")])
    )
    client.create(pod)
    ready = {"type": "Ready", "status": "True"}
    client.patch(Pod.Status, "p", {"status": {"conditions": [ready]}})
    done = client.wait(Pod, "p", for_conditions=["Ready"])
    assert done.metadata is not None
    assert done.metadata.name == "p"


def test_lists_are_read_in_chunks_over_all_namespaces(client: Client, namespace: str) -> None:
    for number in range(5):
        client.create(ConfigMap(metadata=ObjectMeta(name=f"m{number}", labels={"c": "y"})))
    found = list(client.list(ConfigMap, namespace="*", labels={"c": "y"}, chunk_size=2))
    assert len([one for one in found if one.metadata and one.metadata.namespace == namespace]) == 5
    assert {one.metadata.name for one in client.list(Namespace) if one.metadata} >= {namespace}
    assert list(client.list(Node, labels={"none": "there"})) == []
