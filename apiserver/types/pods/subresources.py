"""Pods' subresources that have rules of their own: binding, ephemeralcontainers, resize.

Each `prepare_*` takes `(new, old)` like the hooks of `TypeHooks` do and keeps everything the
subresource cannot change; each `validate_*` returns the faults of the change.
"""

from __future__ import annotations

from typing import Final

from apiserver.types.pods.annotations import MIRROR_POD
from apiserver.types.pods.conditions import set_condition
from apiserver.types.pods.difference import describe_difference
from apiserver.types.pods.pod_spec import validate_pod
from apiserver.types.pods.update import check_changed_annotations
from kube.field import FieldError, forbidden, not_supported, quote, required
from kube.json_types import JsonObject
from kube.status import StatusError, bad_request, conflict

_METADATA_KEPT_ON_SUBRESOURCES: Final = (
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "labels",
    "annotations",
    "ownerReferences",
    "generation",
    "selfLink",
)


def validate_binding(binding: JsonObject) -> list[FieldError]:
    """Return the faults of a Binding."""
    errors = []
    target = binding.get("target", {})
    kind = target.get("kind", "")
    if kind and kind != "Node":
        errors.append(not_supported("target.kind", kind, ("Node", "<empty>")))
    if not target.get("name"):
        errors.append(required("target.name"))
    return errors


def unshared(pod: JsonObject) -> JsonObject:
    """Return a copy of a pod that shares all but what `assign_pod_to_node` changes."""
    metadata = pod["metadata"].copy()
    for name in ("annotations", "labels"):
        if name in metadata:
            metadata[name] = metadata[name].copy()
    copied = {**pod, "metadata": metadata, "spec": pod["spec"].copy()}
    if "status" in pod:
        status = copied["status"] = pod["status"].copy()
        if "conditions" in status:
            status["conditions"] = status["conditions"].copy()
    return copied


def assign_pod_to_node(pod: JsonObject, binding: JsonObject, now: str) -> None:
    """Assign a stored pod to the node that `binding` names, in place.

    Args:
        pod: the pod as it is stored; left alone when the binding is refused.
        binding: the Binding, valid by `validate_binding`.
        now: the time as metav1.Time writes it, for the PodScheduled condition.

    Raises:
        StatusError: 409, the pod is bound, deleted, gated or another one than is meant.
    """
    meta, spec = pod["metadata"], pod["spec"]
    name = meta["name"]
    wanted = binding.get("metadata", {})
    for key in ("uid", "resourceVersion"):
        _check_precondition(key, wanted.get(key, ""), meta.get(key, ""), name)
    if meta.get("deletionTimestamp"):
        raise _refuse(name, f"pod {name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        node = quote(spec["nodeName"])
        raise _refuse(name, f"pod {name} is already assigned to node {node}")
    if spec.get("schedulingGates"):
        raise _refuse(name, f"pod {name} has non-empty .spec.schedulingGates")
    node_name = binding["target"]["name"]
    spec["nodeName"] = node_name
    if annotations := wanted.get("annotations"):
        meta.setdefault("annotations", {}).update(annotations)
    if labels := wanted.get("labels"):
        meta.setdefault("labels", {}).update(labels)
    status = pod.setdefault("status", {})
    set_condition(status, {"type": "PodScheduled", "status": "True"}, now)
    # The nomination has served its purpose once the pod is where it was nominated to.
    status.pop("nominatedNodeName", None)


def check_binding_name(name: str, binding: JsonObject) -> None:
    """Check that the Binding's own name is the one in the URL.

    Raises:
        StatusError: 400, it is another.
    """
    if binding.get("metadata", {}).get("name", "") != name:
        raise bad_request("name in URL does not match name in Binding object")


def _refuse(name: str, why: str) -> StatusError:
    return conflict("", "pods/binding", name, why)


def _check_precondition(key: str, wanted: str, actual: str, name: str) -> None:
    if wanted and wanted != actual:
        shown = "UID" if key == "uid" else "ResourceVersion"
        text = (
            f"Precondition failed: {shown} in precondition: {wanted}, "
            f"{shown} in object meta: {actual}"
        )
        raise _refuse(name, text)


def keep_the_rest(new: JsonObject, old: JsonObject) -> None:
    """Take everything but spec from `old`; of metadata what only the main resource changes."""
    if "status" in old:
        new["status"] = old["status"]
    meta = new["metadata"]
    for key in _METADATA_KEPT_ON_SUBRESOURCES:
        if key in old["metadata"]:
            meta[key] = old["metadata"][key]
        else:
            meta.pop(key, None)


def prepare_ephemeral_containers(new: JsonObject, old: JsonObject) -> None:
    """Keep everything of `old` but the ephemeral containers."""
    containers = new["spec"].get("ephemeralContainers")
    keep_the_rest(new, old)
    new["spec"] = dict(old["spec"])
    new["spec"].pop("ephemeralContainers", None)
    if containers:
        new["spec"]["ephemeralContainers"] = containers
    count_spec_change(new, old)


def count_spec_change(new: JsonObject, old: JsonObject) -> None:
    """Raise the generation if the spec is another."""
    if new["spec"] != old["spec"]:
        meta = new["metadata"]
        meta["generation"] = meta.get("generation", 0) + 1


def validate_ephemeral_containers(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Return the faults of a change of the ephemeral containers: they can only be added."""
    errors = validate_pod(new)
    check_changed_annotations(new, old, errors, whole=False)
    if MIRROR_POD in old["metadata"].get("annotations", ()):
        return [forbidden("", "static pods do not support ephemeral containers")]
    now = {one.get("name"): one for one in new["spec"].get("ephemeralContainers", ())}
    path = "spec.ephemeralContainers"
    for container in old["spec"].get("ephemeralContainers", ()):
        name = container.get("name", "")
        shown = f"existing ephemeral containers {quote(name)} may not be"
        if name not in now:
            errors.append(forbidden(path, f"{shown} removed\n"))
        elif now[name] != container:
            diff = describe_difference(container, now[name], "core.EphemeralContainer")
            errors.append(forbidden(path, f"{shown} changed\n{diff}"))
    return errors
