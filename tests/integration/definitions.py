"""CustomResourceDefinitions for tests, made of what a test is about, and waiting for them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from tests.integration.cluster import ROOT, Answer, Cluster

API = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CORPUS = Path(os.environ.get("ULTRAPLANE_CORPUS", ROOT.parent / "shared" / "corpus"))
WAIT_S_MAX = 20.0
_POLL_S = 0.01
OPEN: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def version(name: str = "v1", schema: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return a version; served and stored unless told otherwise."""
    made = {"name": name, "served": True, "storage": True, **more}
    made["schema"] = {"openAPIV3Schema": schema or OPEN}
    return made


def definition(
    group: str, kind: str, *versions: dict[str, Any], scope: str = "Namespaced", **spec: Any
) -> dict[str, Any]:
    """Return a definition of a kind; its plural is the kind's lower case and an s."""
    plural = f"{kind.lower()}s"
    names = {"plural": plural, "kind": kind, **spec.pop("names", {})}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names['plural']}.{group}", **spec.pop("metadata", {})},
        "spec": {
            "group": group,
            "scope": scope,
            "names": names,
            "versions": list(versions) or [version()],
            **spec,
        },
    }


def condition_of(obj: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return a condition of a definition, {} if it has none of that kind."""
    found = (obj.get("status") or {}).get("conditions") or ()
    return next((one for one in found if one["type"] == kind), {})


def install(cluster: Cluster, made: dict[str, Any]) -> dict[str, Any]:
    """Create a definition and return it as it is once it is established."""
    answer = cluster.call("POST", API, made)
    assert answer.code == 201, answer.body
    return await_condition(cluster, made["metadata"]["name"], "Established", "True")


def await_condition(cluster: Cluster, name: str, kind: str, status: str) -> dict[str, Any]:
    """Return a definition once a condition of it has a status."""
    deadline_s = time.monotonic() + WAIT_S_MAX
    found: dict[str, Any] = {}
    while time.monotonic() < deadline_s:
        found = read(cluster, name).json
        if condition_of(found, kind).get("status") == status:
            return found
        time.sleep(_POLL_S)
    raise AssertionError(f"{name} is not {kind}={status}: {found.get('status')}")


def read(cluster: Cluster, name: str) -> Answer:
    """Read a definition."""
    return cluster.call("GET", f"{API}/{name}")


def remove(cluster: Cluster, name: str) -> None:
    """Delete a definition and return once it is gone."""
    cluster.call("DELETE", f"{API}/{name}")
    await_gone(cluster, name)


def await_gone(cluster: Cluster, name: str) -> None:
    """Return once a definition is gone."""
    deadline_s = time.monotonic() + WAIT_S_MAX
    while time.monotonic() < deadline_s:
        if read(cluster, name).code == 404:
            return
        time.sleep(_POLL_S)
    raise AssertionError(f"{name} is still there: {read(cluster, name).body!r}")


def change(cluster: Cluster, name: str, patch: Any) -> dict[str, Any]:
    """Change a definition by a JSON merge patch and return it."""
    answer = cluster.call(
        "PATCH", f"{API}/{name}", patch, content_type="application/merge-patch+json"
    )
    assert answer.code == 200, answer.body
    found: dict[str, Any] = answer.json
    return found
