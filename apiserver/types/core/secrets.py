"""Secret: write-only stringData, the keys each type requires, and the `immutable` switch."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Final

import orjson

from apiserver.types.core.config_maps import (
    DATA_BYTES_MAX,
    decoded_length,
    immutable_errors,
    key_errors,
)
from apiserver.types.hooks import TypeHooks
from apiserver.types.meta import validate_immutable
from kube.field import FieldError, invalid, required, too_long
from kube.json_types import JsonObject

_ACCOUNT_NAME: Final = "kubernetes.io/service-account.name"
_REDACTED: Final = "<secret contents redacted>"
_GO_KINDS: Final = {bool: "bool", int: "number", float: "number", str: "string", list: "array"}


def default(obj: JsonObject) -> None:
    """Fold stringData into data (stringData wins), and default the type."""
    if "stringData" in obj and (texts := obj.pop("stringData")):
        data = obj.get("data") or {}
        for key, text in texts.items():
            data[key] = base64.b64encode(text.encode()).decode()
        obj["data"] = data
    if not obj.get("type"):
        obj["type"] = "Opaque"


def _json_fault(encoded: str) -> str:
    """Return why the base64 `encoded` is no JSON object, as Go's decoder says it, or ""."""
    try:
        raw = base64.b64decode(encoded)
    except binascii.Error:
        raw = b""
    if not raw.strip():
        return "unexpected end of JSON input"
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        text = raw.decode(errors="replace")
        if error.pos >= len(text):
            return "unexpected end of JSON input"
        return f"invalid character '{text[error.pos]}' looking for beginning of value"
    if value is None or isinstance(value, dict):
        return ""
    kind = _GO_KINDS[type(value)]
    return f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"


def _json_key(key: str) -> Callable[[JsonObject, JsonObject], list[FieldError]]:
    def check(_obj: JsonObject, data: JsonObject) -> list[FieldError]:
        if key not in data:
            return [required(f"data[{key}]")]
        fault = _json_fault(data[key])
        return [invalid(f"data[{key}]", _REDACTED, fault)] if fault else []

    return check


def _check_account_token(obj: JsonObject, _data: JsonObject) -> list[FieldError]:
    annotations = obj.get("metadata", {}).get("annotations") or {}
    if annotations.get(_ACCOUNT_NAME):
        return []
    return [required(f"metadata.annotations[{_ACCOUNT_NAME}]")]


def _check_basic_auth(_obj: JsonObject, data: JsonObject) -> list[FieldError]:
    if "username" in data or "password" in data:
        return []
    return [required("data[username]"), required("data[password]")]


def _check_ssh_auth(_obj: JsonObject, data: JsonObject) -> list[FieldError]:
    return [] if data.get("ssh-privatekey") else [required("data[ssh-privatekey]")]


def _check_tls(_obj: JsonObject, data: JsonObject) -> list[FieldError]:
    return [required(f"data[{key}]") for key in ("tls.crt", "tls.key") if key not in data]


_TYPE_CHECKS: Final = {
    "kubernetes.io/service-account-token": _check_account_token,
    "kubernetes.io/dockercfg": _json_key(".dockercfg"),
    "kubernetes.io/dockerconfigjson": _json_key(".dockerconfigjson"),
    "kubernetes.io/basic-auth": _check_basic_auth,
    "kubernetes.io/ssh-auth": _check_ssh_auth,
    "kubernetes.io/tls": _check_tls,
}


def validate(obj: JsonObject) -> list[FieldError]:
    """Check a Secret's keys, size, and what its type requires."""
    data = obj.get("data") or {}
    errors = key_errors(data, "data")
    if sum(map(decoded_length, data.values())) > DATA_BYTES_MAX:
        errors.append(too_long("data", DATA_BYTES_MAX))
    check = _TYPE_CHECKS.get(obj.get("type", ""))
    if check is not None:
        errors += check(obj, data)
    return errors


def validate_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check a Secret that is to replace `old`."""
    errors = validate_immutable(new.get("type", ""), old.get("type", ""), "type")
    return errors + immutable_errors(new, old, ("data",)) + validate(new)


def _type_of(obj: JsonObject) -> str:
    return str(obj.get("type", ""))


HOOKS: Final = {
    "secrets": TypeHooks(
        default=default,
        validate_create=validate,
        validate_update=validate_update,
        fields={"type": _type_of},
    )
}
