"""Small pods and templates for the tests of pods and workloads, and ways to change them."""

from __future__ import annotations

import copy
from typing import Any

from apiserver.types.pods import HOOKS
from kube.json_types import JsonObject

PODS = HOOKS["pods"]


def make_pod(**spec: Any) -> JsonObject:
    """Return a decoded, not yet defaulted pod with one container and the given spec fields."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"containers": [make_container()], **copy.deepcopy(spec)},
    }


def make_container(name: str = "app", **fields: Any) -> JsonObject:
    """Return a container with an image."""
    return {"name": name, "image": "nginx:1.27", "resources": {}, **copy.deepcopy(fields)}


def make_template(labels: dict[str, str] | None = None, **spec: Any) -> JsonObject:
    """Return a pod template with labels."""
    return {
        "metadata": {"labels": labels or {"app": "web"}},
        "spec": {"containers": [make_container()], **copy.deepcopy(spec)},
    }


def created(pod: JsonObject) -> JsonObject:
    """Return `pod` as a create leaves it."""
    PODS.default(pod)
    PODS.prepare_create(pod)
    assert PODS.validate_create(pod) == []
    return pod


def faults(pod: JsonObject) -> list[str]:
    """Return what creating `pod` complains of."""
    PODS.default(pod)
    PODS.prepare_create(pod)
    return [str(error) for error in PODS.validate_create(pod)]
