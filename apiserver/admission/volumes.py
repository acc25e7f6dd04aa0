"""Claims and volumes: the default class, growth where that allows it, and protection in use."""

from __future__ import annotations

from typing import Final

from apiserver.admission.attributes import CREATE, UPDATE, Attributes
from apiserver.admission.chain import Plugin
from apiserver.admission.facts import STORAGE_CLASSES, Facts, newest_default
from apiserver.resources import Resource
from kube.json_types import JsonObject
from kube.quantity import Quantity
from kube.quota.amounts import ZERO, read
from kube.quota.evaluators import class_of

_CLAIMS: Final = "persistentvolumeclaims"
_BETA_CLASS: Final = "volume.beta.kubernetes.io/storage-class"
_IS_DEFAULT: Final = "storageclass.kubernetes.io/is-default-class"
_IS_DEFAULT_BETA: Final = "storageclass.beta.kubernetes.io/is-default-class"
PROTECTION: Final = {
    _CLAIMS: "kubernetes.io/pvc-protection",
    "persistentvolumes": "kubernetes.io/pv-protection",
    "storage.k8s.io/volumeattributesclasses": "kubernetes.io/vac-protection",
}


class DefaultStorageClass(Plugin):
    """A claim that names no class gets the default one, if there is one."""

    name = "DefaultStorageClass"
    mutates = True

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return resource.storage == _CLAIMS and not subresource and operation == CREATE

    def admit(self, attributes: Attributes) -> None:
        """See Plugin."""
        claim = attributes.obj
        assert claim is not None
        annotations = claim["metadata"].get("annotations") or {}
        if _BETA_CLASS in annotations or claim["spec"].get("storageClassName") is not None:
            return
        known = self._facts.all_of(STORAGE_CLASSES)
        default = newest_default(known, _IS_DEFAULT, _IS_DEFAULT_BETA)
        if default is not None:
            claim["spec"]["storageClassName"] = default


class PersistentVolumeClaimResize(Plugin):
    """A claim grows only once it is bound, and if its class lets volumes grow."""

    name = "PersistentVolumeClaimResize"
    validates = True

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return resource.storage == _CLAIMS and not subresource and operation == UPDATE

    def validate(self, attributes: Attributes) -> None:
        """See Plugin."""
        new, old = attributes.obj, attributes.old
        assert new is not None
        assert old is not None
        if not _size_of(old) < _size_of(new):
            return
        if (old.get("status") or {}).get("phase") != "Bound":
            raise attributes.forbidden("Only bound persistent volume claims can be expanded")
        name = class_of(new)
        found = self._facts.find(STORAGE_CLASSES, name) if name else None
        if name != class_of(old) or found is None or not found.get("allowVolumeExpansion"):
            raise attributes.forbidden(
                "only dynamically provisioned pvc can be resized and the storageclass that "
                "provisions the pvc must support resize"
            )


class StorageObjectInUseProtection(Plugin):
    """What is in use is deleted only when it is not any more: a finalizer sees to it."""

    name = "StorageObjectInUseProtection"
    mutates = True

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return resource.storage in PROTECTION and not subresource and operation == CREATE

    def admit(self, attributes: Attributes) -> None:
        """See Plugin."""
        assert attributes.obj is not None
        metadata = attributes.obj["metadata"]
        finalizer = PROTECTION[attributes.resource.storage]
        known = metadata.get("finalizers") or []
        if finalizer not in known:
            metadata["finalizers"] = [*known, finalizer]


def _size_of(claim: JsonObject) -> Quantity:
    return read((claim["spec"].get("resources") or {}).get("requests")).get("storage", ZERO)
