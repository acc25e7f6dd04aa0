"""Checks of containers: regular, init (with sidecars) and ephemeral ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final

from apiserver.types.formats import is_dns1123_label, is_valid_port_name, is_valid_port_num
from apiserver.types.pods.env import check_env, check_env_from
from apiserver.types.pods.mounts import check_devices, check_mounts
from apiserver.types.pods.probes import check_lifecycle, check_probes
from apiserver.types.pods.resources import check_container_resources
from apiserver.types.pods.security import check_container_security
from apiserver.types.pods.volumes import PULL_POLICIES, check_pull_policy
from kube.field import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_found,
    not_supported,
    required,
    too_many,
)
from kube.json_types import JsonObject

_PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
_MESSAGE_POLICIES: Final = ("File", "FallbackToLogsOnError")
_RESIZABLE: Final = ("cpu", "memory")
_RESIZE_POLICIES: Final = ("NotRequired", "RestartContainer")
_RESTART_POLICIES: Final = ("Always", "Never", "OnFailure")
_RESTART_ACTIONS: Final = ("Restart", "RestartAllContainers")
_OPERATORS: Final = ("In", "NotIn")
_RULES_MAX: Final = 20
_EXIT_CODES_MAX: Final = 255
_NOT_FOR_INIT: Final = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
_NOT_FOR_EPHEMERAL: Final = (
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
)


@dataclass(frozen=True, slots=True)
class PodContext:
    """What the checks of one container need to know of its pod.

    Attributes:
        volumes: the pod's well-formed volumes by name.
        claims: names of the pod's resource claims.
        grace_s: the pod's grace period, None when it is not set.
        restart_policy: the pod's restart policy.
        host_users: whether the pod shares the host's user namespace.
        is_pod: whether this is a pod rather than a template.
    """

    volumes: Mapping[str, JsonObject]
    claims: Set[str]
    grace_s: int | None
    restart_policy: str
    host_users: bool
    is_pod: bool


def check_containers(
    containers: Sequence[JsonObject], pod: PodContext, path: str, errors: list[FieldError]
) -> None:
    """Check a pod's regular containers."""
    if not containers:
        errors.append(required(path))
        return
    names: set[str] = set()
    for index, container in enumerate(containers):
        where = f"{path}[{index}]"
        _check_common(container, pod, where, errors)
        name = container.get("name", "")
        if name in names:
            errors.append(duplicate(f"{where}.name", name))
        names.add(name)
        if "lifecycle" in container:
            check_lifecycle(container["lifecycle"], pod.grace_s, f"{where}.lifecycle", errors)
        check_probes(container, where, errors)
        if "restartPolicy" in container or "restartPolicyRules" in container:
            _check_restart_policy(container, where, errors)
    _check_host_ports(containers, path, errors)


def check_init_containers(
    containers: Sequence[JsonObject],
    regular: Sequence[JsonObject],
    pod: PodContext,
    path: str,
    errors: list[FieldError],
) -> None:
    """Check a pod's init containers; those that always restart are sidecars."""
    names = {container.get("name", "") for container in regular}
    for index, container in enumerate(containers):
        where = f"{path}[{index}]"
        _check_common(container, pod, where, errors)
        if "restartPolicy" in container or "restartPolicyRules" in container:
            _check_restart_policy(container, where, errors)
        name = container.get("name", "")
        if name in names:
            errors.append(duplicate(f"{where}.name", name))
        elif name:
            names.add(name)
        # They run one by one, so ports clash only within one container.
        _check_host_ports([container], path, errors)
        if container.get("restartPolicy") == "Always":
            if "lifecycle" in container:
                check_lifecycle(container["lifecycle"], pod.grace_s, f"{where}.lifecycle", errors)
            check_probes(container, where, errors)
        else:
            text = "may not be set for init containers without restartPolicy=Always"
            errors.extend(
                forbidden(f"{where}.{key}", text) for key in _NOT_FOR_INIT if key in container
            )


def check_ephemeral_containers(
    spec: JsonObject, pod: PodContext, path: str, errors: list[FieldError]
) -> None:
    """Check the ephemeral containers of a pod spec."""
    others = {
        container.get("name", "")
        for container in (*spec.get("containers", ()), *spec.get("initContainers", ()))
    }
    names = set(others)
    for index, container in enumerate(spec["ephemeralContainers"]):
        where = f"{path}[{index}]"
        _check_common(container, pod, where, errors)
        check_image_padding(container, where, errors)
        name = container.get("name", "")
        if name in names:
            errors.append(duplicate(f"{where}.name", name))
        names.add(name)
        target = container.get("targetContainerName")
        if target and target not in others:
            errors.append(not_found(f"{where}.targetContainerName", target))
        text = "cannot be set for an Ephemeral Container"
        errors.extend(
            forbidden(f"{where}.{key}", text) for key in _NOT_FOR_EPHEMERAL if container.get(key)
        )
        for at, mount in enumerate(container.get("volumeMounts", ())):
            errors.extend(
                forbidden(f"{where}.volumeMounts[{at}].{key}", text)
                for key in ("subPath", "subPathExpr")
                if mount.get(key)
            )


