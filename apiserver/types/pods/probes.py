"""Checks of probes and lifecycle hooks, and of the actions both are made of."""

from __future__ import annotations

from typing import Final

from apiserver.types.formats import is_http_header_name, is_valid_port_name, is_valid_port_num
from apiserver.types.meta import NOT_NEGATIVE
from kube.field import FieldError, forbidden, invalid, not_supported, required
from kube.json_types import JsonObject

_SCHEMES: Final = ("HTTP", "HTTPS")
_COUNTS: Final = (
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
)
_PROBE_ACTIONS: Final = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_ACTIONS: Final = ("exec", "httpGet", "tcpSocket", "sleep")
_MORE_THAN_ONE: Final = "may not specify more than 1 handler type"


def check_probes(container: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check the probes of a container that may have them."""
    probe = container.get("livenessProbe")
    if probe is not None:
        where = f"{path}.livenessProbe"
        _check_probe(probe, where, errors)
        _check_one_success(probe, where, errors)
    probe = container.get("readinessProbe")
    if probe is not None:
        where = f"{path}.readinessProbe"
        _check_probe(probe, where, errors)
        if "terminationGracePeriodSeconds" in probe:
            grace = probe["terminationGracePeriodSeconds"]
            text = "must not be set for readinessProbes"
            errors.append(invalid(f"{where}.terminationGracePeriodSeconds", grace, text))
    probe = container.get("startupProbe")
    if probe is not None:
        where = f"{path}.startupProbe"
        _check_probe(probe, where, errors)
        _check_one_success(probe, where, errors)


def check_lifecycle(
    lifecycle: JsonObject, grace_s: int | None, path: str, errors: list[FieldError]
) -> None:
    """Check a container's hooks; a sleep must end within the pod's grace period."""
    for name in ("postStart", "preStop"):
        handler = lifecycle.get(name)
        if handler is not None:
            _check_actions(handler, _HOOK_ACTIONS, grace_s, f"{path}.{name}", errors)


def check_port(port: int | str, path: str, errors: list[FieldError]) -> None:
    """Check a port given by number or by name."""
    faults = is_valid_port_name(port) if isinstance(port, str) else is_valid_port_num(port)
    if faults:
        errors.extend(invalid(path, port, fault) for fault in faults)


def _check_one_success(probe: JsonObject, path: str, errors: list[FieldError]) -> None:
    successes = probe.get("successThreshold", 0)
    if successes != 1:
        errors.append(invalid(f"{path}.successThreshold", successes, "must be 1"))


def _check_probe(probe: JsonObject, path: str, errors: list[FieldError]) -> None:
    _check_actions(probe, _PROBE_ACTIONS, None, path, errors)
    for name in _COUNTS:
        if probe.get(name, 0) < 0:
            errors.append(invalid(f"{path}.{name}", probe[name], NOT_NEGATIVE))
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        text = "must be greater than 0"
        errors.append(invalid(f"{path}.terminationGracePeriodSeconds", grace, text))


def _check_actions(
    handler: JsonObject,
    allowed: tuple[str, ...],
    grace_s: int | None,
    path: str,
    errors: list[FieldError],
) -> None:
    found = False
    for kind in allowed:
        if kind not in handler:
            continue
        if found:
            errors.append(forbidden(f"{path}.{kind}", _MORE_THAN_ONE))
            continue
        found = True
        _check_action(kind, handler[kind], grace_s, path, errors)
    if not found:
        errors.append(required(path, "must specify a handler type"))


def _check_action(
    kind: str, action: JsonObject, grace_s: int | None, path: str, errors: list[FieldError]
) -> None:
    if kind == "httpGet":
        _check_http_get(action, f"{path}.httpGet", errors)
    elif kind == "exec":
        if not action.get("command"):
            errors.append(required(f"{path}.exec.command"))
    elif kind == "sleep":
        seconds = action.get("seconds", 0)
        if grace_s is not None and not 0 <= seconds <= grace_s:
            text = f"must be non-negative and less than terminationGracePeriodSeconds ({grace_s})"
            errors.append(invalid(f"{path}.sleep", seconds, text))
    else:
        check_port(action.get("port", 0), f"{path}.{kind}.port", errors)


def _check_http_get(action: JsonObject, path: str, errors: list[FieldError]) -> None:
    if not action.get("path"):
        errors.append(required(f"{path}.path"))
    check_port(action.get("port", 0), f"{path}.port", errors)
    scheme = action.get("scheme", "")
    if scheme not in _SCHEMES:
        errors.append(not_supported(f"{path}.scheme", scheme, _SCHEMES))
    for header in action.get("httpHeaders", ()):
        name = header.get("name", "")
        if faults := is_http_header_name(name):
            errors.extend(invalid(f"{path}.httpHeaders", name, fault) for fault in faults)
