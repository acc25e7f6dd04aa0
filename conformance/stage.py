"""What a case plays on: a server, a namespace of its own, and who cleans up.

As upstream's framework does: the namespace has a name of its own, and is used only when it has its
service account and root certificates. Cleaning up happens whatever becomes of the case, the newest
thing first; what goes wrong in it fails nobody.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from conformance.api import Api
from conformance.checks import CaseFailed, eventually
from conformance.resource import Resource
from kube.json_types import JsonObject
from kube.status import StatusError

CLEANUP_S_MAX: Final = 60.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Target:
    """The server under test, and what a case may use on this machine.

    Attributes:
        api: whom to ask.
        kubeconfig: a file that leads to it.
        webhook_host: where the server reaches this machine; empty if it does not.
        has_nodes: whether there are nodes that take Pods.
    """

    api: Api
    kubeconfig: Path
    webhook_host: str = ""
    has_nodes: bool = True


@dataclass(slots=True)
class Stage:
    """Handed to each case.

    Attributes:
        target: the server under test.
        namespace: the case's own.
        unique: a word that no other case has, fit for names and label values.
    """

    target: Target
    namespace: str
    unique: str
    _cleaning: list[Callable[[], Awaitable[object]]] = field(default_factory=list)

    @property
    def api(self) -> Api:
        """Whom to ask."""
        return self.target.api

    def of(self, group_version: str, plural: str, kind: str) -> Resource:
        """Return a namespaced type, in the case's namespace."""
        return Resource(self.api, group_version, plural, kind, self.namespace)

    def cluster(self, group_version: str, plural: str, kind: str) -> Resource:
        """Return a type of the cluster."""
        return Resource(self.api, group_version, plural, kind)

    @property
    def config_maps(self) -> Resource:
        """ConfigMaps of the case's namespace."""
        return self.of("v1", "configmaps", "ConfigMap")

    @property
    def pods(self) -> Resource:
        """Pods of the case's namespace."""
        return self.of("v1", "pods", "Pod")

    @property
    def namespaces(self) -> Resource:
        """All namespaces."""
        return self.cluster("v1", "namespaces", "Namespace")

    def later(self, action: Callable[[], Awaitable[object]]) -> None:
        """Have something done when the case is over."""
        self._cleaning.append(action)

    def remove(self, resource: Resource, name: str) -> None:
        """Have an object deleted when the case is over, if it is there then."""
        self.later(lambda: _ignore_absent(resource.delete(name)))

    def remove_all(self, resource: Resource, selector: str) -> None:
        """Have all that a label selector matches deleted when the case is over."""
        self.later(lambda: resource.delete_all(selector))

    async def new_namespace(self, name: str, labels: dict[str, str] | None = None) -> JsonObject:
        """Create a namespace more, whose name begins with `name`."""
        metadata: dict[str, Any] = {"name": f"{name}-{self.unique}", "labels": labels or {}}
        created = await self.namespaces.create({"metadata": metadata})
        self.remove(self.namespaces, created["metadata"]["name"])
        return created

    async def clean(self) -> None:
        """Do what was to be done later."""
        while self._cleaning:
            action = self._cleaning.pop()
            try:
                async with asyncio.timeout(CLEANUP_S_MAX):
                    await action()
            except (CaseFailed, StatusError, TimeoutError) as error:
                _log.info("cleaning up after %s: %s", self.namespace, error)


async def set_up(target: Target) -> Stage:
    """Return a stage with a namespace that is ready to be used.

    Raises:
        CaseFailed: the namespace got no service account or root certificates.
        StatusError: the server refuses to create it.
    """
    unique = f"e2e-{secrets.token_hex(5)}"
    stage = Stage(target, unique, unique)
    await stage.namespaces.create({"metadata": {"name": unique, "labels": {"e2e-run": unique}}})
    stage.remove(stage.namespaces, unique)
    accounts = stage.of("v1", "serviceaccounts", "ServiceAccount")
    try:
        await eventually("the namespace has its service account", lambda: accounts.get("default"))
        await eventually(
            "the namespace has the root certificates",
            lambda: stage.config_maps.get("kube-root-ca.crt"),
        )
    except BaseException:
        await stage.clean()
        raise
    return stage


async def _ignore_absent(request: Awaitable[object]) -> None:
    try:
        await request
    except StatusError as error:
        if error.reason != "NotFound":
            raise
