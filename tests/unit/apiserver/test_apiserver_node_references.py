"""What pods and volumes refer to, wherever in them it stands."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.node_access.graph import NodePods
from apiserver.node_access.references import Reference, pod_references, volume_secrets

Json = dict[str, Any]


def _pod(spec: Json, **more: Any) -> Json:
    return {
        "metadata": {"namespace": "a", "name": "p", **more.pop("meta", {})},
        "spec": spec,
        **more,
    }


@pytest.mark.parametrize(
    ("spec", "resource", "name"),
    [
        ({"serviceAccountName": "x"}, "serviceaccounts", "x"),
        ({"imagePullSecrets": [{"name": "x"}]}, "secrets", "x"),
        ({"containers": [{"envFrom": [{"secretRef": {"name": "x"}}]}]}, "secrets", "x"),
        ({"initContainers": [{"envFrom": [{"configMapRef": {"name": "x"}}]}]}, "configmaps", "x"),
        (
            {"containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "x"}}}]}]},
            "secrets",
            "x",
        ),
        (
            {"ephemeralContainers": [{"env": [{"valueFrom": {"configMapKeyRef": {"name": "x"}}}]}]},
            "configmaps",
            "x",
        ),
        ({"volumes": [{"secret": {"secretName": "x"}}]}, "secrets", "x"),
        ({"volumes": [{"configMap": {"name": "x"}}]}, "configmaps", "x"),
        ({"volumes": [{"projected": {"sources": [{"secret": {"name": "x"}}]}}]}, "secrets", "x"),
        ({"volumes": [{"csi": {"nodePublishSecretRef": {"name": "x"}}}]}, "secrets", "x"),
        ({"volumes": [{"azureFile": {"secretName": "x"}}]}, "secrets", "x"),
        ({"volumes": [{"rbd": {"secretRef": {"name": "x"}}}]}, "secrets", "x"),
        (
            {"volumes": [{"persistentVolumeClaim": {"claimName": "x"}}]},
            "persistentvolumeclaims",
            "x",
        ),
        ({"volumes": [{"name": "v", "ephemeral": {}}]}, "persistentvolumeclaims", "p-v"),
        ({"resourceClaims": [{"resourceClaimName": "x"}]}, "resource.k8s.io/resourceclaims", "x"),
    ],
)
def test_a_pod_refers_to(spec: Json, resource: str, name: str) -> None:
    itself = Reference("pods", "a", "p")
    assert pod_references(_pod(spec)) == {itself, Reference(resource, "a", name)}
    mirror = {"annotations": {"kubernetes.io/config.mirror": "hash"}}
    assert pod_references(_pod(spec, meta=mirror)) == {itself}


def test_claims_made_for_a_pod_stand_in_its_status() -> None:
    status = {"resourceClaimStatuses": [{"name": "c", "resourceClaimName": "made"}]}
    assert Reference("resource.k8s.io/resourceclaims", "a", "made") in pod_references(
        _pod({}, status=status)
    )


def test_a_volumes_secrets_are_of_its_own_namespace_or_its_claims() -> None:
    driver = {
        "nodeStageSecretRef": {"name": "x", "namespace": "b"},
        "nodePublishSecretRef": {"name": "y"},
    }
    assert volume_secrets({"spec": {"csi": driver}}, "a") == {
        Reference("secrets", "b", "x"),
        Reference("secrets", "a", "y"),
    }


def test_what_two_pods_refer_to_is_known_until_both_are_gone() -> None:
    pods = NodePods()
    spec = {"serviceAccountName": "x"}
    wanted = Reference("serviceaccounts", "a", "x")
    for name in ("p", "q", "q"):
        pods.put("pods", _pod(spec, meta={"name": name}))
    pods.drop("pods", "a", "p")
    assert wanted in pods
    pods.drop("pods", "a", "q")
    assert wanted not in pods
    assert pods.of("pods") == []
