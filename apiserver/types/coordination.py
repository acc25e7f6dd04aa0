"""Lease and LeaseCandidate: heartbeats and leader election."""

from __future__ import annotations

import re
from typing import Final

from apiserver.types.formats import is_qualified_name
from apiserver.types.hooks import TypeHooks
from apiserver.types.meta import NOT_NEGATIVE, check_string
from kube.field import FieldError, forbidden, invalid, required
from kube.json_types import JsonObject

_SEMANTIC = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-.]+)?(\+[0-9A-Za-z-.]+)?"
).fullmatch
STRATEGY: Final = "OldestEmulationVersion"


def _strategy_errors(strategy: str) -> list[FieldError]:
    if "/" not in strategy and strategy != STRATEGY:
        text = f'must be one of "{STRATEGY}" or a domain-prefixed path'
        return [invalid("spec.strategy", strategy, text)]
    return check_string(strategy, "spec.strategy", is_qualified_name)


def validate(obj: JsonObject) -> list[FieldError]:
    """Check a Lease."""
    spec = obj.get("spec", {})
    errors: list[FieldError] = []
    duration_s = spec.get("leaseDurationSeconds")
    if duration_s is not None and duration_s <= 0:
        errors.append(invalid("spec.leaseDurationSeconds", duration_s, "must be greater than 0"))
    transitions = spec.get("leaseTransitions")
    if transitions is not None and transitions < 0:
        errors.append(invalid("spec.leaseTransitions", transitions, NOT_NEGATIVE))
    strategy, preferred = spec.get("strategy"), spec.get("preferredHolder")
    if strategy is not None:
        errors += _strategy_errors(strategy)
    elif preferred:
        text = "must not be set when `strategy` is not set"
        errors.append(forbidden("spec.preferredHolder", text))
    return errors


def validate_update(new: JsonObject, _old: JsonObject) -> list[FieldError]:
    """Check a Lease that replaces another."""
    return validate(new)


def validate_candidate(obj: JsonObject) -> list[FieldError]:
    """Check a LeaseCandidate."""
    spec = obj.get("spec", {})
    errors = [
        required(f"spec.{key}")
        for key in ("leaseName", "binaryVersion", "strategy")
        if not spec.get(key)
    ]
    for key in ("binaryVersion", "emulationVersion"):
        version = spec.get(key)
        if version and not _SEMANTIC(version):
            errors.append(invalid(f"spec.{key}", version, "must be a valid semantic version"))
    if strategy := spec.get("strategy"):
        errors += _strategy_errors(strategy)
    return errors


HOOKS: Final = {
    "coordination.k8s.io/leases": TypeHooks(
        validate_create=validate,
        validate_update=validate_update,
        allow_create_on_update=True,
        allow_unconditional_update=False,
    ),
    "coordination.k8s.io/leasecandidates": TypeHooks(
        validate_create=validate_candidate,
        validate_update=lambda new, _old: validate_candidate(new),
        allow_create_on_update=True,
        allow_unconditional_update=False,
    ),
}
