"""Pods: defaults, validation, strategy, and the rules of their subresources."""

from __future__ import annotations

from functools import partial
from typing import Final

from apiserver.types.formats import name_is_dns_subdomain
from apiserver.types.hooks import TwinRules, TypeHooks
from apiserver.types.pods.defaults import default_pod, default_pod_status
from apiserver.types.pods.pod_spec import validate_pod_create
from apiserver.types.pods.status import prepare_pod_status, validate_pod_status
from apiserver.types.pods.strategy import (
    completion_depends_on,
    delete_grace_s,
    pod_ip,
    prepare_pod_create,
    spec_text,
    status_text,
)
from apiserver.types.pods.update import validate_pod_update
from apiserver.types.pods.warnings import name_warnings, pod_warnings
from kube.json_types import JsonObject


def _host_network(pod: JsonObject) -> str:
    return "true" if pod["spec"].get("hostNetwork") else "false"


HOOKS: Final[dict[str, TypeHooks]] = {
    "pods": TypeHooks(
        default=default_pod,
        default_status=default_pod_status,
        prepare_create=prepare_pod_create,
        validate_create=validate_pod_create,
        validate_update=validate_pod_update,
        prepare_status=prepare_pod_status,
        validate_status=validate_pod_status,
        warnings=pod_warnings,
        name_check=name_is_dns_subdomain,
        fields={
            "spec.nodeName": partial(spec_text, name="nodeName"),
            "spec.restartPolicy": partial(spec_text, name="restartPolicy"),
            "spec.schedulerName": partial(spec_text, name="schedulerName"),
            "spec.serviceAccountName": partial(spec_text, name="serviceAccountName"),
            "spec.hostNetwork": _host_network,
            "status.phase": partial(status_text, name="phase"),
            "status.podIP": pod_ip,
            "status.nominatedNodeName": partial(status_text, name="nominatedNodeName"),
        },
        indexed=("spec.nodeName",),
        generation=True,
        has_status=True,
        grace_period=delete_grace_s,
        twin=TwinRules(completion_depends_on, name_warnings),
    )
}
