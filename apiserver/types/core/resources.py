"""Names and amounts of resources as nodes, quotas and limit ranges write them."""

from __future__ import annotations

from typing import Final

from apiserver.types.formats import is_qualified_name
from apiserver.types.meta import NOT_NEGATIVE, check_string
from apiserver.types.pods.quantities import is_whole, nanos
from apiserver.types.pods.resource_names import is_counted, is_standard
from kube.field import FieldError, invalid

NOT_INTEGER: Final = "must be an integer"
_QUOTA_ONLY: Final = frozenset({"requests.storage"})
# Standard names that mean an amount of storage itself: fine for limits, not for quotas.
_NOT_QUOTA: Final = frozenset({"storage"})


def validate_quantity(name: str, quantity: str, path: str) -> list[FieldError]:
    """Check the amount of one resource: not negative, and whole where only whole ones exist."""
    errors: list[FieldError] = []
    if nanos(quantity) < 0:
        errors.append(invalid(path, quantity, NOT_NEGATIVE))
    if is_counted(name) and not is_whole(quantity):
        errors.append(invalid(path, quantity, NOT_INTEGER))
    return errors


def _is_known(name: str) -> bool:
    return is_standard(name) or name in _QUOTA_ONLY or name in _NOT_QUOTA


def validate_resource_name(name: str, path: str) -> list[FieldError]:
    """Check a resource's name: qualified, or one the API knows."""
    if errors := check_string(name, path, is_qualified_name):
        return errors
    if "/" not in name and not _is_known(name):
        text = "must be a standard resource type or fully qualified"
        return [invalid(path, name, text)]
    return []


def validate_quota_resource_name(name: str, path: str) -> list[FieldError]:
    """Check the name of what a quota limits: also counts such as `count/jobs.batch`."""
    errors = validate_resource_name(name, path)
    if "/" not in name and (name in _NOT_QUOTA or not _is_known(name)):
        errors.append(invalid(path, name, "must be a standard resource for quota"))
    return errors
