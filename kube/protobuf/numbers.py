"""Which protobuf field holds which JSON field, and which definition a kind has.

Numbers come from our facts, kinds from the installed definitions; types stand in `kube.schema`.
Both tables are made on first use and kept on disk. Invariant: a field of the schema without a
number is one that upstream's messages of this version lack; it is neither read nor written.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import orjson

from kube import disk_cache, facts
from kube.builtin_kinds import definitions_file, source_files
from kube.kinds import join_group_version

_PREFIX: Final = "io.k8s."
_DELETE_OPTIONS: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
_Numbers = dict[str, dict[str, tuple[int, ...]]]
_Kinds = dict[tuple[str, str], str]


@cache
def _tables() -> tuple[_Kinds, _Numbers]:
    key = disk_cache.fingerprint([*source_files(), Path(__file__)])
    kinds, numbers = disk_cache.load_or_build("protobuf", key, _build)
    return kinds, numbers


def _build() -> tuple[_Kinds, _Numbers]:
    numbers: _Numbers = {}
    for name, tokens in facts.rows("protobuf_fields.tsv"):
        fields = numbers[_PREFIX + name] = {}
        for token in tokens.split(" "):
            field, _, path = token.partition(":")
            fields[field] = tuple(map(int, path.split(".")))
    kinds: _Kinds = {}
    definitions = orjson.loads(definitions_file().read_bytes())["$defs"]
    for name, definition in definitions.items():
        for owner in definition.get("x-kubernetes-group-version-kind", ()):
            api_version = join_group_version(owner["group"], owner["version"])
            kinds[api_version, owner["kind"]] = name
    return kinds, numbers


def definition_of(api_version: str, kind: str) -> str | None:
    """Return the definition of a kind, lists and options included; None if there is none."""
    if kind == "DeleteOptions":
        return _DELETE_OPTIONS  # upstream takes them under any group's name
    return _tables()[0].get((api_version, kind))


def numbers_of(definition: str) -> dict[str, tuple[int, ...]]:
    """Return the paths of field numbers by JSON name; none for messages without fields."""
    return _tables()[1].get(definition, {})
