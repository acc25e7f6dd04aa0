"""The core group's other types: nodes, namespaces, events, configuration, quota."""

from __future__ import annotations

from typing import Any, Final

from kube import durations
from kube.json_types import JsonObject
from kube.table import text
from kube.table.layout import AGE, NAME, Column, Layout, shows, worded
from kube.table.text import NONE, age_of, name_of

_ROLE_PREFIX: Final = "node-role.kubernetes.io/"
_ROLE_LABEL: Final = "kubernetes.io/role"
_UNKNOWN: Final = "<unknown>"


def _node(obj: JsonObject, now_s: float) -> list[Any]:
    status = obj.get("status", {})
    system = status.get("nodeInfo", {})
    addresses = status.get("addresses", ())
    return [
        name_of(obj),
        _node_status(obj),
        _node_roles(obj["metadata"].get("labels", {})),
        age_of(obj, now_s),
        system.get("kubeletVersion", ""),
        _address(addresses, "InternalIP"),
        _address(addresses, "ExternalIP"),
        system.get("osImage") or _UNKNOWN,
        system.get("kernelVersion") or _UNKNOWN,
        system.get("containerRuntimeVersion") or _UNKNOWN,
    ]


def _node_status(node: JsonObject) -> str:
    ready = text.condition_status(node.get("status", {}).get("conditions", ()), "Ready")
    shown = {None: "Unknown", "True": "Ready"}.get(ready, "NotReady")
    is_closed = node.get("spec", {}).get("unschedulable", False)
    return f"{shown},SchedulingDisabled" if is_closed else shown


def _node_roles(labels: dict[str, str]) -> str:
    roles = {key[len(_ROLE_PREFIX) :] for key in labels if key.startswith(_ROLE_PREFIX)}
    roles.add(labels.get(_ROLE_LABEL, ""))
    return ",".join(sorted(roles - {""})) or NONE


def _address(addresses: list[JsonObject], kind: str) -> str:
    found = (item.get("address", "") for item in addresses if item.get("type") == kind)
    return next(found, NONE)


def _namespace(obj: JsonObject, now_s: float) -> list[Any]:
    return [name_of(obj), obj.get("status", {}).get("phase", ""), age_of(obj, now_s)]


def _event(obj: JsonObject, now_s: float) -> list[Any]:
    """Return an event's cells, from its core/v1 or its events.k8s.io/v1 form."""
    about = obj.get("involvedObject") or obj.get("regarding", {})
    first_at = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp")
    first = durations.age(first_at or obj.get("eventTime"), now_s)
    last_at = obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp")
    last = durations.age(last_at, now_s) if last_at else first
    count = obj.get("count") or obj.get("deprecatedCount") or 1
    if (series := obj.get("series")) is not None:
        last = durations.age(series.get("lastObservedTime"), now_s)
        count = series.get("count", 0)
    kind, name = about.get("kind", "").lower(), about.get("name")
    return [
        last,
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{kind}/{name}" if name else kind,
        about.get("fieldPath", ""),
        _event_source(obj),
        (obj.get("message") or obj.get("note", "")).strip(),
        first,
        count,
        name_of(obj),
    ]


def _event_source(event: JsonObject) -> str:
    source = event.get("source") or event.get("deprecatedSource", {})
    controller = event.get("reportingComponent") or event.get("reportingController", "")
    component = source.get("component") or controller
    instance = source.get("host") or event.get("reportingInstance")
    return f"{component}, {instance}" if instance else component


def _secret(obj: JsonObject, now_s: float) -> list[Any]:
    return [name_of(obj), obj.get("type", ""), len(obj.get("data", ())), age_of(obj, now_s)]


def _config_map(obj: JsonObject, now_s: float) -> list[Any]:
    count = len(obj.get("data", ())) + len(obj.get("binaryData", ()))
    return [name_of(obj), count, age_of(obj, now_s)]


def _service_account(obj: JsonObject, now_s: float) -> list[Any]:
    return [name_of(obj), len(obj.get("secrets", ())), age_of(obj, now_s)]


def _resource_quota(obj: JsonObject, now_s: float) -> list[Any]:
    status = obj.get("status", {})
    hard, used = status.get("hard", {}), status.get("used", {})
    requests: list[str] = []
    limits: list[str] = []
    for resource in sorted(hard):
        shown = f"{resource}: {used.get(resource, '0')}/{hard[resource]}"
        (limits if resource.startswith("limits.") else requests).append(shown)
    return [name_of(obj), ", ".join(requests), ", ".join(limits), age_of(obj, now_s)]


def _component_status(obj: JsonObject, _now_s: float) -> list[Any]:
    for condition in obj.get("conditions", ()):
        if condition.get("type") == "Healthy":
            shown = "Healthy" if condition.get("status") == "True" else "Unhealthy"
            return [name_of(obj), shown, condition.get("message", ""), condition.get("error", "")]
    return [name_of(obj), "Unknown", "", ""]


LAYOUTS: Final = {
    "nodes": Layout(
        columns=(
            NAME,
            worded("Status", "Whether the node is ready and takes new pods."),
            worded("Roles", "What the node's labels say it is for."),
            AGE,
            shows("Version", "core.v1.NodeSystemInfo.kubeletVersion"),
            shows("Internal-IP", "core.v1.NodeStatus.addresses", wide=True),
            shows("External-IP", "core.v1.NodeStatus.addresses", wide=True),
            shows("OS-Image", "core.v1.NodeSystemInfo.osImage", wide=True),
            shows("Kernel-Version", "core.v1.NodeSystemInfo.kernelVersion", wide=True),
            shows("Container-Runtime", "core.v1.NodeSystemInfo.containerRuntimeVersion", wide=True),
        ),
        cells=_node,
    ),
    "namespaces": Layout((NAME, worded("Status", "The namespace's phase."), AGE), _namespace),
    "events": Layout(
        columns=(
            shows("Last Seen", "core.v1.Event.lastTimestamp"),
            shows("Type", "core.v1.Event.type"),
            shows("Reason", "core.v1.Event.reason"),
            shows("Object", "core.v1.Event.involvedObject"),
            shows("Subobject", "core.v1.ObjectReference.fieldPath", wide=True),
            shows("Source", "core.v1.Event.source", wide=True),
            shows("Message", "core.v1.Event.message"),
            shows("First Seen", "core.v1.Event.firstTimestamp", wide=True),
            shows("Count", "core.v1.Event.count", wide=True),
            Column("Name", format="name", priority=1, field=NAME.field),
        ),
        cells=_event,
    ),
    "secrets": Layout(
        (NAME, shows("Type", "core.v1.Secret.type"), shows("Data", "core.v1.Secret.data"), AGE),
        _secret,
    ),
    "configmaps": Layout((NAME, shows("Data", "core.v1.ConfigMap.data"), AGE), _config_map),
    "serviceaccounts": Layout(
        (NAME, shows("Secrets", "core.v1.ServiceAccount.secrets"), AGE), _service_account
    ),
    "resourcequotas": Layout(
        columns=(
            NAME,
            worded("Request", "What is used of each quota that is not a limit's."),
            worded("Limit", "What is used of each quota on limits."),
            AGE,
        ),
        cells=_resource_quota,
    ),
    "componentstatuses": Layout(
        columns=(
            NAME,
            worded("Status", "Whether the component is healthy."),
            worded("Message", "What the component's check said."),
            worded("Error", "Why the component could not be checked."),
        ),
        cells=_component_status,
    ),
}
