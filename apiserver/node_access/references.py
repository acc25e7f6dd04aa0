"""What a pod, or a volume, refers to: its node may read that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from kube.json_types import JsonObject

_MIRROR: Final = "kubernetes.io/config.mirror"
_VOLUMES_WITH_SECRETS: Final = (
    "azureFile", "cephfs", "cinder", "csi", "flexVolume", "flocker", "iscsi", "rbd", "scaleIO",
    "storageos",
)  # fmt: skip
_CSI_SECRETS: Final = (
    "controllerExpandSecretRef", "controllerPublishSecretRef", "nodeExpandSecretRef",
    "nodePublishSecretRef", "nodeStageSecretRef",
)  # fmt: skip


class Reference(NamedTuple):
    """One object, by its resource."""

    resource: str
    namespace: str
    name: str


def pod_references(pod: JsonObject) -> set[Reference]:
    """Return all that a pod refers to, and the pod itself.

    Of a mirror pod that is only the pod: its node has made it up, and could name anything.
    """
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    namespace = metadata["namespace"]
    found = {Reference("pods", namespace, metadata["name"])}
    if _MIRROR in (metadata.get("annotations") or {}):
        return found
    pairs = [
        ("serviceaccounts", spec.get("serviceAccountName")),
        *spec_references(pod),
        *_of_claims(pod),
    ]
    found.update(Reference(resource, namespace, name) for resource, name in pairs if name)
    return found


def spec_references(pod: JsonObject) -> Iterator[tuple[str, Any]]:
    """Yield (resource, name or None) of what a pod mounts, reads or pulls with."""
    spec = pod.get("spec") or {}
    for one in spec.get("imagePullSecrets") or ():
        yield "secrets", one.get("name")
    yield from _of_containers(spec)
    yield from _of_volumes(spec, pod["metadata"].get("name", ""))


def _of_containers(spec: JsonObject) -> Iterator[tuple[str, Any]]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            for source in container.get("envFrom") or ():
                yield "secrets", (source.get("secretRef") or {}).get("name")
                yield "configmaps", (source.get("configMapRef") or {}).get("name")
            for variable in container.get("env") or ():
                source = variable.get("valueFrom") or {}
                yield "secrets", (source.get("secretKeyRef") or {}).get("name")
                yield "configmaps", (source.get("configMapKeyRef") or {}).get("name")


def _of_volumes(spec: JsonObject, pod: str) -> Iterator[tuple[str, Any]]:
    for volume in spec.get("volumes") or ():
        yield "secrets", (volume.get("secret") or {}).get("secretName")
        yield "configmaps", (volume.get("configMap") or {}).get("name")
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        yield "persistentvolumeclaims", claim
        if "ephemeral" in volume:
            yield "persistentvolumeclaims", f"{pod}-{volume.get('name', '')}"
        for source in (volume.get("projected") or {}).get("sources") or ():
            yield "secrets", (source.get("secret") or {}).get("name")
            yield "configmaps", (source.get("configMap") or {}).get("name")
        for kind in _VOLUMES_WITH_SECRETS:
            driver = volume.get(kind)
            if driver:
                yield "secrets", driver.get("secretName")
                yield "secrets", (driver.get("secretRef") or {}).get("name")
                yield "secrets", (driver.get("nodePublishSecretRef") or {}).get("name")


def _of_claims(pod: JsonObject) -> Iterator[tuple[str, Any]]:
    resource = "resource.k8s.io/resourceclaims"
    for claim in (pod.get("spec") or {}).get("resourceClaims") or ():
        yield resource, claim.get("resourceClaimName")
    status = pod.get("status") or {}
    for made in status.get("resourceClaimStatuses") or ():
        yield resource, made.get("resourceClaimName")
    extended = status.get("extendedResourceClaimStatus") or {}
    yield resource, extended.get("resourceClaimName")


def volume_secrets(volume: JsonObject, namespace: str) -> set[Reference]:
    """Return the secrets that a PersistentVolume refers to; `namespace` is its claim's."""
    spec = volume.get("spec") or {}
    found: set[Reference] = set()
    for kind in _VOLUMES_WITH_SECRETS:
        driver = spec.get(kind) or {}
        for key in ("secretRef", *(_CSI_SECRETS if kind == "csi" else ())):
            named = driver.get(key) or {}
            if name := named.get("name"):
                found.add(Reference("secrets", named.get("namespace") or namespace, name))
        if name := driver.get("secretName"):
            space = driver.get("secretNamespace") or namespace
            found.add(Reference("secrets", space, name))
    return found
