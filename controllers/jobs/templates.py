"""The pods of a Job, as they are created: by its template, with an index where it has those.

Templates are shared: what differs between pods is put into copies of the parts that it is in.
"""

from __future__ import annotations

from typing import Any, Final

from controllers.jobs.job_pods import FAILURES, FINALIZER, IGNORED_FAILURES, INDEX
from controllers.workloads.claims import Kind
from controllers.workloads.pod_control import pod_from_template
from kube.json_types import JsonObject

JOB: Final = Kind("batch/v1", "Job", "jobs")
_PREFIX_MAX: Final = 58
"""A generated name is a DNS label, and its random part has five characters."""
_ENV: Final = "JOB_COMPLETION_INDEX"
_ENV_VAR: Final[JsonObject] = {
    "name": _ENV,
    "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}},
}


class PodTemplate:
    """Makes the pods of one Job."""

    def __init__(self, job: JsonObject) -> None:
        self._name: str = job["metadata"]["name"]
        template = job["spec"]["template"]
        if job["spec"].get("completionMode") == "Indexed":
            template = {**template, "spec": _with_index_env(template["spec"])}
        self._pod = pod_from_template(JOB, job, template)
        metadata = self._pod["metadata"]
        finalizers = metadata.get("finalizers") or []
        if FINALIZER not in finalizers:
            metadata["finalizers"] = [*finalizers, FINALIZER]

    def pod(self) -> JsonObject:
        """Return a new pod without an index."""
        return self._pod

    def indexed(self, index: int, counts: tuple[int, int] | None = None) -> JsonObject:
        """Return a new pod of an index.

        Args:
            index: its completion index.
            counts: how often the index failed, and failed without that being counted; None: the
                Job has no limit for each index.
        """
        metadata = self._pod["metadata"]
        annotations = {**(metadata.get("annotations") or {}), INDEX: str(index)}
        if counts is not None:
            annotations[FAILURES] = str(counts[0])
            if counts[1]:
                annotations[IGNORED_FAILURES] = str(counts[1])
        return {
            **self._pod,
            "metadata": {
                **metadata,
                "annotations": annotations,
                "labels": {**(metadata.get("labels") or {}), INDEX: str(index)},
                "generateName": prefix(self._name, index),
            },
            "spec": {**self._pod["spec"], "hostname": f"{self._name}-{index}"},
        }


def prefix(name: str, index: int) -> str:
    """Return how the name of an index's pod begins."""
    end = f"-{index}-"
    return (
        name[: _PREFIX_MAX - len(end)] + end if len(name) + len(end) > _PREFIX_MAX else name + end
    )


def _with_index_env(spec: JsonObject) -> JsonObject:
    changed = dict(spec)
    for name in ("initContainers", "containers"):
        if spec.get(name):
            changed[name] = [_with_env(container) for container in spec[name]]
    return changed


def _with_env(container: JsonObject) -> JsonObject:
    env: list[Any] = container.get("env") or []
    if any(variable["name"] == _ENV for variable in env):
        return container
    return {**container, "env": [*env, _ENV_VAR]}
