"""Which IP families a Service gets, given what it asks for and what the cluster has.

A service never changes between one family and two without being told so by `ipFamilyPolicy`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from apiserver.types.addresses import ip_family
from apiserver.types.core.service_facts import HEADLESS
from apiserver.types.core.service_validation import validate_cluster_ips
from kube.field import FieldError, invalid
from kube.json_types import JsonObject

_POLICY: Final = "spec.ipFamilyPolicy"
_OTHER: Final = {"IPv4": "IPv6", "IPv6": "IPv4"}


def _is_headless_without_selector(spec: JsonObject) -> bool:
    return spec.get("clusterIP") == HEADLESS and not spec.get("selector")


def _settle_policy(spec: JsonObject, old: JsonObject | None) -> None:
    if spec.get("ipFamilyPolicy") is not None:
        return
    if old is not None and old.get("ipFamilyPolicy") is not None:
        spec["ipFamilyPolicy"] = old["ipFamilyPolicy"]
    elif _is_headless_without_selector(spec):
        spec["ipFamilyPolicy"] = "RequireDualStack"
    else:
        spec["ipFamilyPolicy"] = "SingleStack"


def _reduced(new: JsonObject, old: JsonObject, field: str) -> bool:
    return 0 < len(new.get(field) or []) < len(old.get(field) or [])


def _settle_reduction(spec: JsonObject, old: JsonObject) -> list[FieldError]:
    """Release the second family when the policy says so; refuse to when it does not."""
    policy = spec["ipFamilyPolicy"]
    if policy == "SingleStack":
        for field in ("clusterIPs", "ipFamilies"):
            if spec.get(field) and spec[field] == old.get(field):
                spec[field] = spec[field][:1]
        return []
    errors: list[FieldError] = []
    for field, what in (("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")):
        if _reduced(spec, old, field):
            text = f"must be 'SingleStack' to release the secondary {what}"
            errors.append(invalid(_POLICY, policy, text))
    return errors


def _policy_errors(spec: JsonObject) -> list[FieldError]:
    if spec["ipFamilyPolicy"] != "SingleStack":
        return []
    text = "must be 'RequireDualStack' or 'PreferDualStack' when multiple {} are specified"
    return [
        invalid(_POLICY, "SingleStack", text.format(what))
        for field, what in (("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families"))
        if len(spec.get(field) or []) == 2
    ]


def _infer(spec: JsonObject, families: Sequence[str]) -> list[FieldError]:
    """Add the families that the given addresses imply."""
    errors: list[FieldError] = []
    ips = spec.get("clusterIPs") or []
    named: list[str] = list(spec.get("ipFamilies") or [])
    for index, ip in enumerate(ips):
        if ip == HEADLESS:
            break
        if index < len(named):
            continue
        family = ip_family(ip)
        if family in families:
            named.append(family)
        else:
            text = f"{family} is not configured on this cluster"
            errors.append(invalid(f"spec.clusterIPs[{index}]", ips, text))
    if named:
        spec["ipFamilies"] = named
    return errors


def _cluster_errors(spec: JsonObject, families: Sequence[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    if spec["ipFamilyPolicy"] == "RequireDualStack" and len(families) < 2:
        text = "this cluster is not configured for dual-stack services"
        errors.append(invalid(_POLICY, "RequireDualStack", text))
    for index, family in enumerate(spec.get("ipFamilies") or []):
        if family not in families:
            text = "not configured on this cluster"
            errors.append(invalid(f"spec.ipFamilies[{index}]", family, text))
    return errors


def settle_families(
    spec: JsonObject, old: JsonObject | None, families: Sequence[str]
) -> list[FieldError]:
    """Fill in ipFamilyPolicy and ipFamilies in place.

    Args:
        spec: the new spec, changed in place.
        old: the stored spec, None at a create.
        families: the cluster's families, the default one first.

    Returns:
        What makes that impossible; the spec is then half settled and must be dropped.
    """
    if spec.get("type") == "ExternalName":
        return []
    _settle_policy(spec, old)
    if errors := validate_cluster_ips(spec):
        return errors
    errors = _settle_reduction(spec, old) if old is not None else []
    errors += _policy_errors(spec) + _infer(spec, families)
    if errors:
        return errors
    # Without a selector nothing is allocated, so any family may be listed.
    free = _is_headless_without_selector(spec)
    if not free and (errors := _cluster_errors(spec, families)):
        return errors
    chosen: list[str] = spec.get("ipFamilies") or [families[0]]
    dual = spec["ipFamilyPolicy"] != "SingleStack" and (free or len(families) == 2)
    if dual and len(chosen) == 1:
        chosen = [chosen[0], _OTHER[chosen[0]]]
    spec["ipFamilies"] = chosen
    return []
