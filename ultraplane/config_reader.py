"""From files, environment and flags to one checked `Config`.

Later layers win: defaults, the file, `ULTRAPLANE_*` variables, flags. All mistakes are reported,
each with its place and what to write instead; nothing unknown is passed over.
Variables are named by their key: ULTRAPLANE_DATA_DIR, ULTRAPLANE_SERVER__PORT.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from ultraplane.config import Config
from ultraplane.errors import UserError

ENVIRONMENT_PREFIX: Final = "ULTRAPLANE_"
CONFIG_VARIABLE: Final = "ULTRAPLANE_CONFIG"


class ConfigError(UserError):
    """The configuration is wrong; the message has a line for each mistake. Nothing was started."""


class Key(NamedTuple):
    """One setting: its dotted name and its description."""

    name: str
    field: FieldInfo


class _Layer(NamedTuple):
    source: str
    values: dict[str, Any]


def sections() -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the sections' names and models, the top level ("") first."""
    yield "", Config
    for name, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield name, field.annotation


def keys() -> list[Key]:
    """Return every setting, by section."""
    models = dict(sections())
    return [
        Key(f"{section}.{name}" if section else name, field)
        for section, model in models.items()
        for name, field in model.model_fields.items()
        if section or name not in models
    ]


def load_config(
    file: Path | None, environment: Mapping[str, str], flags: Mapping[str, Any]
) -> Config:
    """Return the configuration.

    Args:
        file: a YAML file; None looks for the variable ULTRAPLANE_CONFIG.
        environment: variables; those not beginning with ULTRAPLANE_ are passed over.
        flags: values by dotted key; those that are None were not given.

    Raises:
        ConfigError: the file cannot be read, or a key or value is wrong.
    """
    if file is None and environment.get(CONFIG_VARIABLE):
        file = Path(environment[CONFIG_VARIABLE]).expanduser()
    layers = [] if file is None else [_read_file(file)]
    faults: list[str] = []
    layers += _read_environment(environment, faults)
    layers += [
        _Layer("flag", _nested(name, value)) for name, value in flags.items() if value is not None
    ]
    for layer in layers:
        faults += _unknown_keys(layer)
    if faults:
        raise ConfigError("\n".join(faults))
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for layer in layers:
        _merge(merged, layer, origin)
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise ConfigError("\n".join(_describe(error, origin))) from error


def _read_file(path: Path) -> _Layer:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is no YAML: {error}") from error
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must hold keys and values, as `ultraplane config --example`")
    return _Layer(str(path), content)


def _read_environment(environment: Mapping[str, str], faults: list[str]) -> list[_Layer]:
    layers = []
    for variable, text in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable == CONFIG_VARIABLE:
            continue
        name = variable.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")
        value: Any = text
        # Numbers and booleans are read from text as they are; only what has parts needs parsing.
        if text[:1] in ("{", "[") or text in ("null", ""):
            try:
                value = yaml.safe_load(text)
            except yaml.YAMLError as error:
                faults.append(f"{variable}: is no YAML: {error}")
                continue
        layers.append(_Layer(variable, _nested(name, value)))
    return layers


def _nested(name: str, value: Any) -> dict[str, Any]:
    for part in reversed(name.split(".")):
        value = {part: value}
    result: dict[str, Any] = value
    return result


def _unknown_keys(layer: _Layer) -> list[str]:
    faults = []
    models = dict(sections())
    top = {key for key in models if key} | Config.model_fields.keys()
    for name, value in layer.values.items():
        if name not in top:
            faults.append(f"{layer.source}: unknown key {name}{_nearest(str(name))}")
        elif name in models:
            if value is None:
                continue
            if not isinstance(value, dict):
                faults.append(f"{layer.source}: {name} is a section: it must hold keys")
                continue
            faults += [
                f"{layer.source}: unknown key {name}.{inner}{_nearest(f'{name}.{inner}')}"
                for inner in value
                if inner not in models[name].model_fields
            ]
    return faults


def _nearest(name: str) -> str:
    names = [key.name for key in keys()]
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if not found:
        # The right key in the wrong section, or none: `port` for `server.port`.
        last = name.rpartition(".")[2]
        by_last = {known.rpartition(".")[2]: known for known in names}
        found = [by_last[key] for key in difflib.get_close_matches(last, by_last, n=1, cutoff=0.7)]
    return f"; did you mean {found[0]}?" if found else "; `ultraplane config` lists all keys"


def _merge(merged: dict[str, Any], layer: _Layer, origin: dict[str, str]) -> None:
    models = dict(sections())
    for name, value in layer.values.items():
        if name in models:
            section = merged.setdefault(name, {})
            for inner, item in (value or {}).items():
                section[inner] = item
                origin[f"{name}.{inner}"] = layer.source
        else:
            merged[name] = value
            origin[name] = layer.source


def _describe(error: ValidationError, origin: Mapping[str, str]) -> Iterator[str]:
    for fault in error.errors(include_url=False, include_context=False):
        path = [str(part) for part in fault["loc"]]
        name = ".".join(path[:2]) if path[:1] and path[0] in dict(sections()) else path[0]
        source = origin.get(name)
        if source is None:
            # A rule between several keys of a section belongs to whoever set one of them.
            source = next((origin[key] for key in origin if key.startswith(f"{name}.")), "")
        message = fault["msg"].removeprefix("Value error, ")
        given = fault["input"]
        suffix = "" if isinstance(given, dict | BaseModel) else f", not {given!r}"
        yield f"{source}: {'.'.join(path)}: {message}{suffix}".removeprefix(": ")
