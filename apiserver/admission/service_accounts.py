"""ServiceAccount: every pod runs as an account that is there, and gets its token mounted.

Mirror pods, which a kubelet makes of its own files, have neither account nor secrets.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Iterator
from typing import TYPE_CHECKING, Final

from apiserver.admission.attributes import CREATE, UPDATE, Attributes
from apiserver.admission.chain import Plugin
from apiserver.admission.facts import Facts
from apiserver.metadata import generate_name
from apiserver.node_access.references import spec_references
from apiserver.resources import Resource
from apiserver.types.pods.admission_defaults import MIRROR_POD
from kube.field import quote
from kube.json_types import JsonObject

if TYPE_CHECKING:
    from apiserver.server import Server

ACCOUNTS: Final = "serviceaccounts"
DEFAULT: Final = "default"
TOKEN_MOUNT_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
ENFORCE_SECRETS: Final = "kubernetes.io/enforce-mountable-secrets"
_VOLUME_PREFIX: Final = "kube-api-access-"
_LIFETIME_S: Final = 3607
"""An hour, and the time by which kubelets are late in asking for the next."""
_ATTEMPTS: Final = 10
"""To find a namespace's `default` account, which a controller makes."""
_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_KINDS: Final = (
    ("initContainers", "init container"),
    ("containers", "container"),
)


class ServiceAccount(Plugin):
    """See the module's head."""

    name = "ServiceAccount"
    mutates = validates = True

    def __init__(self, server: Server, facts: Facts) -> None:
        self._server = server
        self._facts = facts

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        if resource.storage != "pods":
            return False
        return (subresource, operation) in {("", CREATE), ("ephemeralcontainers", UPDATE)}

    def admit(self, attributes: Attributes) -> Awaitable[None] | None:
        """See Plugin."""
        pod = attributes.obj
        assert pod is not None
        if attributes.operation == UPDATE or is_mirror(pod):
            return None
        spec = pod["spec"]
        if not spec.get("serviceAccountName"):
            # The older name for the same is kept alike.
            spec["serviceAccountName"] = spec["serviceAccount"] = DEFAULT
        account = self._find(attributes.namespace, spec["serviceAccountName"])
        if account is None:
            return self._wait_and_complete(attributes, spec["serviceAccountName"])
        complete(pod, account)
        return None

    def validate(self, attributes: Attributes) -> None:
        """See Plugin."""
        pod = attributes.obj
        assert pod is not None
        if is_mirror(pod):
            if attributes.operation == CREATE:
                _check_mirror(attributes, pod)
            return
        spec = pod["spec"]
        name = spec.get("serviceAccountName", "")
        if not name:
            if attributes.operation == UPDATE:
                return
            where = f"{attributes.namespace}/{pod['metadata'].get('name', '')}"
            raise attributes.forbidden(f"no service account specified for pod {where}")
        account = self._find(attributes.namespace, name)
        if account is None:
            raise _not_found(attributes, name)
        annotations = account["metadata"].get("annotations") or {}
        if annotations.get(ENFORCE_SECRETS) in _TRUE:
            is_new = attributes.operation == CREATE
            for why in secret_faults(pod, account, is_new=is_new):
                raise attributes.forbidden(why)

    def _find(self, namespace: str, name: str) -> JsonObject | None:
        return self._facts.read(ACCOUNTS, namespace, name)

    async def _wait_and_complete(self, attributes: Attributes, name: str) -> None:
        """Look consistently; for the `default` account, which is on its way, for a second or so."""
        server = self._server
        accounts = server.catalog.by_storage[ACCOUNTS]
        wait_s = random.uniform(0.1, 0.2)
        for attempt in range(_ATTEMPTS if name == DEFAULT else 1):
            if attempt:
                await asyncio.sleep(wait_s)
            await server.fresh(accounts)
            account = self._find(attributes.namespace, name)
            if account is not None:
                assert attributes.obj is not None
                complete(attributes.obj, account)
                return
        raise _not_found(attributes, name)


def _not_found(attributes: Attributes, name: str) -> Exception:
    return attributes.forbidden(
        f"error looking up service account {attributes.namespace}/{name}: "
        f"serviceaccount {quote(name)} not found"
    )


