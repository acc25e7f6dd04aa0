"""A Swagger 2.0 document in sections, one for each group and version, that are encoded once.

A document is hundreds of paths and definitions, of which a new custom type changes a handful. So a
section keeps its own encoded, and the document is those of all sections joined: what did not
change is copied as bytes.

    section: {"/apis/x.io/v1/knobs": b'"/apis/...":{...}'}, definitions and parameters likewise
    document = head + paths of all sections + definitions, each once + parameters, each once

Two forms of it exist: JSON, and the binary one (`kube.openapi.protobuf`).

Those of built-in types are kept on disk (`kube.disk_cache`): to make them takes 0.1 s.

Invariants: a section is never changed; built-in definitions are encoded once for all sections.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from kube.json_types import JsonObject
from kube.openapi import protobuf
from kube.openapi.definitions import V2, direct_references, load_definitions, render_definition
from kube.openapi.operations import PathItem
from kube.openapi.rendering import roots_of, swagger_frame, swagger_path

Encode = Callable[[str, Any], bytes]


@dataclass(frozen=True, slots=True)
class Form:
    """How a document is written down.

    Attributes:
        name: of the form.
        path, definition, parameter: encode one, with its name.
        join: makes a document of encoded paths, definitions and parameters.
    """

    name: str
    path: Encode
    definition: Encode
    parameter: Encode
    join: Callable[[Iterable[bytes], Iterable[bytes], Iterable[bytes]], bytes]


@dataclass(frozen=True, slots=True)
class Section:
    """What one group and version adds to a document: encoded, by name."""

    paths: dict[str, bytes] = field(default_factory=dict)
    definitions: dict[str, bytes] = field(default_factory=dict)
    parameters: dict[str, bytes] = field(default_factory=dict)


def joined(sections: Iterable[Section], form: Form) -> bytes:
    """Return the document of these sections; of what has one name, the first counts."""
    whole = Section()
    for section in sections:
        for part, added in (
            (whole.paths, section.paths),
            (whole.definitions, section.definitions),
            (whole.parameters, section.parameters),
        ):
            for name, encoded in added.items():
                part.setdefault(name, encoded)
    definitions = (whole.definitions[name] for name in sorted(whole.definitions))
    return form.join(whole.paths.values(), definitions, whole.parameters.values())


def encoded(spec: Mapping[str, JsonObject], form: Form) -> Section:
    """Return the section of a Swagger document's paths, definitions and parameters.

    Raises:
        protobuf.UnknownFieldError: it has something that the binary form has no place for.
    """
    return Section(
        {name: form.path(name, item) for name, item in spec["paths"].items()},
        {name: form.definition(name, item) for name, item in spec["definitions"].items()},
        {name: form.parameter(name, item) for name, item in spec.get("parameters", {}).items()},
    )


@dataclass(frozen=True, slots=True)
class Builtin:
    """What is there of built-in types before anything is made, in one form.

    Attributes:
        references: which definitions each one refers to.
        definitions: encoded, by name.
        sections: by their keys.
    """

    references: Mapping[str, tuple[str, ...]]
    definitions: dict[str, bytes] = field(default_factory=dict)
    sections: dict[str, Section] = field(default_factory=dict)

    def packed(self) -> Any:
        """Return it as what `marshal` holds; `unpacked` takes it."""
        sections = {
            key: (section.paths, tuple(section.definitions), section.parameters)
            for key, section in self.sections.items()
        }
        return dict(self.references), self.definitions, sections


def unpacked(value: Any) -> Builtin:
    """Return what was packed."""
    references, definitions, packed = value
    sections = {
        key: Section(paths, {name: definitions[name] for name in names}, parameters)
        for key, (paths, names, parameters) in packed.items()
    }
    return Builtin(references, definitions, sections)


def nothing_made() -> Builtin:
    """Return what is there where all has to be made."""
    stored = load_definitions()
    references = {name: tuple(dict.fromkeys(direct_references(stored[name]))) for name in stored}
    return Builtin(references)


class Sections:
    """Makes sections of one form, and keeps those that are still of use.

    Attributes:
        form: theirs.
    """

    def __init__(self, form: Form, builtin: Callable[[Form], Builtin]) -> None:
        """Begin with what `builtin` gives, once it is needed."""
        self.form = form
        self._ask = builtin
        self._builtin: Builtin | None = None
        self._made: dict[str, Section] = {}

    def builtin(self) -> Builtin:
        """Return what is known of built-in types."""
        if self._builtin is None:
            self._builtin = self._ask(self.form)
        return self._builtin

    def keep_only(self, keys: Collection[str]) -> None:
        """Forget all but these."""
        self._made = {key: section for key, section in self._made.items() if key in keys}

    def of(
        self,
        key: str,
        items: Callable[[], Iterable[PathItem]],
        custom: Callable[[], Mapping[str, JsonObject]],
    ) -> Section:
        """Return a section.

        Args:
            key: the same key means the same section.
            items: gives its paths.
            custom: gives the stored definitions that are not built in.
        """
        section = self._made.get(key)
        if section is None:
            section = self.builtin().sections.get(key) or self._section(list(items()), custom())
            self._made[key] = section
        return section

    def _section(self, items: list[PathItem], custom: Mapping[str, JsonObject]) -> Section:
        form = self.form
        parameters: dict[str, JsonObject] = {}
        paths = {item.path: form.path(item.path, swagger_path(item, parameters)) for item in items}
        return Section(
            paths,
            self._definitions(roots_of(items), custom),
            {name: form.parameter(name, shown) for name, shown in parameters.items()},
        )

    def _definitions(
        self, roots: Iterable[str], custom: Mapping[str, JsonObject]
    ) -> dict[str, bytes]:
        """Return all definitions that the roots need, encoded."""
        found: dict[str, bytes] = {}
        waiting, builtin, stored = list(roots), self.builtin(), None
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            if name in custom:
                found[name] = self._encode(name, custom[name])
                waiting.extend(direct_references(custom[name]))
            elif name in builtin.references:
                waiting.extend(builtin.references[name])
                shown = builtin.definitions.get(name)
                if shown is None:
                    stored = stored or load_definitions()
                    shown = builtin.definitions[name] = self._encode(name, stored[name])
                found[name] = shown
        return found

    def _encode(self, name: str, schema: JsonObject) -> bytes:
        return self.form.definition(name, render_definition(name, schema, V2))


def _json_member(name: str, value: Any) -> bytes:
    return orjson.dumps(name) + b":" + orjson.dumps(value)


def _join_json(
    paths: Iterable[bytes], definitions: Iterable[bytes], parameters: Iterable[bytes]
) -> bytes:
    head, tail = swagger_frame()
    parts = [orjson.dumps(head)[:-1]]
    for name, members in (
        (b"paths", paths),
        (b"definitions", definitions),
        (b"parameters", parameters),
    ):
        parts += (b',"', name, b'":{', b",".join(members), b"}")
    return b"".join((*parts, b",", orjson.dumps(tail)[1:]))


def _join_protobuf(
    paths: Iterable[bytes], definitions: Iterable[bytes], parameters: Iterable[bytes]
) -> bytes:
    head, tail = swagger_frame()
    pairs = {"paths": paths, "definitions": definitions, "parameters": parameters}
    return protobuf.encode_frame(head, pairs, tail)


JSON_FORM: Final = Form("json", _json_member, _json_member, _json_member, _join_json)
PROTOBUF_FORM: Final = Form(
    "protobuf",
    protobuf.encode_path,
    protobuf.encode_definition,
    protobuf.encode_parameter,
    _join_protobuf,
)
