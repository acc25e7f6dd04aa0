"""The official Python client: its typed, dynamic and watch interfaces, over TLS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException

from tests.integration.api_calls import deployment, pod
from tests.integration.cluster import Cluster


@pytest.fixture
def api(cluster: Cluster) -> Iterator[client.ApiClient]:
    """A client made from the kubeconfig."""
    with config.new_client_from_config(str(cluster.kubeconfig)) as made:
        yield made


def _config_map(name: str, **data: str) -> client.V1ConfigMap:
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name), data=data)


def test_typed_objects_live_through_all_verbs(api: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api)
    made = core.create_namespaced_config_map(namespace, _config_map("a", k="1"))
    assert core.read_namespaced_config_map("a", namespace).data == {"k": "1"}
    made.data["k"] = "2"
    core.replace_namespaced_config_map("a", namespace, made)
    with pytest.raises(ApiException) as stale:
        core.replace_namespaced_config_map("a", namespace, made)
    assert (stale.value.status, stale.value.reason) == (409, "Conflict")
    patched = core.patch_namespaced_config_map("a", namespace, {"data": {"k": None, "l": "3"}})
    assert patched.data == {"l": "3"}
    steps = [{"op": "replace", "path": "/data/l", "value": "4"}]
    assert core.patch_namespaced_config_map("a", namespace, steps).data == {"l": "4"}
    core.delete_namespaced_config_map("a", namespace)
    with pytest.raises(ApiException) as gone:
        core.read_namespaced_config_map("a", namespace)
    assert gone.value.status == 404


def test_a_certificate_is_looked_at_before_a_token(api: client.ApiClient) -> None:
    """One authenticator's success is enough, and the one for certificates is asked first."""
    api.default_headers["Authorization"] = "Bearer wrong"
    review = client.AuthenticationV1Api(api).create_self_subject_review({})
    assert "system:masters" in review.status.user_info.groups


def test_lists_go_on_page_by_page(api: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api)
    for number in range(5):
        body = client.V1Secret(metadata=client.V1ObjectMeta(name=f"s{number}"))
        core.create_namespaced_secret(namespace, body)
    names, token = [], None
    while True:
        page = core.list_namespaced_secret(namespace, limit=2, _continue=token)
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue
        if not token:
            break
    assert names == [f"s{number}" for number in range(5)]


def test_scale_status_binding_and_eviction_have_their_own_calls(
    api: client.ApiClient, namespace: str
) -> None:
    apps, core = client.AppsV1Api(api), client.CoreV1Api(api)
    apps.create_namespaced_deployment(namespace, deployment("web"))
    apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 3}})
    assert apps.read_namespaced_deployment_scale("web", namespace).spec.replicas == 3
    core.create_namespaced_pod(namespace, pod("p"))
    target = client.V1ObjectReference(kind="Node", name="n1")
    binding = client.V1Binding(metadata=client.V1ObjectMeta(name="p"), target=target)
    core.create_namespaced_pod_binding("p", namespace, binding, _preload_content=False)
    assert core.read_namespaced_pod("p", namespace).spec.node_name == "n1"
    core.patch_namespaced_pod_status("p", namespace, {"status": {"phase": "Running"}})
    assert core.read_namespaced_pod_status("p", namespace).status.phase == "Running"
    eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name="p"))
    core.create_namespaced_pod_eviction("p", namespace, eviction)
    assert core.read_namespaced_pod("p", namespace).metadata.deletion_timestamp is not None


def test_a_watch_goes_on_from_a_revision(api: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api)
    start = core.list_namespaced_secret(namespace).metadata.resource_version
    for name in "ab":
        core.create_namespaced_secret(
            namespace, client.V1Secret(metadata=client.V1ObjectMeta(name=name))
        )
    core.delete_namespaced_secret("a", namespace)
    stream = watch.Watch().stream(
        core.list_namespaced_secret, namespace, resource_version=start, timeout_seconds=2
    )
    seen = [(event["type"], event["object"].metadata.name) for event in stream]
    assert seen == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]


def test_the_dynamic_client_discovers_and_writes(api: client.ApiClient, namespace: str) -> None:
    found = dynamic.DynamicClient(api).resources
    deployments = found.get(api_version="apps/v1", kind="Deployment")
    deployments.create(body=deployment("web"), namespace=namespace)
    patch = {"spec": {"replicas": 2}}
    kind = "application/merge-patch+json"
    changed = deployments.patch(name="web", body=patch, namespace=namespace, content_type=kind)
    assert changed.spec.replicas == 2
    assert [item.metadata.name for item in deployments.get(namespace=namespace).items] == ["web"]
    events = deployments.watch(namespace=namespace, timeout=1)
    assert [event["object"].metadata.name for event in events] == ["web"]
    deployments.delete(name="web", namespace=namespace)
    assert deployments.get(namespace=namespace).items == []


def test_the_dynamic_client_applies_server_side(api: client.ApiClient, namespace: str) -> None:
    deployments = dynamic.DynamicClient(api).resources.get(api_version="apps/v1", kind="Deployment")

    def applied(replicas: int, manager: str, **more: bool) -> int:
        body = {"apiVersion": "apps/v1", "kind": "Deployment", **deployment("a", replicas)}
        made = deployments.server_side_apply(
            body, name="a", namespace=namespace, field_manager=manager, **more
        )
        return int(made.spec.replicas)

    assert applied(1, "one") == 1
    with pytest.raises(ApiException) as conflict:
        applied(2, "two")
    assert conflict.value.status == 409
    assert applied(2, "two", force_conflicts=True) == 2
    found = client.AppsV1Api(api).read_namespaced_deployment("a", namespace).metadata.managed_fields
    assert {entry.manager for entry in found if entry.operation == "Apply"} == {"one", "two"}
