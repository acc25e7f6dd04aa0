"""ConfigMap: keys, total size, and the `immutable` switch."""

from __future__ import annotations

from typing import Final

from apiserver.types.formats import byte_length, is_config_map_key
from apiserver.types.hooks import TypeHooks
from kube.field import FieldError, forbidden, invalid, too_long
from kube.json_types import JsonObject

DATA_BYTES_MAX: Final = 1024 * 1024
IMMUTABLE_TEXT: Final = "field is immutable when `immutable` is set"


def decoded_length(text: str) -> int:
    """Return how many bytes the base64 `text` stands for."""
    return len(text) * 3 // 4 - text.count("=", -2)


def key_errors(keys: JsonObject, path: str) -> list[FieldError]:
    """Return the faults of a data map's keys."""
    errors: list[FieldError] = []
    for key in keys:
        if faults := is_config_map_key(key):
            errors.extend(invalid(f"{path}[{key}]", key, fault) for fault in faults)
    return errors


def immutable_errors(
    new: JsonObject, old: JsonObject, data_keys: tuple[str, ...]
) -> list[FieldError]:
    """Refuse any change of the data, or of the switch, once `immutable` was set."""
    if not old.get("immutable"):
        return []
    errors: list[FieldError] = []
    if not new.get("immutable"):
        errors.append(forbidden("immutable", IMMUTABLE_TEXT))
    errors.extend(
        forbidden(key, IMMUTABLE_TEXT)
        for key in data_keys
        if (new.get(key) or {}) != (old.get(key) or {})
    )
    return errors


def validate(obj: JsonObject) -> list[FieldError]:
    """Check the keys and the size of a ConfigMap."""
    errors: list[FieldError] = []
    size = 0
    binary = obj.get("binaryData") or {}
    if data := obj.get("data"):
        errors += key_errors(data, "data")
        for key, value in data.items():
            if key in binary:
                text = "duplicate of key present in binaryData"
                errors.append(invalid(f"data[{key}]", key, text))
            size += byte_length(value)
    if binary:
        errors += key_errors(binary, "binaryData")
        size += sum(map(decoded_length, binary.values()))
    if size > DATA_BYTES_MAX:
        # An empty path says that the whole object is meant.
        errors.append(too_long("", DATA_BYTES_MAX))
    return errors


def validate_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check a ConfigMap that is to replace `old`."""
    return immutable_errors(new, old, ("data", "binaryData")) + validate(new)


HOOKS: Final = {"configmaps": TypeHooks(validate_create=validate, validate_update=validate_update)}
