"""Checks of a whole Service; those of a change are in `service_changes`."""

from __future__ import annotations

from typing import Final

from apiserver.types.addresses import ip_family, is_valid_cidr_legacy, is_valid_ip_legacy
from apiserver.types.core.service_facts import (
    HEADLESS,
    ROUTED_TYPES,
    externally_accessible,
    is_headless,
    needs_health_check,
    spec_of,
    special_ip_errors,
)
from apiserver.types.formats import (
    is_dns1123_label,
    is_dns1123_subdomain,
    is_qualified_name,
    is_valid_port_name,
    is_valid_port_num,
)
from apiserver.types.meta import check_string, validate_labels
from kube.field import FieldError, duplicate, forbidden, invalid, not_supported, required
from kube.json_types import JsonObject

TYPES: Final = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
FAMILIES: Final = ("IPv4", "IPv6")
FAMILY_POLICIES: Final = ("PreferDualStack", "RequireDualStack", "SingleStack")
TRAFFIC_POLICIES: Final = ("Cluster", "Local")
DISTRIBUTIONS: Final = ("PreferClose", "PreferSameNode", "PreferSameZone")
CLIENT_IP_TIMEOUT_S_MAX: Final = 86_400
_ONLY_LOAD_BALANCER: Final = "may only be used when `type` is 'LoadBalancer'"
_NOT_EXTERNAL_NAME: Final = "may not be set for ExternalName services"
_RANGES_KEY: Final = "service.beta.kubernetes.io/load-balancer-source-ranges"
_TOPOLOGY_MODE: Final = "service.kubernetes.io/topology-mode"
_TOPOLOGY_HINTS: Final = "service.kubernetes.io/topology-aware-hints"


def port_number_or_name_errors(value: object, path: str) -> list[FieldError]:
    """Check a port given by number or by name."""
    if isinstance(value, str):
        return check_string(value, path, is_valid_port_name)
    number = value if isinstance(value, int) else 0
    return [invalid(path, number, fault) for fault in is_valid_port_num(number)]


