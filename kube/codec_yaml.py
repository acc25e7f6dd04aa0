"""YAML in and out, as upstream turns it into JSON and back (sigs.k8s.io/yaml).

One document is read; further ones are ignored, as upstream ignores them. Keys of any scalar type
become strings, the last of equal keys wins (and is reported to strict callers), merge keys and
aliases are followed within limits. What is written is block style, keys sorted, and reads back as
the same data under YAML 1.1 and 1.2.
"""

from __future__ import annotations

import base64
import math
import re
from io import BytesIO
from typing import Any, Final

import yaml
from yaml._yaml import CEmitter, CParser
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.representer import SafeRepresenter
from yaml.resolver import BaseResolver, Resolver

from kube.json_types import JsonObject
from kube.yaml_scalars import needs_quotes, resolve

_TAG: Final = "tag:yaml.org,2002:"
_PLAIN: Final = "!plain"
_FLOAT_EXACT_MAX: Final = 1 << 63
_NESTING_MARKS: Final = (b"[", b"{", b"- ", b"-\t", b"? ", b"?\t")
_DEPTH_MAX: Final = 250  # what orjson can write again
_NO_FOLDING: Final = 1 << 30
# The Go library's guard against documents that grow when their aliases are followed.
_ALIASED_MIN: Final = 100
_DECODED_MIN: Final = 1000
_SMALL: Final = 400_000
_LARGE: Final = 4_000_000


class YamlError(ValueError):
    """A text is not YAML, or not the kind that JSON could hold; the message is Go's."""


class _Loader(CParser, BaseResolver):
    """Composes nodes; plain scalars carry a tag of their own, to be read by upstream's rules."""

    def __init__(self, stream: bytes) -> None:
        CParser.__init__(self, stream)
        BaseResolver.__init__(self)


_Loader.add_implicit_resolver(_PLAIN, re.compile(""), None)


def decode(body: bytes) -> Any:
    """Return the first document in `body` as plain JSON data; None if there is none.

    Raises:
        YamlError: it is malformed.
    """
    return decode_strict(body)[0]


