"""The binary form of Swagger 2.0 documents: gnostic's `openapi.v2.Document` in protocol buffers.

client-go's `OpenAPISchema` accepts nothing else, and with it older kubectl, Helm, Argo CD and
`kubectl explain --output plaintext-openapiv2`. Tables give each message's fields; one function
writes any message. Only what `kube.openapi` produces is covered: anything else is an error, never
silently left out.

Wire format: a field is the varint `number << 3 | type`, then for type 0 a varint, for type 1 a
little-endian double, for type 2 a varint length and that many bytes. Messages nest as bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import orjson

from kube.json_types import JsonObject

Encoder = Callable[[int, Any], bytes]
Fields = Mapping[str, tuple[int, Encoder]]
_VARINT: Final = 0
_DOUBLE: Final = 1
_BYTES: Final = 2
_ONE_BYTE_VARINTS: Final = [bytes((number,)) for number in range(128)]


class UnknownFieldError(ValueError):
    """The document has a field that the tables do not; the tables must learn it."""


def encode_swagger(document: JsonObject) -> bytes:
    """Return a Swagger 2.0 document in its binary form."""
    return _message(_DOCUMENT, document)


def encode_path(name: str, item: JsonObject) -> bytes:
    """Return a path as it stands among a document's paths."""
    return _pair(2, name, _of(lambda: _PATH_ITEM)(2, item))


def encode_definition(name: str, schema: JsonObject) -> bytes:
    """Return a definition as it stands among a document's definitions."""
    return _pair(1, name, _schema(2, schema))


def encode_parameter(name: str, parameter: JsonObject) -> bytes:
    """Return a parameter as it stands among a document's parameters."""
    return _pair(1, name, _parameter(2, parameter))


def encode_frame(head: JsonObject, parts: Mapping[str, Iterable[bytes]], tail: JsonObject) -> bytes:
    """Return a document, given what of it is encoded already.

    Args:
        head, tail: members of the document.
        parts: encoded paths, definitions and parameters by the names of these members.
    """
    known = (_bytes(_DOCUMENT[name][0], b"".join(pairs)) for name, pairs in parts.items())
    return b"".join((encode_swagger(head), *known, encode_swagger(tail)))


def _pair(number: int, name: str, value: bytes) -> bytes:
    """Return an entry of a map in the field `number`; the value is encoded as field 2."""
    return _bytes(number, _string(1, name) + value)


def _varint(number: int) -> bytes:
    if number < 128:
        return _ONE_BYTE_VARINTS[number]
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _bytes(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(payload)) + payload


def _string(number: int, value: str) -> bytes:
    return _bytes(number, value.encode())


def _bool(number: int, value: bool) -> bytes:  # noqa: FBT001 - a value like any other here
    return _varint(number << 3 | _VARINT) + (b"\1" if value else b"\0")


def _integer(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value & (1 << 64) - 1)


def _double(number: int, value: float) -> bytes:
    return _varint(number << 3 | _DOUBLE) + struct.pack("<d", value)


def _any(number: int, value: Any) -> bytes:
    # An Any carries YAML text, which JSON is.
    return _bytes(number, _string(2, orjson.dumps(value).decode()))


def _repeated(encode: Encoder) -> Encoder:
    return lambda number, values: b"".join(encode(number, value) for value in values)


def _wrapped(inner: int, encode: Encoder) -> Encoder:
    """Return an encoder of a message whose only field `inner` holds the value."""
    return lambda number, value: _bytes(number, encode(inner, value))


def _strings(number: int, values: list[str]) -> bytes:
    return b"".join(_string(number, value) for value in values)


def _named(inner: int, encode: Encoder) -> Encoder:
    """Return an encoder of maps: a message of repeated name-value pairs in the field `inner`."""

    def encode_map(number: int, values: JsonObject) -> bytes:
        pairs = (_pair(inner, name, encode(2, value)) for name, value in values.items())
        return _bytes(number, b"".join(pairs))

    return encode_map


def _of(fields: Callable[[], Fields]) -> Encoder:
    """Return an encoder of messages; the table comes late, since messages contain each other."""
    return lambda number, value: _bytes(number, _message(fields(), value))


def _message(fields: Fields, value: JsonObject) -> bytes:
    """Return the fields of a message; keys with `x-` go to its vendor extensions."""
    parts = []
    for key, content in value.items():
        if key in fields:
            number, encode = fields[key]
            parts.append(encode(number, content))
        elif key.startswith("x-") and "x-" in fields:
            extensions = fields["x-"][0]
            parts.append(_bytes(extensions, _string(1, key) + _any(2, content)))
        else:
            raise UnknownFieldError(f"no field for {key!r} in {sorted(value)}")
    return b"".join(parts)


