"""Plugins that are off unless they are asked for, and need no configuration."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final

from apiserver.admission.attributes import CREATE, UPDATE, Attributes
from apiserver.admission.chain import Plugin
from apiserver.options import PLAIN_WRITE
from apiserver.resources import Resource
from kube import field as fld
from kube import status as st
from kube.json_types import JsonObject

if TYPE_CHECKING:
    from apiserver.exchange import Caller
    from apiserver.server import Server

_NAMESPACES: Final = "namespaces"
_CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")
_ALWAYS: Final = "Always"
_HOSTNAME: Final = "kubernetes.io/hostname"
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"


class AlwaysAdmit(Plugin):
    """Refuses nothing."""

    name = "AlwaysAdmit"

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return False


class AlwaysDeny(Plugin):
    """Refuses everything."""

    name = "AlwaysDeny"
    mutates = validates = True
    sees_specs = False

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return True

    def admit(self, attributes: Attributes) -> None:
        """See Plugin."""
        raise attributes.forbidden("admission control is denying all modifications")

    validate = admit


class AlwaysPullImages(Plugin):
    """Every image is pulled anew: who may use it is asked of its registry each time."""

    name = "AlwaysPullImages"
    mutates = validates = True

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        is_pod = resource.storage == "pods" and subresource in {"", "ephemeralcontainers"}
        return is_pod and operation in {CREATE, UPDATE}

    def admit(self, attributes: Attributes) -> None:
        """See Plugin."""
        assert attributes.obj is not None
        if _has_old_images(attributes):
            return
        for key in _CONTAINERS:
            for container in attributes.obj["spec"].get(key) or ():
                container["imagePullPolicy"] = _ALWAYS
        for volume in attributes.obj["spec"].get("volumes") or ():
            if "image" in volume:
                volume["image"]["pullPolicy"] = _ALWAYS

    def validate(self, attributes: Attributes) -> None:
        """See Plugin."""
        assert attributes.obj is not None
        if _has_old_images(attributes):
            return
        faults = [
            fld.not_supported("imagePullPolicy", container.get("imagePullPolicy"), [_ALWAYS])
            for key in _CONTAINERS
            for container in attributes.obj["spec"].get(key) or ()
            if container.get("imagePullPolicy") != _ALWAYS
        ]
        if faults:
            raise attributes.forbidden(str(faults[0]))


def _has_old_images(attributes: Attributes) -> bool:
    """Tell whether an update brings no image that was not there."""
    new, old = attributes.obj, attributes.old
    if new is None or old is None:
        return False
    known = set(_images(old))
    return all(image in known for image in _images(new))


def _images(pod: JsonObject) -> list[str]:
    spec = pod["spec"]
    return [one.get("image", "") for key in _CONTAINERS for one in spec.get(key) or ()]


class NamespaceExists(Plugin):
    """Nothing is written in a namespace that is not there."""

    name = "NamespaceExists"
    validates = True
    sees_specs = False

    def __init__(self, server: Server) -> None:
        self._server = server

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return resource.namespaced

    def validate(self, attributes: Attributes) -> Awaitable[None] | None:
        """See Plugin."""
        server, namespace = self._server, attributes.namespace
        if not namespace or server.store.get(_NAMESPACES, "", namespace) is not None:
            return None
        return self._look_again(namespace)

    async def _look_again(self, namespace: str) -> None:
        server = self._server
        await server.read(server.catalog.by_storage[_NAMESPACES], "", namespace)


class NamespaceAutoProvision(Plugin):
    """A namespace is made when something is created there."""

    name = "NamespaceAutoProvision"
    mutates = True
    sees_specs = False

    def __init__(self, server: Server, caller: Caller) -> None:
        self._server = server
        self._caller = caller

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return resource.namespaced and not resource.info.virtual and operation == CREATE

    def admit(self, attributes: Attributes) -> Awaitable[None] | None:
        """See Plugin."""
        namespace = attributes.namespace
        known = self._server.store.get(_NAMESPACES, "", namespace)
        if not namespace or known is not None or attributes.dry_run:
            return None
        return self._make(namespace)

    async def _make(self, namespace: str) -> None:
        from apiserver.verbs.create import create_object  # noqa: PLC0415 (it needs the server)

        server = self._server
        resource = server.catalog.by_storage[_NAMESPACES]
        obj: JsonObject = {"metadata": {"name": namespace}}
        try:
            await create_object(server, self._caller, resource, "", obj, PLAIN_WRITE)
        except st.StatusError as error:
            if error.reason != "AlreadyExists":
                raise


class DenyServiceExternalIPs(Plugin):
    """No Service claims addresses of others."""

    name = "DenyServiceExternalIPs"
    validates = True

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return resource.storage == "services" and not subresource and operation in {CREATE, UPDATE}

    def validate(self, attributes: Attributes) -> None:
        """See Plugin."""
        assert attributes.obj is not None
        known = set(_external_ips(attributes.old)) if attributes.old is not None else set()
        if not known.issuperset(_external_ips(attributes.obj)):
            raise attributes.forbidden("Use of external IPs is denied by admission control.")


def _external_ips(service: JsonObject) -> list[str]:
    return service["spec"].get("externalIPs") or []


class LimitPodHardAntiAffinityTopology(Plugin):
    """Pods keep others off their node only, not off whole zones."""

    name = "LimitPodHardAntiAffinityTopology"
    validates = True

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return resource.storage == "pods" and not subresource and operation in {CREATE, UPDATE}

    def validate(self, attributes: Attributes) -> None:
        """See Plugin."""
        assert attributes.obj is not None
        affinity = attributes.obj["spec"].get("affinity") or {}
        for term in (affinity.get("podAntiAffinity") or {}).get(_REQUIRED) or ():
            key = term.get("topologyKey", "")
            if key != _HOSTNAME:
                raise attributes.forbidden(
                    f"affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} but "
                    f"only key {_HOSTNAME} is allowed"
                )


class ExtendedResourceToleration(Plugin):
    """A pod that asks for an extended resource tolerates the taints of nodes that have it."""

    name = "ExtendedResourceToleration"
    mutates = True

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return resource.storage == "pods" and not subresource and operation in {CREATE, UPDATE}

    def admit(self, attributes: Attributes) -> None:
        """See Plugin."""
        assert attributes.obj is not None
        spec = attributes.obj["spec"]
        names = {
            name
            for key in ("containers", "initContainers")
            for container in spec.get(key) or ()
            for name in (container.get("resources") or {}).get("requests") or ()
            if "/" in name and "kubernetes.io/" not in name
        }
        for name in sorted(names):
            toleration = {"key": name, "operator": "Exists"}
            if not any(_is_for(one, name) for one in spec.get("tolerations") or ()):
                spec["tolerations"] = [*(spec.get("tolerations") or ()), toleration]


def _is_for(toleration: JsonObject, key: str) -> bool:
    exists = toleration.get("operator") == "Exists"
    return exists and toleration.get("key") == key and not toleration.get("effect")
