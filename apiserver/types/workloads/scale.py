"""The scale subresource: how many pods a workload wants and has, as an autoscaling/v1 Scale."""

from __future__ import annotations

from typing import Final, Protocol

from apiserver.types.meta import validate_nonnegative
from apiserver.types.workloads.selectors import render
from kube.field import FieldError
from kube.json_types import JsonObject
from kube.managed.scale import REPLICAS
from kube.managed.sets import Path

_METADATA: Final = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


class Scaling(Protocol):
    """How objects of a type are seen through a Scale."""

    @property
    def path(self) -> Path:
        """The field that holds the replicas wanted, as managedFields name it."""
        ...

    def scale_of(self, obj: JsonObject) -> JsonObject:
        """Return the Scale of an object.

        Raises:
            StatusError: it has none.
        """
        ...

    def live_scale(self, obj: JsonObject) -> JsonObject:
        """Return the Scale of an object that is to be written."""
        ...

    def apply_scale(self, obj: JsonObject, scale: JsonObject) -> None:
        """Set an object's replicas to those of a Scale, in place.

        Raises:
            StatusError: the Scale says nothing of them.
        """
        ...


class WorkloadScale:
    """Built-in workloads: `spec.replicas`, and their pods' selector in text form."""

    path: Path = REPLICAS

    def scale_of(self, obj: JsonObject) -> JsonObject:
        """See Scaling."""
        return scale_of(obj)

    def live_scale(self, obj: JsonObject) -> JsonObject:
        """See Scaling."""
        return scale_of(obj)

    def apply_scale(self, obj: JsonObject, scale: JsonObject) -> None:
        """See Scaling."""
        apply_scale(obj, scale)


WORKLOAD_SCALE: Final = WorkloadScale()


def scale_of(obj: JsonObject) -> JsonObject:
    """Return the Scale of a workload; its selector is in text form."""
    spec = obj["spec"]
    selector = spec.get("selector")
    if selector is not None and obj.get("kind") == "ReplicationController":
        selector = {"matchLabels": selector}
    meta = obj["metadata"]
    status: JsonObject = {"replicas": obj.get("status", {}).get("replicas", 0)}
    text = render(selector)
    if text:
        status["selector"] = text
    wanted = spec.get("replicas", 0)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: meta[key] for key in _METADATA if key in meta},
        # Zero is the zero value of a plain field, which is not written.
        "spec": {"replicas": wanted} if wanted else {},
        "status": status,
    }


def apply_scale(obj: JsonObject, scale: JsonObject) -> None:
    """Set a workload's wanted number of pods to that of `scale`, in place.

    A resourceVersion or uid in the Scale becomes the workload's, so that a stale one conflicts.
    """
    obj["spec"]["replicas"] = scale.get("spec", {}).get("replicas", 0)
    for key in ("resourceVersion", "uid"):
        if wanted := scale.get("metadata", {}).get(key):
            obj["metadata"][key] = wanted


def validate_scale(scale: JsonObject) -> list[FieldError]:
    """Return the faults of a Scale, beyond its metadata."""
    replicas = scale.get("spec", {}).get("replicas", 0)
    return validate_nonnegative(replicas, "spec.replicas")
