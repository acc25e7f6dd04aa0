"""The binary Swagger document: wire format, and nothing lost on the way."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from kube.builtin_kinds import builtin_registry
from kube.openapi import OpenApi
from kube.openapi.protobuf import UnknownFieldError, encode_swagger

OPENAPI = OpenApi(builtin_registry())
Message = list[tuple[int, Any]]


def read_varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, place


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield number and value of each field: an independent reading of the wire format."""
    place = 0
    while place < len(data):
        tag, place = read_varint(data, place)
        if tag & 7 == 0:
            value, place = read_varint(data, place)
            yield tag >> 3, value
        elif tag & 7 == 1:
            yield tag >> 3, struct.unpack("<d", data[place : place + 8])[0]
            place += 8
        else:
            assert tag & 7 == 2
            length, place = read_varint(data, place)
            yield tag >> 3, data[place : place + length]
            place += length
            assert place <= len(data)


def first(data: bytes, *numbers: int) -> Any:
    """Return the first value at a path of field numbers."""
    for number in numbers:
        data = next(value for found, value in fields(data) if found == number)
    return data


def encoded_schema(schema: dict[str, Any]) -> bytes:
    found = first(encode_swagger({"definitions": {"x": schema}}), 9, 1, 2)
    assert isinstance(found, bytes)
    return found


def test_short_document_has_the_expected_bytes() -> None:
    encoded = encode_swagger({"swagger": "2.0", "info": {"title": "K", "version": "v1"}})
    assert encoded == b"\x0a\x032.0\x12\x07\x0a\x01K\x12\x02v1"


def test_long_string_has_a_two_byte_length() -> None:
    assert encode_swagger({"swagger": "x" * 300}) == b"\x0a\xac\x02" + b"x" * 300


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"$ref": "#/definitions/a"}, [(1, b"#/definitions/a")]),
        ({"minimum": 1.5}, [(9, 1.5)]),
        ({"maxLength": 63}, [(11, 63)]),
        ({"uniqueItems": True}, [(16, 1)]),
        ({"required": ["a", "b"]}, [(19, b"a"), (19, b"b")]),
        ({"enum": ["a"]}, [(20, b'\x12\x03"a"')]),
        ({"additionalProperties": False}, [(21, b"\x10\x00")]),
        ({"additionalProperties": {"format": "f"}}, [(21, b"\x0a\x03\x12\x01f")]),
        ({"type": "object"}, [(22, b"\x0a\x06object")]),
        ({"items": {"format": "f"}}, [(23, b"\x0a\x03\x12\x01f")]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_schema_keyword_is_written_in_its_field(schema: dict[str, Any], expected: Message) -> None:
    assert list(fields(encoded_schema(schema))) == expected


def test_extension_is_a_named_value_in_yaml() -> None:
    extension = first(encoded_schema({"x-kubernetes-list-map-keys": ["name"]}), 31)
    assert first(extension, 1) == b"x-kubernetes-list-map-keys"
    assert json.loads(first(extension, 2, 2)) == ["name"]


def test_unknown_field_is_refused() -> None:
    with pytest.raises(UnknownFieldError, match="oneOf"):
        encoded_schema({"oneOf": []})


def test_whole_document_has_every_path_and_definition() -> None:
    swagger = json.loads(OPENAPI.v2())
    encoded = OPENAPI.v2_protobuf()
    paths = [first(value, 1).decode() for number, value in fields(first(encoded, 8)) if number == 2]
    assert paths == list(swagger["paths"])
    names = [first(value, 1).decode() for _, value in fields(first(encoded, 9))]
    assert names == list(swagger["definitions"])


def test_patch_operation_carries_its_kind_media_types_and_parameters() -> None:
    wanted = b"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
    items = {
        first(value, 1): first(value, 2) for _, value in fields(first(OPENAPI.v2_protobuf(), 8))
    }
    patch = list(fields(first(items[wanted], 8)))
    consumes = [value for number, value in patch if number == 7]
    assert b"application/strategic-merge-patch+json" in consumes
    extensions = {first(value, 1): first(value, 2, 2) for number, value in patch if number == 13}
    assert json.loads(extensions[b"x-kubernetes-group-version-kind"])["kind"] == "Deployment"
    # ParametersItem > parameter > non-body > query > name, where it is no reference.
    inline = [dict(fields(value)) for number, value in patch if number == 8]
    queries = [
        first(item[1], 2, 3, 4) for item in inline if 1 in item and 2 in dict(fields(item[1]))
    ]
    assert b"fieldValidation" in queries
