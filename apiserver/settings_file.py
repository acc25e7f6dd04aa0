"""The API server's settings as a file of JSON, by the types of their fields.

Every key is required in the file, so that a server and a supervisor of different versions find out
at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from apiserver.settings import ServerSettings

_T = TypeVar("_T")


class SettingsError(ValueError):
    """The settings cannot be understood; the server must not start."""


def read_settings(path: Path) -> ServerSettings:
    """Return the settings in a file.

    Raises:
        SettingsError: it is no JSON object, or keys are missing or unknown.
        OSError: it cannot be read.
    """
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise SettingsError(f"{path} is no JSON: {error}") from error
    return decode_settings(content)


def decode_settings(content: Any) -> ServerSettings:
    """Return the settings in a decoded JSON object; the inverse of `encode_settings`.

    Raises:
        SettingsError: it is no object, or keys are missing or unknown.
    """
    return _decode_part(content, ServerSettings, "settings")


def encode_settings(settings: ServerSettings) -> dict[str, Any]:
    """Return `settings` as a JSON object."""
    content: dict[str, Any] = _encode(settings)
    return content


def _decode_part(content: Any, shape: type[_T], where: str) -> _T:
    if not isinstance(content, dict):
        raise SettingsError(f"{where} must be an object")
    kinds = get_type_hints(shape)
    missing, unknown = kinds.keys() - content.keys(), content.keys() - kinds.keys()
    if missing or unknown:
        raise SettingsError(f"{where}: missing {sorted(missing)}, unknown {sorted(unknown)}")
    return shape(
        **{name: _decode(content[name], kind, f"{where}.{name}") for name, kind in kinds.items()}
    )


def _decode(value: Any, kind: Any, where: str) -> Any:
    """Return what a field of a type holds, given what JSON has of it."""
    if is_dataclass(kind):
        assert isinstance(kind, type)
        return _decode_part(value, kind, where)
    if value is None:
        return None
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Path or (origin is UnionType and Path in arguments):
        return Path(value)
    if origin is tuple:
        return tuple(_decode(one, arguments[0], where) for one in value)
    if origin is Mapping:
        return {key: _decode(one, arguments[1], where) for key, one in value.items()}
    return value


def _encode(value: Any) -> Any:
    if is_dataclass(value):
        return {entry.name: _encode(getattr(value, entry.name)) for entry in fields(value)}
    match value:
        case Path():
            return str(value)
        case tuple():
            return [_encode(one) for one in value]
        case Mapping():
            return {key: _encode(one) for key, one in value.items()}
        case _:
            return value
