"""Configurations of webhooks.

An update may keep what was allowed once: webhooks with side effects, versions that nobody knows,
names that stand twice, and conditions that did not change.
"""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import urlsplit

from apiserver.types.admission.expressions import condition_errors
from apiserver.types.admission.rules import (
    MATCH_POLICIES,
    choice_errors,
    default_rules,
    rule_errors,
)
from apiserver.types.formats import is_dns1035_label, is_dns1123_subdomain, is_valid_port_num
from apiserver.types.meta import check_string, validate_label_selector
from kube.cel.conditions import Declarations
from kube.field import FieldError, duplicate, invalid, not_supported, required
from kube.json_types import JsonObject

FAILURE_POLICIES: Final = ("Fail", "Ignore")
REINVOCATIONS: Final = ("IfNeeded", "Never")
SIDE_EFFECTS: Final = ("None", "NoneOnDryRun")
ALL_SIDE_EFFECTS: Final = ("None", "NoneOnDryRun", "Some", "Unknown")
TIMEOUT_S_DEFAULT: Final = 10
TIMEOUT_S_MAX: Final = 30
REVIEW_VERSIONS: Final = ("v1", "v1beta1")
_ONE_TARGET: Final = "exactly one of url or service is required"
_FORM: Final = "; desired format: https://host[/path]"


class _Rules(NamedTuple):
    """What is demanded of a configuration, as far as the one before met it."""

    side_effects: tuple[str, ...] = SIDE_EFFECTS
    known_versions: bool = True
    unique_names: bool = True
    selector_values: bool = True
    conditions: bool = True


def _default_webhook(hook: JsonObject) -> None:
    hook.setdefault("failurePolicy", "Fail")
    hook.setdefault("matchPolicy", "Equivalent")
    hook.setdefault("namespaceSelector", {})
    hook.setdefault("objectSelector", {})
    hook.setdefault("timeoutSeconds", TIMEOUT_S_DEFAULT)
    default_rules(hook.get("rules"))
    service = hook.get("clientConfig", {}).get("service")
    if service is not None:
        service.setdefault("port", 443)


def default_validating(obj: JsonObject) -> None:
    """Fill in the defaults of validating webhooks."""
    for hook in obj.get("webhooks") or ():
        _default_webhook(hook)


def default_mutating(obj: JsonObject) -> None:
    """Fill in the defaults of mutating webhooks."""
    for hook in obj.get("webhooks") or ():
        _default_webhook(hook)
        hook.setdefault("reinvocationPolicy", "Never")


def validate_webhooks(obj: JsonObject) -> list[FieldError]:
    """Check a new webhook configuration."""
    return _errors(obj, _Rules())


