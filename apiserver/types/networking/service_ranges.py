"""IPAddress and ServiceCIDR: the addresses services have, and the ranges they come from."""

from __future__ import annotations

from typing import Final

from apiserver.types.addresses import is_valid_cidr, is_valid_ip, parse_cidr_sloppy
from apiserver.types.formats import is_dns1123_subdomain, is_path_segment_name
from apiserver.types.hooks import TypeHooks
from apiserver.types.meta import FIELD_IMMUTABLE, check_string, validate_immutable
from kube.field import FieldError, invalid, required
from kube.json_types import JsonObject


def _address_name(name: str, _prefix: object) -> list[str]:
    return is_valid_ip(name)


def validate_address(obj: JsonObject) -> list[FieldError]:
    """Check an IPAddress: it must say whose it is."""
    parent = obj.get("spec", {}).get("parentRef")
    path = "spec.parentRef"
    if parent is None:
        return [required(path)]
    errors: list[FieldError] = []
    if group := parent.get("group"):
        errors += check_string(group, f"{path}.group", is_dns1123_subdomain)
    for key in ("resource", "name", "namespace"):
        if value := parent.get(key):
            errors += check_string(value, f"{path}.{key}", is_path_segment_name)
        elif key != "namespace":
            errors.append(required(f"{path}.{key}"))
    return errors


def validate_address_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check an IPAddress that is to replace `old`: its owner stays."""
    after, before = new.get("spec", {}), old.get("spec", {})
    return validate_immutable(after.get("parentRef"), before.get("parentRef"), "spec.parentRef")


def _range_errors(spec: JsonObject) -> list[FieldError]:
    ranges = spec.get("cidrs") or []
    path = "spec.cidrs"
    if not ranges:
        return [required(path, "at least one CIDR required")]
    if len(ranges) > 2:
        return [invalid(path, {"CIDRs": ranges}, "may only hold up to 2 values")]
    errors: list[FieldError] = []
    for index, text in enumerate(ranges):
        errors += check_string(text, f"{path}[{index}]", is_valid_cidr)
    parsed = [found[1].version for text in ranges if (found := parse_cidr_sloppy(text))]
    if len(parsed) == 2 and parsed[0] == parsed[1]:
        text = (
            "may specify no more than one IP for each IP family, "
            "i.e 192.168.0.0/24 and 2001:db8::/64"
        )
        errors.append(invalid(path, ranges, text))
    return errors


def validate_range(obj: JsonObject) -> list[FieldError]:
    """Check a ServiceCIDR."""
    return _range_errors(obj.get("spec", {}))


def validate_range_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check a ServiceCIDR that is to replace `old`: only a second family may be added."""
    after = new.get("spec", {}).get("cidrs") or []
    before = old.get("spec", {}).get("cidrs") or []
    if len(after) == len(before):
        return [
            invalid(f"spec.cidrs[{index}]", after[index], FIELD_IMMUTABLE)
            for index, text in enumerate(before)
            if text != after[index]
        ]
    if len(before) == 1 and len(after) == 2:
        errors = validate_immutable(after[0], before[0], "spec.cidrs[0]")
        return errors + _range_errors(new.get("spec", {}))
    return [invalid("spec.cidrs", after or None, FIELD_IMMUTABLE)]


HOOKS: Final = {
    "networking.k8s.io/ipaddresses": TypeHooks(
        validate_create=validate_address,
        validate_update=validate_address_update,
        name_check=_address_name,
    ),
    "networking.k8s.io/servicecidrs": TypeHooks(
        validate_create=validate_range,
        validate_update=validate_range_update,
        has_status=True,
    ),
}
