"""Short forms for tests of webhooks: configurations that last as long as a block."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.integration.api_calls import Json, collection
from tests.integration.cluster import Cluster
from tests.integration.webhook_server import Hook, WebhookServer

GROUP = "admissionregistration.k8s.io/v1"
MUTATING = "mutatingwebhookconfigurations"
VALIDATING = "validatingwebhookconfigurations"
_numbers = itertools.count(1)


def rule(*resources: str, operations: tuple[str, ...] = ("CREATE",), **more: Any) -> Json:
    """Return a rule about resources of any group and version."""
    return {
        "operations": list(operations),
        "apiGroups": ["*"],
        "apiVersions": ["*"],
        "resources": list(resources),
        **more,
    }


def hook_spec(server: WebhookServer, path: str, namespace: str, **more: Any) -> Json:
    """Return a webhook that is asked about secrets of one namespace."""
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    return {
        "name": f"{path.strip('/')}.example.com",
        "clientConfig": server.config(path),
        "rules": [rule("secrets")],
        "namespaceSelector": selector,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **more,
    }


@contextmanager
def configured(cluster: Cluster, plural: str, *hooks: Json, name: str = "") -> Iterator[str]:
    """Have webhooks asked within the block; gives the configuration's name."""
    name = name or f"test-{next(_numbers)}"
    configurations = collection(cluster, "", plural, GROUP)
    made = configurations.create({"metadata": {"name": name}, "webhooks": list(hooks)})
    assert made.code == 201, made.body
    try:
        yield name
    finally:
        gone = configurations.delete(name)
        assert gone.code == 200, gone.body


@contextmanager
def asked(
    cluster: Cluster,
    server: WebhookServer,
    plural: str,
    namespace: str,
    respond: Callable[[Json], Any],
    **more: Any,
) -> Iterator[Hook]:
    """Have one new webhook asked about secrets of a namespace within the block."""
    path = f"/hook-{next(_numbers)}"
    hook = server.hook(path, respond)
    with configured(cluster, plural, hook_spec(server, path, namespace, **more)):
        yield hook
