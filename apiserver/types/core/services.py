"""Service: defaults, what a change of its type drops, and its hooks.

A Service is a union told apart by `spec.type`; fields that stop applying are dropped when the user
did not try to change them. Validation is in `service_validation` and `service_changes`; what has to
be allocated is in `service_allocation`, which the verbs call *before* these hooks.
"""

from __future__ import annotations

from typing import Any, Final

from apiserver.types.core.service_changes import validate_status, validate_update
from apiserver.types.core.service_facts import (
    EXTERNAL_TYPES,
    ROUTED_TYPES,
    externally_accessible,
    needs_health_check,
    spec_of,
)
from apiserver.types.core.service_validation import validate
from apiserver.types.formats import name_is_dns_label
from apiserver.types.hooks import TypeHooks
from kube.json_types import JsonObject

CLIENT_IP_TIMEOUT_S: Final = 10_800


def _default_affinity(spec: JsonObject) -> None:
    affinity = spec.get("sessionAffinity")
    if not affinity:
        spec["sessionAffinity"] = affinity = "None"
    if affinity == "None":
        spec.pop("sessionAffinityConfig", None)
    elif affinity == "ClientIP":
        client_ip = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        if client_ip.get("timeoutSeconds") is None:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": CLIENT_IP_TIMEOUT_S}}


def default(obj: JsonObject) -> None:
    """Fill in a Service's defaults."""
    spec = obj.setdefault("spec", {})
    _default_affinity(spec)
    kind = spec.get("type")
    if not kind:
        spec["type"] = kind = "ClusterIP"
    for port in spec.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
        if port.get("targetPort") in {None, 0, ""}:
            port["targetPort"] = port.get("port", 0)
    if not spec.get("externalTrafficPolicy") and externally_accessible(spec):
        spec["externalTrafficPolicy"] = "Cluster"
    if spec.get("internalTrafficPolicy") is None and kind in ROUTED_TYPES:
        spec["internalTrafficPolicy"] = "Cluster"
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
        for ingress in obj.get("status", {}).get("loadBalancer", {}).get("ingress") or ():
            if ingress.get("ip"):
                ingress.setdefault("ipMode", "VIP")


def prepare_create(obj: JsonObject) -> None:
    """Start without a status."""
    obj["status"] = {"loadBalancer": {}}


def _same(new: JsonObject, old: JsonObject, field: str, zero: Any = None) -> bool:
    return bool((new.get(field) or zero) == (old.get(field) or zero))


def _drop_cluster_ips(new: JsonObject, old: JsonObject) -> None:
    if _same(new, old, "clusterIP") and _same(new, old, "clusterIPs"):
        new.pop("clusterIP", None)
        new.pop("clusterIPs", None)
    for field in ("ipFamilies", "ipFamilyPolicy"):
        if _same(new, old, field):
            new.pop(field, None)


def _node_ports(spec: JsonObject) -> set[int]:
    return {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}


def prepare_update(new: JsonObject, old: JsonObject) -> None:
    """Drop what stops applying when the type changes, unless the user changed that very field."""
    after, before = spec_of(new), spec_of(old)
    kind, was = after.get("type", ""), before.get("type", "")
    if was != "ExternalName" and kind == "ExternalName":
        _drop_cluster_ips(after, before)
    left_external = was in EXTERNAL_TYPES and kind not in EXTERNAL_TYPES
    if left_external and _node_ports(before) >= _node_ports(after):
        for port in after.get("ports") or ():
            port.pop("nodePort", None)
    if (
        needs_health_check(before)
        and not needs_health_check(after)
        and _same(after, before, "healthCheckNodePort", 0)
    ):
        after.pop("healthCheckNodePort", None)
    if was == "LoadBalancer" and kind != "LoadBalancer":
        for field in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if after.get(field) == before.get(field):
                after.pop(field, None)
    if left_external and _same(after, before, "externalTrafficPolicy"):
        after.pop("externalTrafficPolicy", None)
    if kind != "LoadBalancer" and new.get("status"):
        # The load balancer goes away asynchronously; users need not see that.
        new["status"] = {**new["status"], "loadBalancer": {}}


def _cluster_ip(obj: JsonObject) -> str:
    return str(spec_of(obj).get("clusterIP", ""))


def _type(obj: JsonObject) -> str:
    return str(spec_of(obj).get("type", ""))


HOOKS: Final = {
    "services": TypeHooks(
        default=default,
        prepare_create=prepare_create,
        validate_create=validate,
        prepare_update=prepare_update,
        validate_update=validate_update,
        validate_status=validate_status,
        name_check=name_is_dns_label,
        fields={"spec.clusterIP": _cluster_ip, "spec.type": _type},
        has_status=True,
        allow_create_on_update=True,
    )
}
