"""DefaultIngressClass: an Ingress that names no class gets the default one, if there is one."""

from __future__ import annotations

from typing import Final

from apiserver.admission.attributes import CREATE, Attributes
from apiserver.admission.chain import Plugin
from apiserver.admission.facts import INGRESS_CLASSES, Facts, newest_default
from apiserver.resources import Resource

_INGRESSES: Final = "networking.k8s.io/ingresses"
_ANNOTATION: Final = "kubernetes.io/ingress.class"
_IS_DEFAULT: Final = "ingressclass.kubernetes.io/is-default-class"


class DefaultIngressClass(Plugin):
    """See the module's head."""

    name = "DefaultIngressClass"
    mutates = True

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return resource.storage == _INGRESSES and not subresource and operation == CREATE

    def admit(self, attributes: Attributes) -> None:
        """See Plugin."""
        ingress = attributes.obj
        assert ingress is not None
        if ingress["spec"].get("ingressClassName") is not None:
            return
        if _ANNOTATION in (ingress["metadata"].get("annotations") or {}):
            return
        default = newest_default(self._facts.all_of(INGRESS_CLASSES), _IS_DEFAULT)
        if default is not None:
            ingress["spec"]["ingressClassName"] = default
