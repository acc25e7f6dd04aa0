"""Checks of a JobSpec, whether a Job's own or in a CronJob's template."""

from __future__ import annotations

from collections.abc import Set
from typing import Final

from apiserver.types.formats import byte_length, is_qualified_name
from apiserver.types.meta import domain_prefixed_path_errors
from apiserver.types.pods.pod_spec import check_template
from apiserver.types.workloads.counts import check_counts
from apiserver.types.workloads.indexes import IndexesError, count_indexes
from kube.field import (
    INVALID,
    FieldError,
    duplicate,
    invalid,
    not_supported,
    required,
    too_long,
    too_many,
)
from kube.json_types import JsonObject

_COUNTS: Final = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)
_MODES: Final = ("NonIndexed", "Indexed")
_ACTIONS: Final = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS: Final = ("In", "NotIn")
_STATUSES: Final = ("False", "True", "Unknown")
_REPLACEMENTS: Final = ("Failed", "TerminatingOrFailed")
_INDEXES_MAX: Final = 100_000
_INDEXES_MAX_WHEN_MANY: Final = 10_000
_RULES_MAX: Final = 20
_VALUES_MAX: Final = 255
_MANAGED_BY_BYTES_MAX: Final = 63
_SUCCEEDED_BYTES_MAX: Final = 64 * 1024
_NEEDS_INDEXES: Final = "requires indexed completion mode"