def _additional_properties(number: int, value: Any) -> bytes:
    if isinstance(value, bool):
        return _bytes(number, _bool(2, value))
    return _bytes(number, _schema(1, value))


def _type_item(number: int, value: str) -> bytes:
    return _bytes(number, _string(1, value))


def _parameter_item(number: int, value: JsonObject) -> bytes:
    """Encode an operation's parameter: one of a parameter and a reference."""
    if "$ref" in value:
        return _bytes(number, _bytes(2, _message(_REFERENCE, value)))
    return _bytes(number, _parameter(1, value))


def _parameter(number: int, value: JsonObject) -> bytes:
    place = value["in"]
    if place == "body":
        return _bytes(number, _bytes(1, _message(_BODY_PARAMETER, value)))
    which, fields = _NON_BODY[place]
    return _bytes(number, _bytes(2, _bytes(which, _message(fields, value))))


_schema: Final = _of(lambda: _SCHEMA)
_EXTENSIONS: Final = _any
_SCHEMA: Final[Fields] = {
    "$ref": (1, _string),
    "format": (2, _string),
    "title": (3, _string),
    "description": (4, _string),
    "default": (5, _any),
    "multipleOf": (6, _double),
    "maximum": (7, _double),
    "exclusiveMaximum": (8, _bool),
    "minimum": (9, _double),
    "exclusiveMinimum": (10, _bool),
    "maxLength": (11, _integer),
    "minLength": (12, _integer),
    "pattern": (13, _string),
    "maxItems": (14, _integer),
    "minItems": (15, _integer),
    "uniqueItems": (16, _bool),
    "maxProperties": (17, _integer),
    "minProperties": (18, _integer),
    "required": (19, _strings),
    "enum": (20, _repeated(_any)),
    "additionalProperties": (21, _additional_properties),
    "type": (22, _type_item),
    "items": (23, _wrapped(1, _schema)),
    "allOf": (24, _repeated(_schema)),
    "properties": (25, _named(1, _schema)),
    "x-": (31, _EXTENSIONS),
}
_REFERENCE: Final[Fields] = {"$ref": (1, _string), "description": (2, _string)}
_BODY_PARAMETER: Final[Fields] = {
    "description": (1, _string),
    "name": (2, _string),
    "in": (3, _string),
    "required": (4, _bool),
    "schema": (5, _schema),
}
_NON_BODY: Final[dict[str, tuple[int, Fields]]] = {
    "query": (
        3,
        {
            "required": (1, _bool),
            "in": (2, _string),
            "description": (3, _string),
            "name": (4, _string),
            "type": (6, _string),
            "uniqueItems": (20, _bool),
        },
    ),
    "path": (
        4,
        {
            "required": (1, _bool),
            "in": (2, _string),
            "description": (3, _string),
            "name": (4, _string),
            "type": (5, _string),
            "uniqueItems": (19, _bool),
        },
    ),
}
_RESPONSE: Final[Fields] = {
    "description": (1, _string),
    "schema": (2, _wrapped(1, _schema)),
}
_OPERATION: Final[Fields] = {
    "tags": (1, _strings),
    "description": (3, _string),
    "operationId": (5, _string),
    "produces": (6, _strings),
    "consumes": (7, _strings),
    "parameters": (8, _repeated(_parameter_item)),
    "responses": (9, _named(1, _wrapped(1, _of(lambda: _RESPONSE)))),
    "schemes": (10, _strings),
    "x-": (13, _EXTENSIONS),
}
_operation: Final = _of(lambda: _OPERATION)
_PATH_ITEM: Final[Fields] = {
    "get": (2, _operation),
    "put": (3, _operation),
    "post": (4, _operation),
    "delete": (5, _operation),
    "options": (6, _operation),
    "head": (7, _operation),
    "patch": (8, _operation),
    "parameters": (9, _repeated(_parameter_item)),
}
_INFO: Final[Fields] = {"title": (1, _string), "version": (2, _string)}
_API_KEY: Final[Fields] = {
    "type": (1, _string),
    "name": (2, _string),
    "in": (3, _string),
    "description": (4, _string),
}
_DOCUMENT: Final[Fields] = {
    "swagger": (1, _string),
    "info": (2, _of(lambda: _INFO)),
    "paths": (8, _named(2, _of(lambda: _PATH_ITEM))),
    "definitions": (9, _named(1, _schema)),
    "parameters": (10, _named(1, _parameter)),
    "security": (12, _repeated(_named(1, _wrapped(1, _strings)))),
    "securityDefinitions": (13, _named(1, _wrapped(2, _of(lambda: _API_KEY)))),
}
