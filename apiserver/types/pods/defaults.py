"""Defaults of pods and of the pod templates in other types.

Objects are decoded: absent and zero mean the same for plain fields, so `setdefault` is the rule.
Changes are in place and idempotent: a stored object does not change by being defaulted again.
What upstream's conversion between versions adds (the deprecated `serviceAccount`, `podIPs`) is
added here too, since this server has no internal version.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from apiserver.types.pods.images import default_pull_policy
from apiserver.types.pods.pod_level_defaults import default_pod_level_resources
from apiserver.types.pods.quantities import round_up_to_milli
from apiserver.types.pods.volume_defaults import default_volume
from kube.json_types import JsonObject

_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")


def default_pod(pod: JsonObject) -> None:
    """Fill in a Pod's defaults."""
    spec = pod.setdefault("spec", {})
    default_pod_spec(spec)
    containers = spec.get("containers", ())
    _request_what_is_limited(containers)
    initial = spec.get("initContainers")
    if initial:
        _request_what_is_limited(initial)
    if "resources" in spec:
        default_pod_level_resources(spec)
        round_resources(spec["resources"])
    spec.setdefault("enableServiceLinks", True)
    if spec.get("hostNetwork"):
        _default_host_ports(containers)
        _default_host_ports(initial or ())
    default_pod_status(pod)


def default_pod_status(pod: JsonObject) -> None:
    """Fill in what a Pod's status may lack."""
    status = pod.get("status")
    if status:
        _agree_on_pod_ip(status)


def default_pod_template(template: JsonObject) -> None:
    """Fill in the defaults of a PodTemplateSpec: fewer than a Pod's own."""
    spec = template.setdefault("spec", {})
    default_pod_spec(spec)
    if "resources" in spec:
        round_resources(spec["resources"])


def default_pod_spec(spec: JsonObject) -> None:
    """Fill in what pods and templates have in common."""
    fill = spec.setdefault
    fill("dnsPolicy", "ClusterFirst")
    fill("restartPolicy", "Always")
    fill("securityContext", {})
    fill("terminationGracePeriodSeconds", 30)
    fill("schedulerName", "default-scheduler")
    # The deprecated name mirrors the current one, whichever was given.
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for volume in spec.get("volumes", ()):
        default_volume(volume)
    for container in spec.get("containers", ()):
        default_container(container)
    for container in spec.get("initContainers", ()):
        default_container(container)
    for container in spec.get("ephemeralContainers", ()):
        default_container(container)
    overhead = spec.get("overhead")
    if overhead:
        round_up_to_milli(overhead)


def default_container(container: JsonObject) -> None:
    """Fill in the defaults of a container of any of the three lists."""
    if "imagePullPolicy" not in container:
        container["imagePullPolicy"] = default_pull_policy(container.get("image", ""))
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    resources = container.setdefault("resources", {})
    if resources:
        round_resources(resources)
    for port in container.get("ports", ()):
        if "protocol" not in port:
            port["protocol"] = "TCP"
    for variable in container.get("env", ()):
        if "valueFrom" in variable:
            _default_env_source(variable["valueFrom"])
    for name in _PROBES:
        if name in container:
            _default_probe(container[name])
    if "lifecycle" in container:
        _default_lifecycle(container["lifecycle"])


def round_resources(resources: JsonObject) -> None:
    """Round the requests and limits up to thousandths, the finest the API keeps."""
    for name in ("limits", "requests"):
        amounts = resources.get(name)
        if amounts:
            round_up_to_milli(amounts)


def _default_env_source(source: JsonObject) -> None:
    if "fieldRef" in source:
        source["fieldRef"].setdefault("apiVersion", "v1")
    elif "resourceFieldRef" in source:
        source["resourceFieldRef"].setdefault("divisor", "0")
    elif "fileKeyRef" in source:
        source["fileKeyRef"].setdefault("optional", False)


def _default_probe(probe: JsonObject) -> None:
    fill = probe.setdefault
    fill("timeoutSeconds", 1)
    fill("periodSeconds", 10)
    fill("successThreshold", 1)
    fill("failureThreshold", 3)
    if "httpGet" in probe:
        _default_http_get(probe["httpGet"])
    elif "grpc" in probe:
        probe["grpc"].setdefault("service", "")


def _default_lifecycle(lifecycle: JsonObject) -> None:
    for name in ("postStart", "preStop"):
        handler = lifecycle.get(name)
        if handler and "httpGet" in handler:
            _default_http_get(handler["httpGet"])


def _default_http_get(action: JsonObject) -> None:
    action.setdefault("path", "/")
    action.setdefault("scheme", "HTTP")


def _request_what_is_limited(containers: Iterable[JsonObject]) -> None:
    for container in containers:
        resources = container["resources"]
        if limits := resources.get("limits"):
            requests = resources.setdefault("requests", {})
            for name, amount in limits.items():
                requests.setdefault(name, amount)


def _default_host_ports(containers: Iterable[JsonObject]) -> None:
    for container in containers:
        for port in container.get("ports", ()):
            if not port.get("hostPort") and port.get("containerPort"):
                port["hostPort"] = port["containerPort"]


def _agree_on_pod_ip(status: JsonObject) -> None:
    """Keep `podIP` and the first of `podIPs` one and the same; the singular field wins."""
    address = status.get("podIP")
    addresses = status.get("podIPs")
    if address:
        if not addresses or addresses[0].get("ip") != address:
            status["podIPs"] = [{"ip": address}]
    elif addresses and addresses[0].get("ip"):
        status["podIP"] = addresses[0]["ip"]
