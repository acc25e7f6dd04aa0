"""Checks of requests and limits, of containers and of pods as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import Final, TypeAlias

from apiserver.types.formats import is_dns1123_label, is_qualified_name
from apiserver.types.meta import NOT_NEGATIVE
from apiserver.types.pods.quantities import is_whole, nanos
from apiserver.types.pods.resource_names import (
    POD_LEVEL,
    allows_overcommit,
    is_counted,
    is_extended,
    is_huge_page,
    is_native,
    is_pod_level,
    is_standard,
    is_standard_for_containers,
)
from apiserver.types.pods.totals import aggregate
from kube.field import (
    NOT_FOUND,
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
)
from kube.json_types import JsonObject

NameRule: TypeAlias = Callable[[str, str, list[FieldError]], None]

_PLAIN: Final = frozenset({"cpu", "memory"})


def check_container_resources(
    resources: JsonObject, claims: Set[str], path: str, errors: list[FieldError]
) -> None:
    """Check a container's resources; `claims` are the pod's resource claims by name."""
    _check_amounts(resources, _check_container_name, path, errors)
    if named := resources.get("claims"):
        _check_claims(named, claims, f"{path}.claims", errors)


def check_overhead(overhead: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check a pod's overhead, which is written as limits are."""
    _check_amounts({"limits": overhead}, _check_container_name, path, errors)


def check_pod_resources(spec: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check `spec.resources`, the amounts of the pod as a whole, against the containers'."""
    resources = spec.get("resources")
    if resources is None:
        return
    where = f"{path}.resources"
    if "claims" in resources:
        text = "claims cannot be set for Resources at pod-level"
        errors.append(forbidden(f"{where}.claims", text))
    _check_amounts(resources, _check_pod_level_name, where, errors)
    requests = resources.get("requests", {})
    for name, total in aggregate(spec, "requests").items():
        own = requests.get(name, "0")
        if nanos(total) > nanos(own):
            text = f"must be greater than or equal to aggregate container requests of {total}"
            errors.append(invalid(f"{where}.requests[{name}]", own, text))
    limits = resources.get("limits", {})
    for index, container in enumerate(spec.get("containers", ())):
        for name, limit in container.get("resources", {}).get("limits", {}).items():
            if name in limits and nanos(limit) > nanos(limits[name]):
                text = f"must be less than or equal to pod limits of {limits[name]}"
                errors.append(invalid(f"{where}.containers[{index}][{name}].limits", limit, text))


def check_amount(name: str, amount: str, path: str, errors: list[FieldError]) -> None:
    """Check one amount: not negative, and whole where only whole ones exist."""
    if nanos(amount) < 0:
        errors.append(invalid(path, amount, NOT_NEGATIVE))
    if name not in _PLAIN and is_counted(name) and not is_whole(amount):
        errors.append(invalid(path, amount, "must be an integer"))


def _check_amounts(
    resources: JsonObject, name_rule: NameRule, path: str, errors: list[FieldError]
) -> None:
    limits = resources.get("limits", {})
    requests = resources.get("requests", {})
    plain = huge = False
    for name, amount in limits.items():
        if name in _PLAIN and nanos(amount) >= 0:
            plain = True
        else:
            _check_one(name, amount, f"{path}.limits[{name}]", name_rule, errors)
            huge = huge or is_huge_page(name)
    for name, amount in requests.items():
        limit = limits.get(name)
        if name in _PLAIN and nanos(amount) >= 0:
            plain = True
            if limit is not None and nanos(amount) > nanos(limit):
                _report_above(name, amount, limit, path, errors)
        else:
            _check_one(name, amount, f"{path}.requests[{name}]", name_rule, errors)
            _check_against_limit(name, amount, limit, path, errors)
            huge = huge or is_huge_page(name)
    if huge and not plain:
        errors.append(forbidden(path, "HugePages require cpu or memory"))


def _check_one(
    name: str, amount: str, path: str, name_rule: NameRule, errors: list[FieldError]
) -> None:
    """Check a resource's name and amount."""
    if name not in _PLAIN:
        name_rule(name, path, errors)
    check_amount(name, amount, path, errors)
    if is_huge_page(name) and not _is_multiple_of_page(name, amount):
        text = f"{amount} is not positive integer multiple of {name}"
        errors.append(invalid(path, amount, text))


def _report_above(name: str, amount: str, limit: str, path: str, errors: list[FieldError]) -> None:
    text = f"must be less than or equal to {name} limit of {limit}"
    errors.append(invalid(f"{path}.requests", amount, text))


def _check_against_limit(
    name: str, amount: str, limit: str | None, path: str, errors: list[FieldError]
) -> None:
    if limit is None:
        if not allows_overcommit(name):
            text = "Limit must be set for non overcommitable resources"
            errors.append(required(f"{path}.limits", text))
    elif amount != limit:
        above = nanos(amount) - nanos(limit)
        if above and not allows_overcommit(name):
            text = f"must be equal to {name} limit of {limit}"
            errors.append(invalid(f"{path}.requests", amount, text))
        elif above > 0:
            _report_above(name, amount, limit, path, errors)


def _is_multiple_of_page(name: str, amount: str) -> bool:
    try:
        page = nanos(name.removeprefix("hugepages-"))
    except ValueError:
        return False
    return page > 0 and nanos(amount) % page == 0


def _check_name(name: str, path: str, errors: list[FieldError]) -> bool:
    """Check what all resource names obey; return whether the name is well formed."""
    if faults := is_qualified_name(name):
        errors.extend(invalid(path, name, fault) for fault in faults)
        return False
    if "/" not in name and not is_standard(name):
        text = "must be a standard resource type or fully qualified"
        errors.append(invalid(path, name, text))
        return False
    return True


def _check_container_name(name: str, path: str, errors: list[FieldError]) -> None:
    _check_name(name, path, errors)
    if name.count("/") == 0:
        if not is_standard_for_containers(name):
            errors.append(invalid(path, name, "must be a standard resource for containers"))
    elif not is_native(name) and not is_extended(name):
        errors.append(invalid(path, name, "doesn't follow extended resource name standard"))


def _check_pod_level_name(name: str, path: str, errors: list[FieldError]) -> None:
    if _check_name(name, path, errors) and not is_pod_level(name):
        errors.append(not_supported(path, name, POD_LEVEL))


def _check_claims(
    named: Sequence[JsonObject], claims: Set[str], path: str, errors: list[FieldError]
) -> None:
    seen: set[str] = set()
    for index, claim in enumerate(named):
        where = f"{path}[{index}]"
        name = claim.get("name", "")
        if not name:
            errors.append(required(where))
            continue
        if name in seen:
            errors.append(duplicate(where, name))
        else:
            seen.add(_check_claim_request(claim, name, seen, where, errors))
        if name not in claims:
            text = "must be one of the names in pod.spec.resourceClaims"
            known = f": {', '.join(sorted(claims))}" if claims else " which is empty"
            errors.append(FieldError(NOT_FOUND, where, text + known, name))


def _check_claim_request(
    claim: JsonObject, name: str, seen: Set[str], path: str, errors: list[FieldError]
) -> str:
    """Check one entry's request; return the key that later entries must not repeat."""
    request = claim.get("request", "")
    key = name
    if request:
        faults = is_dns1123_label(request)
        errors.extend(invalid(f"{path}.request", request, fault) for fault in faults)
        key = f"{name}/{request}"
    if key in seen:
        errors.append(duplicate(path, key))
    elif not request:
        taken = [one for one in seen if one.startswith(f"{name}/")]
        errors.extend(duplicate(path, name) for _ in taken)
    return key
