"""Checks of the annotations that mean something on pods and pod templates."""

from __future__ import annotations

import re
from typing import Final

from apiserver.types.pods.paths import check_descending_path
from apiserver.types.pods.windows import each_container
from kube.field import FieldError, forbidden, invalid, quote
from kube.json_types import JsonObject

MIRROR_POD: Final = "kubernetes.io/config.mirror"
DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
SECCOMP_POD: Final = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER: Final = "container.seccomp.security.alpha.kubernetes.io/"
APP_ARMOR: Final = "container.apparmor.security.beta.kubernetes.io/"

_OF_CONTAINERS: Final = (SECCOMP_CONTAINER, APP_ARMOR)
_LOCAL: Final = "localhost/"
_DEFAULT: Final = "runtime/default"
_DOCKER_DEFAULT: Final = "docker/default"
_UNCONFINED: Final = "unconfined"
_DEFAULTS: Final = {"seccomp": {_DEFAULT, _DOCKER_DEFAULT}, "apparmor": {_DEFAULT}}
_INT32_MAX: Final = 2**31 - 1
_match_cost = re.compile("0|-?[1-9][0-9]*").fullmatch


def check_annotations(
    annotations: dict[str, str], spec: JsonObject, path: str, errors: list[FieldError]
) -> None:
    """Check the annotations of a pod or template whose spec is `spec`."""
    if MIRROR_POD in annotations and not spec.get("nodeName"):
        text = "must set spec.nodeName if mirror pod annotation is set"
        errors.append(invalid(f"{path}[{MIRROR_POD}]", annotations[MIRROR_POD], text))
    cost = annotations.get(DELETION_COST)
    if cost is not None and not _is_deletion_cost(cost):
        errors.append(invalid(f"{path}[{DELETION_COST}]", cost, "must be a 32bit integer"))
    for key, value in annotations.items():
        if key == SECCOMP_POD or key.startswith(SECCOMP_CONTAINER):
            _check_seccomp(value, f"{path}.{key}", errors)
        elif key.startswith(APP_ARMOR):
            _check_app_armor(key, value, spec, path, errors)


def check_annotation_changes(
    new: dict[str, str], old: dict[str, str], path: str, errors: list[FieldError]
) -> None:
    """Check that no annotation changed that is fixed for the life of a pod."""
    for key, value in old.items():
        if new.get(key) != value:
            if key.startswith(APP_ARMOR):
                text = "may not remove or update AppArmor annotations"
                errors.append(forbidden(f"{path}[{key}]", text))
            if key == MIRROR_POD:
                text = "may not remove or update mirror pod annotation"
                errors.append(forbidden(f"{path}[{key}]", text))
    for key in new:
        if key not in old:
            if key.startswith(APP_ARMOR):
                errors.append(forbidden(f"{path}[{key}]", "may not add AppArmor annotations"))
            if key == MIRROR_POD:
                errors.append(forbidden(f"{path}[{key}]", "may not add mirror pod annotation"))


def check_profiles_match(
    annotations: dict[str, str], spec: JsonObject, path: str, errors: list[FieldError]
) -> None:
    """Check that a security profile given as annotation and as field is the same (at creation)."""
    if not any(key == SECCOMP_POD or key.startswith(_OF_CONTAINERS) for key in annotations):
        return
    profile = spec.get("securityContext", {}).get("seccompProfile")
    if profile and SECCOMP_POD in annotations:
        where = f"{path}.securityContext.seccompProfile"
        _check_match("seccomp", annotations[SECCOMP_POD], profile, where, errors)
    for container, target in each_container(spec, path):
        profile = container.get("securityContext", {}).get("seccompProfile")
        key = SECCOMP_CONTAINER + container.get("name", "")
        if profile and key in annotations:
            where = f"{target}.securityContext.seccompProfile"
            _check_match("seccomp", annotations[key], profile, where, errors)
    if spec.get("os", {}).get("name") == "windows":
        return
    of_pod = spec.get("securityContext", {}).get("appArmorProfile")
    for container, target in each_container(spec, path):
        profile = container.get("securityContext", {}).get("appArmorProfile", of_pod)
        key = APP_ARMOR + container.get("name", "")
        if profile and key in annotations:
            where = f"{target}.securityContext.appArmorProfile"
            _check_match("apparmor", annotations[key], profile, where, errors)


def app_armor_profile(annotation: str) -> JsonObject | None:
    """Return the profile field that an AppArmor annotation stands for, None when it is bad."""
    if annotation == _UNCONFINED:
        return {"type": "Unconfined"}
    if annotation == _DEFAULT:
        return {"type": "RuntimeDefault"}
    name = annotation.removeprefix(_LOCAL)
    if name and name != annotation and name == name.strip():
        return {"type": "Localhost", "localhostProfile": name}
    return None


def _is_deletion_cost(text: str) -> bool:
    return bool(_match_cost(text)) and -_INT32_MAX - 1 <= int(text) <= _INT32_MAX


def _check_seccomp(value: str, path: str, errors: list[FieldError]) -> None:
    if value in {_DEFAULT, _DOCKER_DEFAULT, _UNCONFINED}:
        return
    if value.startswith(_LOCAL):
        check_descending_path(value.removeprefix(_LOCAL), path, errors)
    else:
        errors.append(invalid(path, value, "must be a valid seccomp profile"))


def _check_app_armor(
    key: str, value: str, spec: JsonObject, path: str, errors: list[FieldError]
) -> None:
    name = key.removeprefix(APP_ARMOR)
    if all(container.get("name") != name for container, _ in each_container(spec, path)):
        errors.append(invalid(f"{path}[{key}]", name, "container not found"))
    if value not in {"", _DEFAULT, _UNCONFINED} and not value.startswith(_LOCAL):
        text = f"invalid AppArmor profile name: {quote(value)}"
        errors.append(invalid(f"{path}[{key}]", value, text))


def _check_match(
    kind: str, annotation: str, profile: JsonObject, path: str, errors: list[FieldError]
) -> None:
    match profile.get("type"):
        case "Unconfined":
            matches = annotation == _UNCONFINED
        case "RuntimeDefault":
            matches = annotation in _DEFAULTS[kind]
        case "Localhost":
            matches = annotation.startswith(_LOCAL)
            if matches and annotation.removeprefix(_LOCAL) != profile.get("localhostProfile"):
                text = f"{kind} profile in annotation and field must match"
                errors.append(forbidden(f"{path}.localhostProfile", text))
        case _:
            matches = True
    if not matches:
        text = f"{kind} type in annotation and field must match"
        errors.append(forbidden(f"{path}.type", text))
