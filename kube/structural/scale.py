"""What a definition's scale subresource demands of objects: replicas that are small numbers."""

from __future__ import annotations

from typing import Any, Final

from kube.field import FieldError, go_float, invalid
from kube.json_types import JsonObject

_REPLICAS_MAX: Final = 2**31 - 1
_ABSENT: Final = object()


class _Unreadable(Exception):
    """A value is not where, or not what, the scale says; worded as upstream."""


def spec_errors(obj: JsonObject, scale: JsonObject) -> list[FieldError]:
    """Return what is wrong with the wanted number of replicas."""
    return _replica_errors(obj, scale.get("specReplicasPath") or "")


def status_errors(obj: JsonObject, scale: JsonObject) -> list[FieldError]:
    """Return what is wrong with the reported number of replicas and the selector."""
    errors = _replica_errors(obj, scale.get("statusReplicasPath") or "")
    path = scale.get("labelSelectorPath")
    if path is not None:
        try:
            value = _find(obj, path)
            if value is not _ABSENT and value.__class__ is not str:
                raise _Unreadable(_mismatch(path, value, "string"))
        except _Unreadable as error:
            errors.append(invalid(path, "", str(error)))
    return errors


def _replica_errors(obj: JsonObject, path: str) -> list[FieldError]:
    try:
        count = _find(obj, path)
        if count is _ABSENT:
            return []
        if count.__class__ is not int:
            raise _Unreadable(_mismatch(path, count, "int64"))
    except _Unreadable as error:
        return [invalid(path, 0, str(error))]
    if count < 0:
        return [invalid(path, count, "should be a non-negative integer")]
    if count > _REPLICAS_MAX:
        return [invalid(path, count, f"should be less than or equal to {_REPLICAS_MAX}")]
    return []


def _find(obj: JsonObject, path: str) -> Any:
    names = path.removeprefix(".").split(".")
    value: Any = obj
    for index, name in enumerate(names):
        if value is None:
            return _ABSENT
        if value.__class__ is not dict:
            where = ".".join(names[: index + 1])
            raise _Unreadable(_mismatch(where, value, "map[string]interface{}"))
        if name not in value:
            return _ABSENT
        value = value[name]
    return value


def _mismatch(path: str, value: Any, wanted: str) -> str:
    shown = f".{path.removeprefix('.')}"
    found = f"{_go_print(value)} is of the type {_go_type(value)}"
    return f"{shown} accessor error: {found}, expected {wanted}"


def _go_type(value: Any) -> str:
    names: dict[type, str] = {
        bool: "bool",
        dict: "map[string]interface {}",
        float: "float64",
        int: "int64",
        list: "[]interface {}",
        str: "string",
    }
    return names.get(value.__class__, "<nil>")


def _go_print(value: Any) -> str:
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case dict():
            inside = " ".join(f"{key}:{_go_print(value[key])}" for key in sorted(value))
            return f"map[{inside}]"
        case list():
            return f"[{' '.join(map(_go_print, value))}]"
        case float():
            return go_float(value)
        case _:
            return str(value)
