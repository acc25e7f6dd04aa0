"""Interim."""

from __future__ import annotations

from apiserver.admission.attributes import CREATE, UPDATE, Attributes
from apiserver.admission.chain import Plugin
from apiserver.resources import Resource
from apiserver.types.pods.admission_defaults import admit_pod, admit_pod_update


class PodDefaults(Plugin):
    """Interim."""

    name = "PodDefaults"
    mutates = True

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return resource.storage == "pods" and not subresource and operation in (CREATE, UPDATE)

    def admit(self, attributes: Attributes) -> None:
        """See Plugin."""
        assert attributes.obj is not None
        if attributes.old is None:
            admit_pod(attributes.obj)
        else:
            admit_pod_update(attributes.obj, attributes.old)
