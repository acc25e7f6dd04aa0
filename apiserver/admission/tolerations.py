"""DefaultTolerationSeconds: a pod stays five minutes on a node that fails, unless it says so."""

from __future__ import annotations

from apiserver.admission.attributes import CREATE, UPDATE, Attributes
from apiserver.admission.chain import Plugin
from apiserver.resources import Resource
from apiserver.types.pods.admission_defaults import default_toleration_seconds


class DefaultTolerationSeconds(Plugin):
    """See the module's head."""

    name = "DefaultTolerationSeconds"
    mutates = True

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return resource.storage == "pods" and not subresource and operation in {CREATE, UPDATE}

    def admit(self, attributes: Attributes) -> None:
        """See Plugin."""
        assert attributes.obj is not None
        default_toleration_seconds(attributes.obj)
