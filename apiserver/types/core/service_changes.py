"""Checks of a change to a Service: what may not change once set, and its status."""

from __future__ import annotations

from typing import Final

from apiserver.types.addresses import is_valid_ip_legacy, parse_ip_sloppy
from apiserver.types.core.service_facts import is_headless, needs_health_check, spec_of
from apiserver.types.core.service_validation import validate
from apiserver.types.formats import is_dns1123_subdomain
from apiserver.types.meta import check_string
from kube.field import FieldError, forbidden, invalid, not_supported, required
from kube.json_types import JsonObject

_FIXED: Final = "may not change once set"


def _cluster_ip_errors(new: JsonObject, old: JsonObject) -> list[FieldError]:
    if is_headless(new) and is_headless(old):
        return []
    after, before = new.get("clusterIPs") or [], old.get("clusterIPs") or []
    if len(after) == len(before):
        return [
            invalid(f"spec.clusterIPs[{index}]", after, _FIXED)
            for index, ip in enumerate(before)
            if ip != after[index]
        ]
    errors: list[FieldError] = []
    if before and not after:
        errors.append(
            invalid("spec.clusterIPs[0]", after or None, "primary clusterIP can not be unset")
        )
    if before and after and after[0] != before[0]:
        errors.append(invalid("spec.clusterIPs[0]", after, _FIXED))
    policy = new.get("ipFamilyPolicy")
    if len(after) == 1 < len(before) and policy != "SingleStack":
        text = "must be set to 'SingleStack' when releasing the secondary clusterIP"
        errors.append(invalid("spec.ipFamilyPolicy", policy, text))
    return errors


def _family_errors(new: JsonObject, old: JsonObject) -> list[FieldError]:
    if is_headless(new) or is_headless(old):
        return []
    after, before = new.get("ipFamilies") or [], old.get("ipFamilies") or []
    path = "spec.ipFamilies[0]"
    if len(after) == len(before):
        differing = (one for one, two in zip(after, before, strict=True) if one != two)
        return [invalid(path, after, _FIXED) for _ in differing]
    ips = new.get("clusterIPs") or []
    errors: list[FieldError] = []
    if len(after) < len(before) and not ips:
        errors.append(invalid(path, after or None, "primary ipFamily can not be unset"))
    if before and after and after[0] != before[0]:
        errors.append(invalid(path, ips, _FIXED))
    policy = new.get("ipFamilyPolicy")
    if len(after) == 1 < len(before) and policy != "SingleStack":
        text = "must be set to 'SingleStack' when releasing the secondary ipFamily"
        errors.append(invalid("spec.ipFamilyPolicy", policy, text))
    return errors


def validate_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check a Service that is to replace `old`."""
    after, before = spec_of(new), spec_of(old)
    errors: list[FieldError] = []
    if "ExternalName" not in {after.get("type"), before.get("type")}:
        errors += _cluster_ip_errors(after, before) + _family_errors(after, before)
    if after.get("type") == "LoadBalancer" == before.get("type"):
        balancer_class = after.get("loadBalancerClass")
        if balancer_class != before.get("loadBalancerClass"):
            errors.append(invalid("spec.loadBalancerClass", balancer_class, _FIXED))
    if needs_health_check(after) and needs_health_check(before):
        field = "healthCheckNodePort"
        if after.get(field, 0) != before.get(field, 0):
            errors.append(forbidden(f"spec.{field}", "field is immutable"))
    return errors + validate(new)


def validate_ingress_points(points: list[JsonObject], path: str) -> list[FieldError]:
    """Check where a load balancer says it can be reached."""
    errors: list[FieldError] = []
    for index, point in enumerate(points):
        where = f"{path}[{index}]"
        ip, mode = point.get("ip", ""), point.get("ipMode")
        if ip:
            errors += check_string(ip, f"{where}.ip", is_valid_ip_legacy)
            if mode is None:
                errors.append(required(f"{where}.ipMode", "must be specified when `ip` is set"))
            elif mode not in {"VIP", "Proxy"}:
                errors.append(not_supported(f"{where}.ipMode", mode, ("Proxy", "VIP")))
        elif mode is not None:
            errors.append(forbidden(f"{where}.ipMode", "may not be specified when `ip` is not set"))
        if hostname := point.get("hostname", ""):
            errors += check_string(hostname, f"{where}.hostname", is_dns1123_subdomain)
            if parse_ip_sloppy(hostname) is not None:
                text = "must be a DNS name, not an IP address"
                errors.append(invalid(f"{where}.hostname", hostname, text))
    return errors


def validate_status(new: JsonObject, _old: JsonObject) -> list[FieldError]:
    """Check the load balancer's status."""
    points = new.get("status", {}).get("loadBalancer", {}).get("ingress") or []
    path = "status.loadBalancer.ingress"
    if points and spec_of(new).get("type") != "LoadBalancer":
        return [forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")]
    return validate_ingress_points(points, path)