def decode_strict(body: bytes) -> tuple[Any, str]:
    """Return the first document, and upstream's complaint about duplicate keys, "" if none.

    Raises:
        YamlError: it is malformed.
    """
    try:
        _check_depth(body)
        loader = _Loader(body)
        try:
            node = loader.get_node() if loader.check_node() else None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise YamlError(f"yaml: {_place(error)}{error.problem or error.context}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise YamlError(f"yaml: {getattr(error, 'reason', error)}") from error
    if node is None:
        return None, ""
    converter = _Converter()
    value = converter.convert(node, 0)
    if not converter.duplicates:
        return value, ""
    lines = "\n".join(f"  {text}" for text in converter.duplicates)
    return value, f"yaml: unmarshal errors:\n{lines}"


def _check_depth(body: bytes) -> None:
    """Refuse nesting that composing, which recurses in C, might not survive.

    Raises:
        YamlError: it is too deep.
    """
    if sum(body.count(mark) for mark in _NESTING_MARKS) <= _DEPTH_MAX:
        # Indentation alone would need more bytes a level than a body may have.
        return
    depth = 0
    for event in yaml.parse(body, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            depth += 1
            if depth > _DEPTH_MAX:
                raise YamlError("yaml: exceeded max depth of 10000")
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentEndEvent):
            return


def _place(error: yaml.MarkedYAMLError) -> str:
    """Return the place of an error, counted as the Go library counts."""
    is_scanner = isinstance(error, yaml.scanner.ScannerError)
    for mark in (error.context_mark, error.problem_mark):
        if mark is not None and mark.line:
            return f"line {mark.line + is_scanner}: "
    return ""


class _Converter:
    """Turns nodes into JSON data.

    Invariant: `_open` holds the nodes being converted, so a node that contains itself is seen.
    """

    def __init__(self) -> None:
        self.duplicates: list[str] = []
        self._open: set[int] = set()
        self._done: set[int] = set()
        self._decoded = 0
        self._aliased = 0
        self._alias_depth = 0

    def convert(self, node: Node, depth: int) -> Any:
        """Return a node's value.

        Raises:
            YamlError: it cannot be JSON, or grows beyond bounds.
        """
        key = id(node)
        if key in self._open:
            raise YamlError(f"yaml: anchor at {_line(node)} value contains itself")
        if depth > _DEPTH_MAX:
            raise YamlError("yaml: exceeded max depth")
        is_alias = key in self._done
        self._alias_depth += is_alias
        self._count()
        self._open.add(key)
        try:
            if isinstance(node, MappingNode):
                return self._mapping(node, depth)
            if isinstance(node, SequenceNode):
                return [self.convert(item, depth + 1) for item in node.value]
            return _scalar(node)
        finally:
            self._open.discard(key)
            self._done.add(key)
            self._alias_depth -= is_alias

    def _count(self) -> None:
        self._decoded += 1
        self._aliased += self._alias_depth > 0
        if self._aliased > _ALIASED_MIN and self._decoded > _DECODED_MIN:
            beyond = min(max(self._decoded - _SMALL, 0) / (_LARGE - _SMALL), 1.0)
            if self._aliased / self._decoded > 0.99 - 0.89 * beyond:
                raise YamlError("yaml: document contains excessive aliasing")

    def _mapping(self, node: MappingNode, depth: int) -> JsonObject:
        result: JsonObject = {}
        written: set[str] = set()
        for key_node, value_node in node.value:
            if _is_merge(key_node):
                self._merge(result, value_node, depth)
                continue
            key = _key(key_node)
            if key in written:
                shown = f'key "{key}" already set in map'
                self.duplicates.append(f"{_line(key_node)}: {shown}")
            written.add(key)
            result[key] = self.convert(value_node, depth + 1)
        return result

    def _merge(self, result: JsonObject, node: Node, depth: int) -> None:
        # Of several maps the earlier takes precedence; the whole overrides what stands before it.
        sources = node.value[::-1] if isinstance(node, SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, MappingNode):
                raise YamlError("yaml: map merge requires map or sequence of maps as the value")
            result.update(self.convert(source, depth + 1))


def _line(node: Node) -> str:
    return f"line {node.start_mark.line + 1}"


def _is_merge(node: Node) -> bool:
    if not isinstance(node, ScalarNode) or node.value != "<<":
        return False
    return node.tag in {_PLAIN, f"{_TAG}merge"}


def _key(node: Node) -> str:
    if not isinstance(node, ScalarNode):
        raise YamlError(f"yaml: {_line(node)}: invalid map key")
    value = _scalar(node, is_key=True)
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _float_key(value)
        case _:
            raise YamlError("unsupported map key of type: %!s(<nil>), key: <nil>")


def _float_key(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    return f"{value:g}"


def _scalar(node: Node, *, is_key: bool = False) -> Any:
    text: str = node.value
    if node.tag == _PLAIN:
        value = resolve(text)
        return value if is_key or value.__class__ is not float else _json_number(value)
    name = str(node.tag).removeprefix(_TAG)
    if name == "binary":
        try:
            return base64.b64decode(text, validate=False).decode("utf-8", "replace")
        except ValueError as error:
            raise YamlError("yaml: !!binary value contains invalid base64 data") from error
    if name in {"int", "float", "bool", "null"}:
        return _tagged(name, text)
    return text


def _tagged(name: str, text: str) -> Any:
    value = resolve(text)
    wanted = {"int": int, "float": (int, float), "bool": bool, "null": type(None)}[name]
    is_bool = isinstance(value, bool)
    if not isinstance(value, wanted) or (is_bool and name != "bool"):  # type: ignore[arg-type]
        raise YamlError(f"yaml: cannot decode !!str `{text}` as a !!{name}")
    return _json_number(value) if isinstance(value, float) else value


def _json_number(value: float) -> int | float:
    """Return a float as it comes back from JSON: whole ones are integers there."""
    if not math.isfinite(value):
        shown = "NaN" if math.isnan(value) else f"{'+' if value > 0 else '-'}Inf"
        raise YamlError(f"json: unsupported value: {shown}")
    if value.is_integer() and abs(value) < _FLOAT_EXACT_MAX:
        return int(value)
    return value


class _Dumper(CEmitter, SafeRepresenter, Resolver):
    """Block style with sorted keys; strings are quoted whenever some reader needs it."""

    def __init__(self, stream: BytesIO) -> None:
        CEmitter.__init__(self, stream, width=_NO_FOLDING, allow_unicode=True, encoding="utf-8")
        SafeRepresenter.__init__(self, default_flow_style=False, sort_keys=True)
        Resolver.__init__(self)

    def ignore_aliases(self, _data: Any) -> bool:
        """Write shared values out each time: readers of JSON know no aliases."""
        return True


def _represent_text(dumper: SafeRepresenter, text: str) -> ScalarNode:
    style = None
    if "\n" in text:
        style = "|"
    elif needs_quotes(text):
        style = '"'
    return dumper.represent_scalar(f"{_TAG}str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def encode(obj: Any) -> bytes:
    """Return plain JSON data as one YAML document."""
    stream = BytesIO()
    dumper = _Dumper(stream)
    try:
        dumper.open()
        dumper.represent(obj)
        dumper.close()
    finally:
        dumper.dispose()
    return stream.getvalue()
