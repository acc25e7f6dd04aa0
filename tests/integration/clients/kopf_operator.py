"""An operator as kopf's users write them: it keeps a ConfigMap for each KopfExample.

Run by `kopf run`; it tells what it does by the objects it writes alone.
"""

from __future__ import annotations

from typing import Any

import kopf
from kubernetes import client, config

config.load_kube_config()
_core = client.CoreV1Api()
_TYPE = ("kopf.dev", "v1", "kopfexamples")


def _child(name: str, spec: Any) -> dict[str, Any]:
    made = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{name}-child"},
        "data": {"duration": str(spec.get("duration", ""))},
    }
    kopf.adopt(made)
    return made


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Keep to what a test has time for; tell of what is done by events."""
    settings.watching.server_timeout = 10
    settings.execution.max_workers = 4
    settings.posting.loggers = True


@kopf.on.create(*_TYPE)
def create_fn(spec: Any, name: str, namespace: str | None, **_: Any) -> dict[str, str]:
    """Make the ConfigMap; what is returned is kept in the status."""
    assert namespace is not None
    made = _core.create_namespaced_config_map(namespace, _child(name, spec))
    return {"child": made.metadata.name}


@kopf.on.update(*_TYPE, field="spec.duration")
def update_fn(name: str, namespace: str | None, new: Any, **_: Any) -> dict[str, str]:
    """Follow a field."""
    assert namespace is not None
    _core.patch_namespaced_config_map(f"{name}-child", namespace, {"data": {"duration": str(new)}})
    return {"duration": str(new)}


@kopf.on.resume(*_TYPE)
def resume_fn(patch: kopf.Patch, **_: Any) -> None:
    """Say that the object was met by an operator that had just started."""
    patch.metadata.labels["resumed"] = "yes"


@kopf.timer(*_TYPE, interval=0.2, when=lambda spec, **_: bool(spec.get("ticks")))
def tick(patch: kopf.Patch, status: Any, **_: Any) -> None:
    """Count in the status."""
    patch.status["ticks"] = status.get("ticks", 0) + 1


@kopf.on.delete(*_TYPE)
def delete_fn(name: str, namespace: str | None, **_: Any) -> None:
    """Leave a last word behind: nothing owns it."""
    assert namespace is not None
    last = {"metadata": {"name": f"{name}-was-here"}}
    _core.create_namespaced_config_map(namespace, last)