def _port_errors(port: JsonObject, path: str, names: set[str], *, named: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    name = port.get("name", "")
    if name:
        errors += check_string(name, f"{path}.name", is_dns1123_label)
        if name in names:
            errors.append(duplicate(f"{path}.name", name))
        names.add(name)
    elif named:
        errors.append(required(f"{path}.name"))
    number = port.get("port", 0)
    errors.extend(invalid(f"{path}.port", number, m) for m in is_valid_port_num(number))
    protocol = port.get("protocol", "")
    if not protocol:
        errors.append(required(f"{path}.protocol"))
    elif protocol not in PROTOCOLS:
        errors.append(not_supported(f"{path}.protocol", protocol, PROTOCOLS))
    errors += port_number_or_name_errors(port.get("targetPort", 0), f"{path}.targetPort")
    if (app_protocol := port.get("appProtocol")) is not None:
        errors += check_string(app_protocol, f"{path}.appProtocol", is_qualified_name)
    return errors


def _ports_errors(spec: JsonObject) -> list[FieldError]:
    ports = spec.get("ports") or []
    kind = spec.get("type")
    errors: list[FieldError] = []
    names: set[str] = set()
    for index, port in enumerate(ports):
        errors += _port_errors(port, f"spec.ports[{index}]", names, named=len(ports) > 1)
    node_ports: set[tuple[str, int]] = set()
    numbers: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        protocol = port.get("protocol", "")
        if node_port := port.get("nodePort"):
            if kind == "ClusterIP":
                text = "may not be used when `type` is 'ClusterIP'"
                errors.append(forbidden(f"{path}.nodePort", text))
            if (protocol, node_port) in node_ports:
                errors.append(duplicate(f"{path}.nodePort", node_port))
            node_ports.add((protocol, node_port))
        key = (protocol, port.get("port", 0))
        if key in numbers:
            errors.append(duplicate(path, _internal_port(*key)))
        numbers.add(key)
    return errors


def _internal_port(protocol: str, number: int) -> JsonObject:
    # Upstream prints its internal struct, whose fields have Go's names.
    return {
        "Name": "",
        "Protocol": protocol,
        "AppProtocol": None,
        "Port": number,
        "TargetPort": 0,
        "NodePort": 0,
    }


def _external_name_errors(spec: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    if spec.get("clusterIPs"):
        errors.append(forbidden("spec.clusterIPs", _NOT_EXTERNAL_NAME))
    if spec.get("ipFamilies"):
        errors.append(forbidden("spec.ipFamilies", _NOT_EXTERNAL_NAME))
    if spec.get("ipFamilyPolicy") is not None:
        errors.append(forbidden("spec.ipFamilyPolicy", _NOT_EXTERNAL_NAME))
    name = spec.get("externalName", "").removesuffix(".")
    if not name:
        return [*errors, required("spec.externalName")]
    return errors + check_string(name, "spec.externalName", is_dns1123_subdomain)


def _type_errors(spec: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    kind = spec.get("type", "")
    headless = is_headless(spec)
    if not spec.get("ports") and not headless and kind != "ExternalName":
        errors.append(required("spec.ports"))
    if kind == "ExternalName":
        errors += _external_name_errors(spec)
    elif headless and kind in {"LoadBalancer", "NodePort"}:
        text = f"may not be set to 'None' for {kind} services"
        errors.append(invalid("spec.clusterIPs[0]", HEADLESS, text))
    return errors


def _affinity_errors(spec: JsonObject) -> list[FieldError]:
    affinity = spec.get("sessionAffinity", "")
    config = spec.get("sessionAffinityConfig")
    path = "spec.sessionAffinityConfig"
    if not affinity:
        return [required("spec.sessionAffinity")]
    if affinity == "None":
        if config is None:
            return []
        return [forbidden(path, "must not be set when session affinity is None")]
    if affinity != "ClientIP":
        return [not_supported("spec.sessionAffinity", affinity, ("ClientIP", "None"))]
    if config is None:
        return [required(path, "when session affinity type is ClientIP")]
    client_ip = config.get("clientIP")
    if client_ip is None:
        return [required(f"{path}.clientIP", "when session affinity type is ClientIP")]
    timeout_s = client_ip.get("timeoutSeconds")
    where = f"{path}.clientIP.timeoutSeconds"
    if timeout_s is None:
        return [required(where, "when session affinity type is ClientIP")]
    if not 0 < timeout_s <= CLIENT_IP_TIMEOUT_S_MAX:
        text = f"must be greater than 0 and less than {CLIENT_IP_TIMEOUT_S_MAX}"
        return [invalid(where, timeout_s, text)]
    return []


def _single_ip_errors(ips: list[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, ip in enumerate(ips):
        if index == 0 and ip == HEADLESS:
            if len(ips) > 1:
                text = "'None' must be the first and only value"
                errors.append(invalid("spec.clusterIPs", ips, text))
            continue
        errors += check_string(ip, f"spec.clusterIPs[{index}]", is_valid_ip_legacy)
    return errors


def _stack_errors(spec: JsonObject, ips: list[str], families: list[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    if len(ips) > 1 and len({ip_family(ip) for ip in ips}) != 2:
        text = "may specify no more than one IP for each IP family"
        errors.append(invalid("spec.clusterIPs", ips, text))
    if is_headless(spec):
        return errors
    for index, (ip, family) in enumerate(zip(ips, families, strict=False)):
        if family in FAMILIES and ip_family(ip) != family:
            text = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            errors.append(invalid(f"spec.clusterIPs[{index}]", ip, text))
    return errors


def _family_errors(families: list[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, family in enumerate(families):
        path = f"spec.ipFamilies[{index}]"
        if family not in FAMILIES:
            errors.append(not_supported(path, family, FAMILIES))
        if family in families[:index]:
            errors.append(duplicate(path, family))
    return errors


def validate_cluster_ips(spec: JsonObject) -> list[FieldError]:
    """Check clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy against each other."""
    if spec.get("type") == "ExternalName":
        return []
    errors: list[FieldError] = []
    first, ips = spec.get("clusterIP", ""), spec.get("clusterIPs") or []
    if first:
        if not ips:
            errors.append(required("spec.clusterIPs"))
        elif ips[0] != first:
            errors.append(invalid("spec.clusterIPs", ips, "first value must match `clusterIP`"))
    elif ips:
        text = "must be empty when `clusterIP` is not specified"
        errors.append(invalid("spec.clusterIPs", ips, text))
    families = spec.get("ipFamilies") or []
    errors += _family_errors(families)
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in FAMILY_POLICIES:
        errors.append(not_supported("spec.ipFamilyPolicy", policy, FAMILY_POLICIES))
    bad_ips = _single_ip_errors(ips)
    errors += bad_ips
    if len(ips) > 2:
        errors.append(invalid("spec.clusterIPs", ips, "may only hold up to 2 values"))
    # Wrong addresses would only skew what follows.
    return errors if bad_ips else errors + _stack_errors(spec, ips, families)


def _source_range_errors(obj: JsonObject, spec: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    if ranges := spec.get("loadBalancerSourceRanges"):
        path = "spec.LoadBalancerSourceRanges"
        named = [(f"{path}[{index}]", text) for index, text in enumerate(ranges)]
    else:
        annotations = obj.get("metadata", {}).get("annotations") or {}
        if _RANGES_KEY not in annotations:
            return errors
        path = f"metadata.annotations[{_RANGES_KEY}]"
        joined = annotations[_RANGES_KEY].strip()
        named = [(path, text) for text in joined.split(",")] if joined else []
    if spec.get("type") != "LoadBalancer":
        errors.append(forbidden(path, _ONLY_LOAD_BALANCER))
    for where, text in named:
        errors += check_string(text.strip(), where, is_valid_cidr_legacy)
    return errors


def _load_balancer_errors(spec: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    allocate = spec.get("allocateLoadBalancerNodePorts")
    balancer_class = spec.get("loadBalancerClass")
    if spec.get("type") != "LoadBalancer":
        if allocate is not None:
            errors.append(forbidden("spec.allocateLoadBalancerNodePorts", _ONLY_LOAD_BALANCER))
        if balancer_class is not None:
            errors.append(forbidden("spec.loadBalancerClass", _ONLY_LOAD_BALANCER))
        return errors
    if allocate is None:
        errors.append(required("allocateLoadBalancerNodePorts"))
    if balancer_class is not None:
        errors += check_string(balancer_class, "spec.loadBalancerClass", is_qualified_name)
    return errors


def _external_policy_errors(spec: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    policy = spec.get("externalTrafficPolicy", "")
    path = "spec.externalTrafficPolicy"
    if not externally_accessible(spec):
        if policy:
            text = "may only be set for externally-accessible services"
            errors.append(invalid(path, policy, text))
    elif not policy:
        errors.append(required(path))
    elif policy not in TRAFFIC_POLICIES:
        errors.append(not_supported(path, policy, TRAFFIC_POLICIES))
    port = spec.get("healthCheckNodePort", 0)
    path = "spec.healthCheckNodePort"
    if not needs_health_check(spec):
        if port:
            text = (
                "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is "
                "'Local'"
            )
            errors.append(invalid(path, port, text))
    elif not port:
        errors.append(required(path))
    else:
        errors.extend(invalid(path, port, fault) for fault in is_valid_port_num(port))
    return errors


def _traffic_errors(spec: JsonObject) -> list[FieldError]:
    errors = _external_policy_errors(spec)
    internal = spec.get("internalTrafficPolicy")
    if internal is None:
        if spec.get("type") in ROUTED_TYPES:
            errors.append(required("spec.internalTrafficPolicy"))
    elif internal not in TRAFFIC_POLICIES:
        errors.append(not_supported("spec.internalTrafficPolicy", internal, TRAFFIC_POLICIES))
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in DISTRIBUTIONS:
        errors.append(not_supported("spec.trafficDistribution", distribution, DISTRIBUTIONS))
    return errors


def _topology_errors(obj: JsonObject) -> list[FieldError]:
    annotations = obj.get("metadata", {}).get("annotations") or {}
    mode, hints = annotations.get(_TOPOLOGY_MODE), annotations.get(_TOPOLOGY_HINTS)
    if mode is None or hints is None or mode == hints:
        return []
    text = f"must match annotations[{_TOPOLOGY_HINTS}] when both are specified"
    return [invalid(f"metadata.annotations[{_TOPOLOGY_MODE}]", mode, text)]


def validate(obj: JsonObject) -> list[FieldError]:
    """Check a Service whose addresses and ports are already allocated."""
    spec = spec_of(obj)
    errors = _topology_errors(obj) + _type_errors(spec) + _ports_errors(spec)
    if selector := spec.get("selector"):
        errors += validate_labels(selector, "spec.selector")
    errors += _affinity_errors(spec) + validate_cluster_ips(spec)
    for index, ip in enumerate(spec.get("externalIPs") or ()):
        path = f"spec.externalIPs[{index}]"
        errors += check_string(ip, path, is_valid_ip_legacy) or special_ip_errors(ip, path)
    kind = spec.get("type", "")
    if not kind:
        errors.append(required("spec.type"))
    elif kind not in TYPES:
        errors.append(not_supported("spec.type", kind, TYPES))
    errors += _source_range_errors(obj, spec)
    return errors + _load_balancer_errors(spec) + _traffic_errors(spec)