def validate_webhooks_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check a changed webhook configuration."""
    hooks, before = new.get("webhooks") or [], old.get("webhooks") or []
    names = [hook.get("name") for hook in before]
    rules = _Rules(
        side_effects=SIDE_EFFECTS
        if all(hook.get("sideEffects") in SIDE_EFFECTS for hook in before)
        else ALL_SIDE_EFFECTS,
        known_versions=all(
            not hook.get("admissionReviewVersions")
            or set(hook["admissionReviewVersions"]) & set(REVIEW_VERSIONS)
            for hook in before
        ),
        unique_names=len(set(names)) == len(names),
        selector_values=not any(_selector_errors(hook, "") for hook in before),
        conditions=len(hooks) != len(before)
        or any(
            one.get("matchConditions") != other.get("matchConditions")
            for one, other in zip(hooks, before, strict=True)
        ),
    )
    return _errors(new, rules)


def _errors(obj: JsonObject, rules: _Rules) -> list[FieldError]:
    errors: list[FieldError] = []
    names: set[str] = set()
    for index, hook in enumerate(obj.get("webhooks") or ()):
        path, name = f"webhooks[{index}]", hook.get("name", "")
        errors += _webhook_errors(hook, path, rules)
        versions = hook.get("admissionReviewVersions") or []
        errors += _review_errors(
            versions, f"{path}.admissionReviewVersions", known=rules.known_versions
        )
        if name and name in names and rules.unique_names:
            errors.append(duplicate(f"{path}.name", name))
        names.add(name)
    return errors


def _webhook_errors(hook: JsonObject, path: str, rules: _Rules) -> list[FieldError]:
    errors = _domain_errors(hook.get("name", ""), f"{path}.name")
    for index, rule in enumerate(hook.get("rules") or ()):
        errors += rule_errors(rule, f"{path}.rules[{index}]")
    errors += choice_errors(hook, "failurePolicy", path, FAILURE_POLICIES)
    errors += choice_errors(hook, "matchPolicy", path, MATCH_POLICIES)
    effects = hook.get("sideEffects")
    if effects is None:
        text = f"must specify one of {', '.join(rules.side_effects)}"
        errors.append(required(f"{path}.sideEffects", text))
    elif effects not in rules.side_effects:
        errors.append(not_supported(f"{path}.sideEffects", effects, rules.side_effects))
    timeout_s = hook.get("timeoutSeconds", TIMEOUT_S_DEFAULT)
    if not 1 <= timeout_s <= TIMEOUT_S_MAX:
        text = "the timeout value must be between 1 and 30 seconds"
        errors.append(invalid(f"{path}.timeoutSeconds", timeout_s, text))
    errors += _selector_errors(hook, path, values=rules.selector_values)
    errors += choice_errors(hook, "reinvocationPolicy", path, REINVOCATIONS)
    errors += _client_errors(hook.get("clientConfig", {}), f"{path}.clientConfig")
    if rules.conditions:
        conditions = hook.get("matchConditions")
        errors += condition_errors(conditions, Declarations(), f"{path}.matchConditions")
    return errors


def _selector_errors(hook: JsonObject, path: str, *, values: bool = True) -> list[FieldError]:
    return [
        error
        for key in ("namespaceSelector", "objectSelector")
        for error in validate_label_selector(
            hook.get(key), f"{path}.{key}", allow_invalid_values=not values
        )
    ]


def _client_errors(config: JsonObject, path: str) -> list[FieldError]:
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        return [required(path, _ONE_TARGET)]
    if url is not None:
        return url_errors(url, f"{path}.url")
    return service_errors(service or {}, f"{path}.service")


def url_errors(url: str, path: str) -> list[FieldError]:
    """Check a webhook's URL."""
    try:
        parts = urlsplit(url)
        user = parts.username is not None
    except ValueError as error:
        return [required(path, f"url must be a valid URL: {error}{_FORM}")]
    errors: list[FieldError] = []
    if parts.scheme != "https":
        text = f"'https' is the only allowed URL scheme{_FORM}"
        errors.append(invalid(path, parts.scheme, text))
    if not parts.netloc:
        errors.append(invalid(path, "", f"host must be specified{_FORM}"))
    if user:
        shown = parts.netloc.rpartition("@")[0]
        errors.append(invalid(path, shown, "user information is not permitted in the URL"))
    if parts.fragment:
        errors.append(invalid(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        text = "query parameters are not permitted in the URL"
        errors.append(invalid(path, parts.query, text))
    return errors


def service_errors(service: JsonObject, path: str) -> list[FieldError]:
    """Check the service that a webhook is behind."""
    errors = [required(f"{path}.{key}") for key in ("name", "namespace") if not service.get(key)]
    port = service.get("port", 443)
    if faults := is_valid_port_num(port):
        errors.append(invalid(f"{path}.port", port, f"port is not valid: {', '.join(faults)}"))
    where = service.get("path") or "/"
    if where == "/":
        return errors
    field = f"{path}.path"
    if where == "//":
        return [*errors, invalid(field, where, "segment[0] may not be empty")]
    if not where.startswith("/"):
        errors.append(invalid(field, where, "must start with a '/'"))
    for index, step in enumerate(where[1:].removesuffix("/").split("/")):
        if not step:
            errors.append(invalid(field, where, f"segment[{index}] may not be empty"))
            continue
        errors.extend(
            invalid(field, where, f"segment[{index}]: {fault}")
            for fault in is_dns1123_subdomain(step)
        )
    return errors


def _domain_errors(name: str, path: str) -> list[FieldError]:
    if not name:
        return [required(path)]
    if faults := is_dns1123_subdomain(name):
        return [invalid(path, name, ",".join(faults))]
    if name.count(".") < 2:
        text = "should be a domain with at least three segments separated by dots"
        return [invalid(path, name, text)]
    return []


def _review_errors(versions: list[str], path: str, *, known: bool) -> list[FieldError]:
    if not versions:
        text = f"must specify one of {', '.join(REVIEW_VERSIONS)}"
        return [required(path, text)]
    errors: list[FieldError] = []
    for index, version in enumerate(versions):
        if version in versions[:index]:
            errors.append(invalid(f"{path}[{index}]", version, "duplicate version"))
            continue
        errors += check_string(version, f"{path}[{index}]", is_dns1035_label)
    if known and not set(versions) & set(REVIEW_VERSIONS):
        text = f"must include at least one of {', '.join(REVIEW_VERSIONS)}"
        errors.append(invalid(path, versions, text))
    return errors
