"""The configuration as text for people, made from the models: nothing here repeats a setting."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import yaml
from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from journal.nats_options import public_address
from ultraplane.config import Config, default_data_dir
from ultraplane.config_reader import Key, keys, sections
from ultraplane.sections import Section

_WIDTH = 96


class KeyDoc(NamedTuple):
    """One setting, as people read it."""

    name: str
    type: str
    default: str
    doc: str


def key_docs() -> list[KeyDoc]:
    """Return every setting with its type and limits, default and meaning."""
    return [
        KeyDoc(
            key.name,
            _type_text(key.field),
            _inline(_default(key)),
            key.field.description or "",
        )
        for key in keys()
    ]


def example_file() -> str:
    """Return a YAML file with every key: its meaning, and its default commented out."""
    lines = [
        "# Configuration of Ultraplane: ultraplane up --config FILE",
        "# What is commented out is the default. Each key is also a variable: server.port is",
        "# ULTRAPLANE_SERVER__PORT.",
    ]
    for section, model in sections():
        indent = ""
        if section:
            doc = (model.__doc__ or "").strip()
            lines += ["", f"# {doc}", f"{section}:"]
            indent = "  "
        for key in keys():
            owner, _, name = key.name.rpartition(".")
            if owner == section:
                lines += ["", *_example_key(name, key, indent)]
    return "\n".join(lines) + "\n"


def effective_file(config: Config) -> str:
    """Return `config` as a YAML file."""
    content = config.model_dump(mode="json")
    content["memory_dir"] = str(config.memory_path)
    content["journal"]["address"] = public_address(config.journal_address)
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return text


def _example_key(name: str, key: Key, indent: str) -> Iterator[str]:
    text = f"{key.field.description} ({_type_text(key.field)})"
    for line in textwrap.wrap(text, _WIDTH - len(indent) - 2):
        yield f"{indent}# {line}"
    yield f"{indent}#{name}: {_inline(_default(key))}"


def _default(key: Key) -> Any:
    if key.name == "data_dir":
        home = str(Path.home())
        return str(default_data_dir()).replace(home, "~", 1)
    value = key.field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, dict):
        return {
            name: list(item) if isinstance(item, tuple) else item for name, item in value.items()
        }
    return list(value) if isinstance(value, tuple) else value


def _inline(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=1_000_000)
    return text.removesuffix("...\n").strip()


def _type_text(field: FieldInfo) -> str:
    name = _annotation_text(field.annotation)
    limits = _limits(field.metadata)
    return f"{name} {limits}" if limits else name


def _annotation_text(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    match annotation:
        case _ if origin is Literal:
            return " | ".join(str(argument) for argument in arguments)
        case _ if origin in (Union, UnionType):
            return " | ".join(_annotation_text(argument) for argument in arguments)
        case _ if origin is tuple:
            return f"list of {_annotation_text(arguments[0])}"
        case _ if origin is dict:
            return f"map of {_annotation_text(arguments[1])}"
        case _ if hasattr(annotation, "__metadata__"):
            name = _annotation_text(annotation.__origin__)
            limits = _limits(_flat(annotation.__metadata__))
            return f"{name} {limits}" if limits else name
        case _ if annotation is NoneType:
            return "null"
    names = {bool: "true | false", str: "text", int: "integer", float: "number", Path: "path"}
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "settings"
    return names[annotation]


def _flat(metadata: tuple[Any, ...]) -> list[Any]:
    return [
        inner
        for item in metadata
        for inner in (item.metadata if isinstance(item, FieldInfo) else [item])
    ]


def _limits(metadata: list[Any]) -> str:
    low = next((item.ge for item in metadata if isinstance(item, Ge)), None)
    above = next((item.gt for item in metadata if isinstance(item, Gt)), None)
    high = next((item.le for item in metadata if isinstance(item, Le)), None)
    parts = []
    if low is not None:
        parts.append(f"≥ {low}")
    if above is not None:
        parts.append(f"> {above}")
    if high is not None:
        parts.append(f"≤ {high}")
    return ", ".join(parts)
