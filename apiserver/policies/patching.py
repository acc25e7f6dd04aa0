"""One mutation of a mutating policy: an expression, and what its value does to an object.

Pure. `Object{…}` values are applied as server-side apply would, but nobody comes to own what they
set; lists of `JSONPatch{…}` are JSON patches.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, Final

from apiserver.webhooks.conditions import Compiled, compile_named
from kube.cel.conditions import Activation, Declarations, Result
from kube.cel.errors import CelError, CostExceeded
from kube.cel.library.moments import format_duration, format_timestamp
from kube.cel.values import Duration, Timestamp, Uint
from kube.json_types import JsonObject
from kube.managed.atoms import (
    Shape,
    TypedError,
    is_atomic,
    shape_of,
    type_of_child,
    type_of_items,
)
from kube.managed.merge import merge
from kube.managed.typed import check
from kube.patch import json_patch
from kube.patch.operations import DoesNotApply
from kube.schema.model import Type
from kube.status import StatusError

JSON_PATCH: Final = "JSONPatch"
_TEST_FAILED: Final = "testing value "


class MutationFailed(Exception):
    """An expression failed, or its value does not fit the object; the object is as it was."""


class Mutation:
    """A compiled mutation."""

    def __init__(self, spec: JsonObject, declarations: Declarations) -> None:
        self._is_patch = spec.get("patchType") == JSON_PATCH
        part = spec.get("jsonPatch" if self._is_patch else "applyConfiguration") or {}
        result = Result.PATCHES if self._is_patch else Result.OBJECT
        self._expression: Compiled = compile_named(
            part.get("expression", ""), declarations, result=result
        )

    def apply(self, obj: JsonObject, activation: Activation, type_: Type) -> JsonObject:
        """Return what the mutation makes of an object.

        Args:
            obj: as the policy sees it; left as it is.
            activation: the values of the variables.
            type_: of the object.

        Raises:
            MutationFailed: it cannot be done.
        """
        if self._expression.condition is None:
            raise MutationFailed(self._expression.fault)
        try:
            value = self._expression.evaluate(activation)
        except (CelError, CostExceeded) as error:
            raise MutationFailed(str(error)) from error
        return _patched(obj, value) if self._is_patch else _applied(obj, value, type_)


def _patched(obj: JsonObject, value: Any) -> JsonObject:
    operations = [_plain(one) for one in value]
    for operation in operations:
        if operation.get("from") == "":
            del operation["from"]
    try:
        patched = json_patch(obj, operations)
    except StatusError as error:
        cause = error.__cause__
        if isinstance(cause, DoesNotApply) and str(cause).startswith(_TEST_FAILED):
            return obj  # a patch whose test fails is not applied, and no fault
        raise MutationFailed(f"JSON Patch: {cause or error}") from error
    if not isinstance(patched, dict):
        raise MutationFailed("JSON Patch: the object has become none")
    return patched


def _applied(obj: JsonObject, value: Any, type_: Type) -> JsonObject:
    config = _plain(value)
    if not isinstance(config, dict):
        raise MutationFailed("unsupported return type from ApplyConfiguration expression")
    config |= {key: obj[key] for key in ("kind", "apiVersion") if key in obj}
    try:
        check(type_, config)
        atomics = list(_atomics(type_, config, ""))
        if atomics:
            told = ", ".join(atomics)
            raise MutationFailed(
                "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, "
                f"maps or structs: {told}"
            )
        merged: JsonObject = merge(type_, obj, config)
    except TypedError as error:
        raise MutationFailed(
            f"error applying patch: failed to convert patch object to typed object: {error}"
        ) from error
    return merged


def _atomics(type_: Type, value: Any, path: str) -> Iterator[str]:
    """Yield where a value has lists or maps that could only be replaced as a whole."""
    shape = shape_of(type_, value)
    if shape is Shape.SCALAR:
        return
    if is_atomic(type_, shape):
        yield path
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _atomics(type_of_child(type_, name), item, f"{path}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _atomics(type_of_items(type_), item, f"{path}[{index}]")


def _plain(value: Any) -> Any:
    """Return an expression's value as JSON.

    Raises:
        MutationFailed: JSON has no such value.
    """
    match value:
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case bool() | float() | str() | None:
            return value
        case Uint() | int():
            return int(value)
        case bytes():
            return base64.b64encode(value).decode()
        case Duration():
            return format_duration(value)
        case Timestamp():
            return format_timestamp(value)
        case _:
            kind = type(value).__name__
            raise MutationFailed(f"an expression gave what JSON cannot hold: {kind}")