def is_mirror(pod: JsonObject) -> bool:
    """Tell whether a pod stands for one that a kubelet has made of a file."""
    return MIRROR_POD in (pod["metadata"].get("annotations") or ())


def complete(pod: JsonObject, account: JsonObject) -> None:
    """Give a pod what its account has for it, in place."""
    spec = pod["spec"]
    wanted = spec.get("automountServiceAccountToken")
    if wanted is None:
        wanted = account.get("automountServiceAccountToken", True)
    if wanted is not False:
        _mount_token(spec)
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [
            {"name": one.get("name", "")} for one in account["imagePullSecrets"]
        ]


def _mount_token(spec: JsonObject) -> None:
    known = ""
    for volume in spec.get("volumes") or ():
        if volume["name"].startswith(_VOLUME_PREFIX):
            known = volume["name"]
            break
    name = known or generate_name(_VOLUME_PREFIX)
    is_needed = False
    for key in ("initContainers", "containers"):
        for container in spec.get(key) or ():
            mounts = container.get("volumeMounts") or ()
            if all(mount["mountPath"] != TOKEN_MOUNT_PATH for mount in mounts):
                mount = {"name": name, "readOnly": True, "mountPath": TOKEN_MOUNT_PATH}
                container["volumeMounts"] = [*mounts, mount]
                is_needed = True
    if is_needed and not known:
        spec["volumes"] = [*(spec.get("volumes") or ()), token_volume(name)]


def token_volume(name: str) -> JsonObject:
    """Return the volume by which a pod gets its token, the cluster's CA and its namespace."""
    namespace = {
        "path": "namespace",
        "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
    }
    return {
        "name": name,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": _LIFETIME_S, "path": "token"}},
                {
                    "configMap": {
                        "name": "kube-root-ca.crt",
                        "items": [{"key": "ca.crt", "path": "ca.crt"}],
                    }
                },
                {"downwardAPI": {"items": [namespace]}},
            ],
            "defaultMode": 420,
        },
    }


def _check_mirror(attributes: Attributes, pod: JsonObject) -> None:
    spec = pod["spec"]
    if spec.get("serviceAccountName"):
        raise attributes.forbidden("a mirror pod may not reference service accounts")
    if any(resource == "secrets" and name for resource, name in spec_references(pod)):
        raise attributes.forbidden("a mirror pod may not reference secrets")
    for volume in spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if "serviceAccountToken" in source:
                raise attributes.forbidden(
                    "a mirror pod may not use ServiceAccountToken volume projections"
                )


def secret_faults(pod: JsonObject, account: JsonObject, *, is_new: bool) -> Iterator[str]:
    """Yield what a pod refers to that its account, which limits that, does not."""
    spec, name = pod["spec"], account["metadata"]["name"]
    mountable = {one.get("name") for one in account.get("secrets") or ()}
    if not is_new:
        kinds: tuple[tuple[str, str], ...] = (("ephemeralContainers", "ephemeral container"),)
        yield from _variable_faults(spec, kinds, mountable, name)
        return
    for volume in spec.get("volumes") or ():
        secret = (volume.get("secret") or {}).get("secretName")
        if secret is not None and secret not in mountable:
            yield (
                f'volume with secret.secretName="{secret}" is not allowed because service '
                f"account {name} does not reference that secret"
            )
    yield from _variable_faults(spec, _KINDS, mountable, name)
    pulled = {one.get("name") for one in account.get("imagePullSecrets") or ()}
    for index, one in enumerate(spec.get("imagePullSecrets") or ()):
        if one.get("name") not in pulled:
            yield (
                f'imagePullSecrets[{index}].name="{one.get("name", "")}" is not allowed '
                f"because service account {name} does not reference that imagePullSecret"
            )


def _variable_faults(
    spec: JsonObject, kinds: tuple[tuple[str, str], ...], mountable: set[str], account: str
) -> Iterator[str]:
    for key, kind in kinds:
        for container in spec.get(key) or ():
            for variable in container.get("env") or ():
                reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
                if reference and reference.get("name") not in mountable:
                    yield (
                        f"{kind} {container['name']} with envVar {variable['name']} referencing "
                        f'secret.secretName="{reference.get("name", "")}" is not allowed because '
                        f"service account {account} does not reference that secret"
                    )
