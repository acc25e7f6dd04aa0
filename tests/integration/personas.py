"""Users of whom nobody knows anything yet, and short forms for what they are given."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from tests.integration.api_calls import Json
from tests.integration.cluster import Answer, Cluster

RBAC = "/apis/rbac.authorization.k8s.io/v1"
GROUP = "rbac.authorization.k8s.io"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Persona:
    """A user of a cluster."""

    cluster: Cluster
    name: str

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        """Send a request as this user."""
        headers = {"Impersonate-User": self.name, **more.pop("headers", {})}
        return self.cluster.call(method, path, body, headers=headers, **more)

    def subject(self) -> Json:
        """Return the user as a subject of a binding."""
        return {"apiGroup": GROUP, "kind": "User", "name": self.name}


def persona(cluster: Cluster, name: str = "") -> Persona:
    """Return a new user."""
    return Persona(cluster, name or f"user-{next(_numbers)}")


def rule(verbs: str, resources: str, group: str = "", names: str = "") -> Json:
    """Return a rule; words are separated by spaces."""
    made: Json = {
        "verbs": verbs.split(),
        "apiGroups": [group],
        "resources": resources.split(),
    }
    if names:
        made["resourceNames"] = names.split()
    return made


def grant(persona: Persona, namespace: str, *rules: Json) -> str:
    """Give a user rules by a role and binding of its own; return the name of both."""
    name = f"{persona.name}-{next(_numbers)}"
    role, bindings, kind = "roles", "rolebindings", "Role"
    where = f"{RBAC}/namespaces/{namespace}"
    if not namespace:
        role, bindings, kind, where = "clusterroles", "clusterrolebindings", "ClusterRole", RBAC
    made(persona.cluster, f"{where}/{role}", {"metadata": {"name": name}, "rules": list(rules)})
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": name},
        "subjects": [persona.subject()],
    }
    made(persona.cluster, f"{where}/{bindings}", binding)
    return name


def made(cluster: Cluster, path: str, obj: Json) -> Any:
    """Create an object that must be taken, and return it."""
    answer = cluster.call("POST", path, obj)
    assert answer.code == 201, answer.body
    return answer.json
