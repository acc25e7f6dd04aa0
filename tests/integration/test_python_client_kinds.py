"""The official Python client on many kinds: `create_from_yaml`, and the dynamic client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from kubernetes import client, config, dynamic, utils
from kubernetes.dynamic.exceptions import (
    ConflictError,
    NotFoundError,
    ResourceNotFoundError,
    ResourceNotUniqueError,
    UnprocessibleEntityError,
)

from tests.integration.cluster import ROOT, Cluster

SAMPLES: Final = sorted((ROOT / "samples").glob("*.yaml"))
MERGE: Final = "application/merge-patch+json"


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[client.ApiClient]:
    """A client made from the kubeconfig."""
    with config.new_client_from_config(str(cluster.kubeconfig)) as made:
        yield made


@pytest.fixture(scope="module")
def resources(api: client.ApiClient) -> Any:
    """What the dynamic client has discovered."""
    return dynamic.DynamicClient(api).resources


@pytest.fixture
def renamed_samples(tmp_path: Path) -> list[Path]:
    """The samples under names of their own: others use them as they are."""
    paths = []
    for sample in SAMPLES:
        path = tmp_path / sample.name
        text = sample.read_text().replace("shop", "py-shop").replace("30080", "30081")
        path.write_text(text)
        paths.append(path)
    return paths


def _objects(paths: list[Path]) -> list[dict[str, Any]]:
    return [obj for path in paths for obj in yaml.safe_load_all(path.read_text())]


def _place(obj: dict[str, Any]) -> dict[str, str]:
    metadata = obj["metadata"]
    space = metadata.get("namespace")
    return {"name": metadata["name"], **({"namespace": space} if space else {})}


@pytest.fixture
def created(
    api: client.ApiClient, resources: Any, renamed_samples: list[Path]
) -> Iterator[list[dict[str, Any]]]:
    """Every object of the samples, created from its file; removed in the end."""
    for path in renamed_samples:
        utils.create_from_yaml(api, str(path))
    objects = _objects(renamed_samples)
    yield objects
    for obj in reversed(objects):
        resource = resources.get(api_version=obj["apiVersion"], kind=obj["kind"])
        resource.delete(**_place(obj))


def test_the_samples_are_created_from_their_files(
    api: client.ApiClient, resources: Any, renamed_samples: list[Path], created: list[Any]
) -> None:
    for obj in created:
        resource = resources.get(api_version=obj["apiVersion"], kind=obj["kind"])
        found = resource.get(**_place(obj)).to_dict()
        assert (found["kind"], found["apiVersion"]) == (obj["kind"], obj["apiVersion"])
        for key, value in obj["metadata"].get("labels", {}).items():
            assert found["metadata"]["labels"][key] == value
        assert found.keys() >= obj.keys() - {"stringData"}
    with pytest.raises(utils.FailToCreateError) as again:
        utils.create_from_yaml(api, str(renamed_samples[1]))
    assert [one.status for one in again.value.api_exceptions] == [409, 409]


# A few kinds, each with a body, and a change that a merge patch makes to it.
KINDS: Final[list[tuple[str, str, dict[str, Any], dict[str, Any]]]] = [
    ("v1", "ConfigMap", {"data": {"k": "v"}}, {"data": {"k": "w"}}),
    ("v1", "Service", {"spec": {"ports": [{"port": 80}]}}, {"spec": {"selector": {"a": "b"}}}),
    ("batch/v1", "CronJob", {}, {"spec": {"suspend": True}}),
    ("policy/v1", "PodDisruptionBudget", {"spec": {}}, {"spec": {"minAvailable": 2}}),
    ("coordination.k8s.io/v1", "Lease", {"spec": {}}, {"spec": {"holderIdentity": "x"}}),
]
_JOB: Final = {
    "template": {
        "spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": "example.com/main:1"}],
        }
    }
}


def _body(version: str, kind: str, name: str, more: dict[str, Any]) -> dict[str, Any]:
    if kind == "CronJob":
        more = {"spec": {"schedule": "0 0 * * *", "jobTemplate": {"spec": _JOB}}}
    metadata = {"name": name, "labels": {"test": "dynamic"}}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}


def _within(part: Any, whole: Any) -> bool:
    if isinstance(part, dict):
        return all(key in whole and _within(value, whole[key]) for key, value in part.items())
    if isinstance(part, list):
        return len(part) == len(whole) and all(map(_within, part, whole))
    return bool(part == whole)


@pytest.mark.parametrize(("version", "kind", "more", "change"), KINDS)
def test_the_dynamic_client_does_everything_with_a_kind(
    resources: Any,
    namespace: str,
    version: str,
    kind: str,
    more: dict[str, Any],
    change: dict[str, Any],
) -> None:
    found = resources.get(api_version=version, kind=kind)
    made = found.create(body=_body(version, kind, "a", more), namespace=namespace)
    assert _within(more, made.to_dict())
    start = made.metadata.resourceVersion
    read = found.get(name="a", namespace=namespace)
    assert read.to_dict() == made.to_dict()
    patched = found.patch(name="a", namespace=namespace, body=change, content_type=MERGE)
    assert _within(change, patched.to_dict())
    whole = patched.to_dict()
    whole["metadata"]["annotations"] = {"k": "v"}
    replaced = found.replace(body=whole, namespace=namespace)
    assert replaced.metadata.annotations.k == "v"
    with pytest.raises(ConflictError):
        found.replace(body=whole, namespace=namespace)
    listed = found.get(namespace=namespace, label_selector="test=dynamic")
    assert listed.kind == f"{kind}List"
    assert [item.metadata.name for item in listed.items] == ["a"]
    assert found.get(namespace=namespace, label_selector="test=other").items == []
    found.delete(name="a", namespace=namespace)
    with pytest.raises(NotFoundError):
        found.get(name="a", namespace=namespace)
    events = []
    query = {"label_selector": "test=dynamic", "resource_version": start, "timeout": 5}
    for event in found.watch(namespace=namespace, **query):
        events.append((event["type"], event["object"].metadata.name))
        if event["type"] == "DELETED":
            break
    assert events == [("MODIFIED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_the_dynamic_client_deletes_a_collection(resources: Any, namespace: str) -> None:
    secrets = resources.get(api_version="v1", kind="Secret")
    for name in "abc":
        body = _body("v1", "Secret", name, {})
        body["metadata"]["labels"] = {"kept": str(name == "c").lower()}
        secrets.create(body=body, namespace=namespace)
    secrets.delete(namespace=namespace, label_selector="kept=false")
    assert [item.metadata.name for item in secrets.get(namespace=namespace).items] == ["c"]


def test_the_dynamic_client_reads_and_writes_subresources(resources: Any, namespace: str) -> None:
    deployments = resources.get(api_version="apps/v1", kind="Deployment")
    labels = {"app": "a"}
    template = {"metadata": {"labels": labels}, **_JOB["template"]}
    template["spec"] = {"containers": template["spec"]["containers"]}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    made = _body("apps/v1", "Deployment", "a", {"spec": spec})
    deployments.create(body=made, namespace=namespace)
    scale = deployments.scale.get(name="a", namespace=namespace)
    assert (scale.kind, scale.spec.replicas) == ("Scale", 1)
    body = {"spec": {"replicas": 4}}
    deployments.scale.patch(name="a", namespace=namespace, body=body, content_type=MERGE)
    assert deployments.get(name="a", namespace=namespace).spec.replicas == 4
    body = {"status": {"replicas": 3}}
    deployments.status.patch(name="a", namespace=namespace, body=body, content_type=MERGE)
    assert deployments.status.get(name="a", namespace=namespace).status.replicas == 3


def test_the_dynamic_client_hears_what_is_wrong(resources: Any, namespace: str) -> None:
    services = resources.get(api_version="v1", kind="Service")
    body = _body("v1", "Service", "a", {"spec": {"ports": [{"port": 0}]}})
    with pytest.raises(UnprocessibleEntityError) as refused:
        services.create(body=body, namespace=namespace)
    assert refused.value.status == 422
    assert "spec.ports[0].port" in refused.value.body
    with pytest.raises(UnprocessibleEntityError):
        services.create(body=_body("v1", "Service", "A_", {}), namespace=namespace)
    shown = services.create(
        body=_body("v1", "Service", "a", {"spec": {"ports": [{"port": 80}]}}),
        namespace=namespace,
        query_params=[("dryRun", "All")],
    )
    assert shown.metadata.name == "a"
    assert services.get(namespace=namespace).items == []


def test_kinds_are_looked_up_in_several_ways(resources: Any) -> None:
    by_short_name = resources.get(short_names=["deploy"])
    assert (by_short_name.kind, by_short_name.group_version) == ("Deployment", "apps/v1")
    preferred = resources.get(kind="HorizontalPodAutoscaler", preferred=True)
    assert preferred.group_version == "autoscaling/v2"
    assert resources.get(api_version="v1", name="pods").namespaced is True
    assert resources.get(api_version="v1", kind="Node").namespaced is False
    assert "eviction" in resources.get(api_version="v1", kind="Pod").subresources
    with pytest.raises(ResourceNotFoundError):
        resources.get(api_version="v1", kind="Nothing")
    with pytest.raises(ResourceNotUniqueError):
        resources.get(kind="Event")