def check_job_spec(spec: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check a JobSpec, but for its selector."""
    check_counts(spec, _COUNTS, path, errors)
    if "maxFailedIndexes" in spec and "backoffLimitPerIndex" not in spec:
        text = "when maxFailedIndexes is specified"
        errors.append(required(f"{path}.backoffLimitPerIndex", text))
    if "managedBy" in spec:
        _check_managed_by(spec["managedBy"], f"{path}.managedBy", errors)
    mode = spec.get("completionMode", "NonIndexed")
    if mode not in _MODES:
        errors.append(not_supported(f"{path}.completionMode", mode, _MODES))
    elif mode == "Indexed":
        _check_indexed(spec, path, errors)
    else:
        errors.extend(
            invalid(f"{path}.{name}", spec[name], _NEEDS_INDEXES)
            for name in ("backoffLimitPerIndex", "maxFailedIndexes")
            if name in spec
        )
    if "podFailurePolicy" in spec:
        _check_failure_policy(spec, f"{path}.podFailurePolicy", errors)
    if "successPolicy" in spec:
        if mode == "Indexed":
            _check_success_policy(spec, f"{path}.successPolicy", errors)
        else:
            policy = spec["successPolicy"]
            errors.append(invalid(f"{path}.successPolicy", policy, _NEEDS_INDEXES))
    _check_replacement(spec, f"{path}.podReplacementPolicy", errors)
    check_template(spec.get("template", {}), f"{path}.template", errors)
    _check_restart_policy(spec, f"{path}.template.spec.restartPolicy", errors)


def _check_restart_policy(spec: JsonObject, path: str, errors: list[FieldError]) -> None:
    policy = spec.get("template", {}).get("spec", {}).get("restartPolicy", "")
    if policy in {"", "Always"}:
        # Always is what the pod's own default makes of a policy that was not given.
        errors.append(required(path, 'valid values: "OnFailure", "Never"'))
    elif policy not in {"OnFailure", "Never"}:
        errors.append(not_supported(path, policy, ("OnFailure", "Never")))
    elif policy != "Never" and "podFailurePolicy" in spec:
        text = 'only "Never" is supported when podFailurePolicy is specified'
        errors.append(invalid(path, policy, text))


def _check_managed_by(name: str, path: str, errors: list[FieldError]) -> None:
    """Check a controller's name: a domain, a slash and a path."""
    errors += domain_prefixed_path_errors(name, path)
    if byte_length(name) > _MANAGED_BY_BYTES_MAX:
        errors.append(too_long(path, _MANAGED_BY_BYTES_MAX))


def _check_indexed(spec: JsonObject, path: str, errors: list[FieldError]) -> None:
    completions = spec.get("completions")
    parallelism = spec.get("parallelism", 0)
    failed = spec.get("maxFailedIndexes")
    if completions is None:
        errors.append(required(f"{path}.completions", "when completion mode is Indexed"))
    if parallelism > _INDEXES_MAX:
        text = f"must be less than or equal to {_INDEXES_MAX} when completion mode is Indexed"
        errors.append(invalid(f"{path}.parallelism", parallelism, text))
    where = f"{path}.maxFailedIndexes"
    if failed is not None and completions is not None and failed > completions:
        errors.append(invalid(where, failed, "must be less than or equal to completions"))
    if failed is not None and failed > _INDEXES_MAX:
        errors.append(invalid(where, failed, f"must be less than or equal to {_INDEXES_MAX}"))
    if (completions or 0) <= _INDEXES_MAX or "backoffLimitPerIndex" not in spec:
        return
    text = (
        f"must be less than or equal to {_INDEXES_MAX_WHEN_MANY} when completions are above "
        f"{_INDEXES_MAX} and used with backoff limit per index"
    )
    if failed is None:
        need = f"must be specified when completions is above {_INDEXES_MAX}"
        errors.append(required(where, need))
    if parallelism > _INDEXES_MAX_WHEN_MANY:
        errors.append(invalid(f"{path}.parallelism", parallelism, text))
    if failed is not None and failed > _INDEXES_MAX_WHEN_MANY:
        errors.append(invalid(where, failed, text))


def _check_replacement(spec: JsonObject, path: str, errors: list[FieldError]) -> None:
    policy = spec.get("podReplacementPolicy")
    allowed = ("Failed",) if "podFailurePolicy" in spec else _REPLACEMENTS
    if policy is not None and policy not in allowed:
        errors.append(not_supported(path, policy, allowed))


def _check_failure_policy(spec: JsonObject, path: str, errors: list[FieldError]) -> None:
    rules = spec["podFailurePolicy"].get("rules", ())
    if len(rules) > _RULES_MAX:
        errors.append(too_many(f"{path}.rules", len(rules), _RULES_MAX))
    pod = spec.get("template", {}).get("spec", {})
    names = {
        container.get("name", "")
        for kind in ("containers", "initContainers")
        for container in pod.get(kind, ())
    }
    for index, rule in enumerate(rules):
        _check_failure_rule(spec, rule, f"{path}.rules[{index}]", names, errors)


def _valid_values(values: tuple[str, ...]) -> str:
    return "valid values: [" + " ".join(f'"{value}"' for value in values) + "]"


def _check_failure_rule(
    spec: JsonObject, rule: JsonObject, path: str, names: Set[str], errors: list[FieldError]
) -> None:
    action = rule.get("action", "")
    if not action:
        errors.append(required(f"{path}.action", _valid_values(_ACTIONS)))
    elif action == "FailIndex":
        if "backoffLimitPerIndex" not in spec:
            text = "requires the backoffLimitPerIndex to be set"
            errors.append(invalid(f"{path}.action", action, text))
    elif action not in _ACTIONS:
        errors.append(not_supported(f"{path}.action", action, _ACTIONS))
    codes = rule.get("onExitCodes")
    conditions = rule.get("onPodConditions", ())
    if codes is not None:
        _check_exit_codes(codes, f"{path}.onExitCodes", names, errors)
    if conditions:
        _check_conditions(conditions, f"{path}.onPodConditions", errors)
    if codes is not None and conditions:
        text = "specifying both OnExitCodes and OnPodConditions is not supported"
        errors.append(FieldError(INVALID, path, text))
    if codes is None and not conditions:
        text = "specifying one of OnExitCodes and OnPodConditions is required"
        errors.append(FieldError(INVALID, path, text))


def _check_conditions(patterns: list[JsonObject], path: str, errors: list[FieldError]) -> None:
    if len(patterns) > _RULES_MAX:
        errors.append(too_many(path, len(patterns), _RULES_MAX))
    for index, pattern in enumerate(patterns):
        where = f"{path}[{index}]"
        kind = pattern.get("type", "")
        errors.extend(invalid(f"{where}.type", kind, fault) for fault in is_qualified_name(kind))
        status = pattern.get("status", "")
        if not status:
            errors.append(required(f"{where}.status", _valid_values(_STATUSES)))
        elif status not in _STATUSES:
            errors.append(not_supported(f"{where}.status", status, _STATUSES))


def _check_exit_codes(
    codes: JsonObject, path: str, names: Set[str], errors: list[FieldError]
) -> None:
    operator = codes.get("operator", "")
    if not operator:
        errors.append(required(f"{path}.operator", _valid_values(_OPERATORS)))
    elif operator not in _OPERATORS:
        errors.append(not_supported(f"{path}.operator", operator, _OPERATORS))
    name = codes.get("containerName")
    if name is not None and name not in names:
        text = "must be one of the container or initContainer names in the pod template"
        errors.append(invalid(f"{path}.containerName", name, text))
    values = codes.get("values", [])
    where = f"{path}.values"
    if not values:
        errors.append(invalid(where, values, "at least one value is required"))
    elif len(values) > _VALUES_MAX:
        errors.append(too_many(where, len(values), _VALUES_MAX))
    seen: set[int] = set()
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            text = "must not be 0 for the In operator"
            errors.append(invalid(f"{where}[{index}]", value, text))
        if value in seen:
            errors.append(duplicate(f"{where}[{index}]", value))
        seen.add(value)
    if values != sorted(values):
        errors.append(invalid(where, values, "must be ordered"))


def _check_success_policy(spec: JsonObject, path: str, errors: list[FieldError]) -> None:
    rules = spec["successPolicy"].get("rules", ())
    if not rules:
        text = "at least one rules must be specified when the successPolicy is specified"
        errors.append(required(f"{path}.rules", text))
    if len(rules) > _RULES_MAX:
        errors.append(too_many(f"{path}.rules", len(rules), _RULES_MAX))
    completions = spec.get("completions", 0)
    for index, rule in enumerate(rules):
        _check_success_rule(rule, completions, f"{path}.rules[{index}]", errors)


def _check_success_rule(
    rule: JsonObject, completions: int, path: str, errors: list[FieldError]
) -> None:
    count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and indexes is None:
        text = "at least one of succeededCount or succeededIndexes must be specified"
        errors.append(required(path, text))
    total = 0
    if indexes is not None:
        where = f"{path}.succeededIndexes"
        if byte_length(indexes) > _SUCCEEDED_BYTES_MAX:
            errors.append(too_long(where, _SUCCEEDED_BYTES_MAX))
        try:
            total = count_indexes(indexes, completions)
        except IndexesError as error:
            text = f"error parsing succeededIndexes: {error}"
            errors.append(invalid(where, indexes, text))
    if count is None:
        return
    where = f"{path}.succeededCount"
    check_counts(rule, ("succeededCount",), path, errors)
    if count > completions:
        text = f"must be less than or equal to {completions} (the number of specified completions)"
        errors.append(invalid(where, count, text))
    if indexes is not None and count > total:
        text = (
            f"must be less than or equal to {total} (the number of indexes in the specified "
            "succeededIndexes field)"
        )
        errors.append(invalid(where, count, text))