def check_image_padding(container: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Refuse white space around an image's name, which only templates may have."""
    image = container.get("image", "")
    if image != image.strip():
        text = "must not have leading or trailing whitespace"
        errors.append(invalid(f"{path}.image", image, text))


def _check_common(
    container: JsonObject, pod: PodContext, path: str, errors: list[FieldError]
) -> None:
    """Check what containers of all three lists have in common, in upstream's order."""
    name = container.get("name", "")
    if not name:
        errors.append(required(f"{path}.name"))
    elif faults := is_dns1123_label(name):
        errors.extend(invalid(f"{path}.name", name, fault) for fault in faults)
    if not container.get("image"):
        errors.append(required(f"{path}.image"))
    policy = container.get("terminationMessagePolicy", "")
    if policy not in _MESSAGE_POLICIES:
        _report_choice(policy, _MESSAGE_POLICIES, f"{path}.terminationMessagePolicy", errors)
    _check_inputs(container, pod, path, errors)
    pull_policy = container.get("imagePullPolicy", "")
    if pull_policy not in PULL_POLICIES:
        check_pull_policy(pull_policy, f"{path}.imagePullPolicy", errors)
    resources = container.get("resources")
    if resources:
        check_container_resources(resources, pod.claims, f"{path}.resources", errors)
    if "resizePolicy" in container:
        _check_resize_policy(container["resizePolicy"], pod, f"{path}.resizePolicy", errors)
    security = container.get("securityContext")
    if security:
        where = f"{path}.securityContext"
        check_container_security(security, where, errors, host_users=pod.host_users)


def _check_inputs(
    container: JsonObject, pod: PodContext, path: str, errors: list[FieldError]
) -> None:
    """Check what comes into a container: connections, variables, files."""
    if "ports" in container:
        _check_ports(container["ports"], f"{path}.ports", errors)
    if "env" in container:
        check_env(container["env"], f"{path}.env", errors)
    if "envFrom" in container:
        check_env_from(container["envFrom"], f"{path}.envFrom", errors)
    if "volumeMounts" in container:
        check_mounts(container, pod.volumes, f"{path}.volumeMounts", errors)
    if "volumeDevices" in container:
        check_devices(container, pod.volumes, f"{path}.volumeDevices", errors)


def _report_choice(
    value: str, supported: tuple[str, ...], path: str, errors: list[FieldError]
) -> None:
    errors.append(not_supported(path, value, supported) if value else required(path))


def _check_ports(ports: Sequence[JsonObject], path: str, errors: list[FieldError]) -> None:
    names: set[str] = set()
    for index, port in enumerate(ports):
        name = port.get("name")
        if name:
            if faults := is_valid_port_name(name):
                errors.extend(invalid(f"{path}[{index}].name", name, fault) for fault in faults)
            elif name in names:
                errors.append(duplicate(f"{path}[{index}].name", name))
            else:
                names.add(name)
        number = port.get("containerPort", 0)
        if not 0 < number < 65_536:
            _report_port(number, f"{path}[{index}].containerPort", errors)
        number = port.get("hostPort", 0)
        if not 0 <= number < 65_536:
            _report_port(number, f"{path}[{index}].hostPort", errors)
        protocol = port.get("protocol", "")
        if protocol not in _PROTOCOLS:
            _report_choice(protocol, _PROTOCOLS, f"{path}[{index}].protocol", errors)


def _report_port(number: int, path: str, errors: list[FieldError]) -> None:
    if number:
        errors.extend(invalid(path, number, fault) for fault in is_valid_port_num(number))
    else:
        errors.append(required(path))


def _check_host_ports(
    containers: Sequence[JsonObject], path: str, errors: list[FieldError]
) -> None:
    taken: set[str] = set()
    for index, container in enumerate(containers):
        for at, port in enumerate(container.get("ports", ())):
            number = port.get("hostPort")
            if number:
                key = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{number}"
                if key in taken:
                    errors.append(duplicate(f"{path}[{index}].ports[{at}].hostPort", key))
                taken.add(key)


def _check_resize_policy(
    policies: Sequence[JsonObject], pod: PodContext, path: str, errors: list[FieldError]
) -> None:
    seen: set[str] = set()
    for index, policy in enumerate(policies):
        name = policy.get("resourceName", "")
        if name in seen:
            errors.append(duplicate(f"{path}[{index}]", name))
        seen.add(name)
        if name not in _RESIZABLE:
            _report_choice(name, _RESIZABLE, path, errors)
        restart = policy.get("restartPolicy", "")
        if restart not in _RESIZE_POLICIES:
            _report_choice(restart, _RESIZE_POLICIES, path, errors)
        if pod.restart_policy == "Never" and restart != "NotRequired":
            text = "must be 'NotRequired' when `restartPolicy` is 'Never'"
            errors.append(invalid(path, restart, text))


def _check_restart_policy(container: JsonObject, path: str, errors: list[FieldError]) -> None:
    policy = container.get("restartPolicy")
    rules = container.get("restartPolicyRules", ())
    if policy is None:
        if rules:
            text = "must specify restartPolicy when restart rules are used"
            errors.append(required(f"{path}.restartPolicy", text))
        return
    if policy not in _RESTART_POLICIES:
        errors.append(not_supported(f"{path}.restartPolicy", policy, _RESTART_POLICIES))
    if len(rules) > _RULES_MAX:
        errors.append(too_many(f"{path}.restartPolicyRules", len(rules), _RULES_MAX))
    for index, rule in enumerate(rules):
        _check_restart_rule(rule, f"{path}.restartPolicyRules[{index}]", errors)


def _check_restart_rule(rule: JsonObject, path: str, errors: list[FieldError]) -> None:
    action = rule.get("action", "")
    if action not in _RESTART_ACTIONS:
        errors.append(not_supported(f"{path}.action", action, _RESTART_ACTIONS))
    codes = rule.get("exitCodes")
    if codes is None:
        errors.append(required(f"{path}.exitCodes", "must be specified"))
        return
    operator = codes.get("operator", "")
    if operator not in _OPERATORS:
        errors.append(not_supported(f"{path}.exitCodes.operator", operator, _OPERATORS))
    values = codes.get("values", ())
    if len(values) > _EXIT_CODES_MAX:
        errors.append(too_many(f"{path}.exitCodes.values", len(values), _EXIT_CODES_MAX))
