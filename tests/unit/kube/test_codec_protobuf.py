"""Protobuf bodies: what is read and what is refused."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from kube import codec_protobuf
from kube.protobuf.reader import DEPTH_MAX
from kube.protobuf.wire import encode_tag, encode_varint

CRD = "apiextensions.k8s.io/v1"


def delimited(number: int, payload: bytes | str) -> bytes:
    data = payload.encode() if isinstance(payload, str) else payload
    return encode_tag(number, 2) + encode_varint(len(data)) + data


def number(field: int, value: int) -> bytes:
    return encode_tag(field, 0) + encode_varint(value)


def envelope(kind: str, raw: bytes, api_version: str = "v1") -> bytes:
    type_meta = delimited(1, api_version) + delimited(2, kind)
    return b"k8s\0" + delimited(1, type_meta) + delimited(2, raw)


def read(kind: str, raw: bytes, api_version: str = "v1") -> dict[str, Any]:
    obj = codec_protobuf.decode(envelope(kind, raw, api_version))
    assert (obj.pop("apiVersion"), obj.pop("kind")) == (api_version, kind)
    return obj


def test_a_config_map_reads_as_its_json_equivalent() -> None:
    metadata = delimited(1, "a") + delimited(3, "default") + delimited(8, b"")
    raw = delimited(1, metadata)
    raw += delimited(2, delimited(1, "key") + delimited(2, "ü"))
    raw += delimited(3, delimited(1, "bin") + delimited(2, b"\x00\xff"))
    assert codec_protobuf.decode(envelope("ConfigMap", raw)) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "default", "creationTimestamp": None},
        "data": {"key": "ü"},
        "binaryData": {"bin": "AP8="},
    }


def test_absent_fields_are_absent_and_zeros_on_the_wire_are_kept() -> None:
    assert read("ConfigMap", b"") == {}
    raw = delimited(2, number(1, 0))
    assert read("Scale", raw, "autoscaling/v1") == {"spec": {"replicas": 0}}


def test_fields_of_inlined_messages_stand_in_the_object_around_them() -> None:
    handler = delimited(2, delimited(1, "/") + delimited(2, number(1, 1) + delimited(3, "web")))
    probe = delimited(1, handler) + number(4, 10)
    container = delimited(1, "c") + delimited(10, probe)
    volume = delimited(1, "v") + delimited(2, delimited(2, b""))
    got = read("Pod", delimited(2, delimited(1, volume) + delimited(2, container)))
    assert got["spec"] == {
        "volumes": [{"name": "v", "emptyDir": {}}],
        "containers": [
            {
                "name": "c",
                "livenessProbe": {"httpGet": {"path": "/", "port": "web"}, "periodSeconds": 10},
            }
        ],
    }


@pytest.mark.parametrize(
    ("seconds", "nanos", "text"),
    [
        (0, 0, "1970-01-01T00:00:00Z"),
        (1767322984, 999, "2026-01-02T03:03:04Z"),
        (-30000000000, 0, "1019-05-04T18:40:00Z"),
        (-62135596800, 0, None),
    ],
)
def test_times_are_in_whole_seconds(seconds: int, nanos: int, text: str | None) -> None:
    time = number(1, seconds) + number(2, nanos)
    got = read("ConfigMap", delimited(1, delimited(8, time)))
    assert got["metadata"] == {"creationTimestamp": text}


def test_micro_times_have_six_decimals() -> None:
    spec = delimited(3, number(1, 1767322984) + number(2, 6_999))
    got = read("Lease", delimited(2, spec), "coordination.k8s.io/v1")
    assert got["spec"] == {"acquireTime": "2026-01-02T03:03:04.000006Z"}


def test_a_time_beyond_the_calendar_is_refused() -> None:
    raw = delimited(1, delimited(8, number(1, 2**62)))
    with pytest.raises(ValueError, match="year outside of range"):
        read("ConfigMap", raw)


def test_numbers_or_texts_read_by_their_type() -> None:
    port = number(3, 80) + delimited(4, number(1, 0) + number(2, 8080) + delimited(3, ""))
    got = read("Service", delimited(2, delimited(1, port)))
    assert got["spec"]["ports"] == [{"port": 80, "targetPort": 8080}]
    with pytest.raises(ValueError, match=r"impossible IntOrString\.Type"):
        read("Service", delimited(2, delimited(1, delimited(4, number(1, 7)))))


def test_negative_numbers_keep_their_sign_and_32_bit_ones_their_low_bits() -> None:
    scale = delimited(2, number(1, -1))
    assert read("Scale", scale, "autoscaling/v1")["spec"] == {"replicas": -1}
    scale = delimited(2, number(1, 2**32 + 5))
    assert read("Scale", scale, "autoscaling/v1")["spec"] == {"replicas": 5}
    assert read("DeleteOptions", number(1, -1)) == {"gracePeriodSeconds": -1}


@pytest.mark.parametrize("api_version", ["v1", "apps/v1", "meta.k8s.io/v1", "example.com/v2"])
def test_delete_options_belong_to_every_group(api_version: str) -> None:
    raw = number(1, 0) + number(3, 1) + delimited(2, delimited(1, "uid"))
    got = read("DeleteOptions", raw, api_version)
    want = {"gracePeriodSeconds": 0, "orphanDependents": True, "preconditions": {"uid": "uid"}}
    assert got == want


def test_quantities_read_as_their_text_and_absent_ones_in_maps_as_zero() -> None:
    hard = delimited(1, "cpu") + delimited(2, delimited(1, "500m"))
    raw = delimited(2, delimited(1, hard) + delimited(1, delimited(1, "pods")))
    assert read("ResourceQuota", raw)["spec"] == {"hard": {"cpu": "500m", "pods": "0"}}


def test_lists_in_maps_are_unwrapped() -> None:
    spec = delimited(5, delimited(1, "scopes") + delimited(2, delimited(1, "a") + delimited(1, "")))
    got = read("SubjectAccessReview", delimited(2, spec), "authorization.k8s.io/v1")
    assert got["spec"] == {"extra": {"scopes": ["a", ""]}}


def test_raw_json_is_parsed() -> None:
    raw = delimited(2, delimited(1, '{"a":[1,null]}')) + number(3, 4)
    got = read("ControllerRevision", raw, "apps/v1")
    assert got == {"data": {"a": [1, None]}, "revision": 4}
    with pytest.raises(ValueError, match="unexpected"):
        read("ControllerRevision", delimited(2, delimited(1, "{")), "apps/v1")


def schema_body(schema: bytes) -> bytes:
    version = delimited(7, delimited(4, delimited(1, schema)))
    return envelope("CustomResourceDefinition", delimited(2, version), CRD)


def read_schema(schema: bytes) -> dict[str, Any]:
    obj = codec_protobuf.decode(schema_body(schema))
    schema_object: dict[str, Any] = obj["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema_object


def test_places_for_a_schema_or_something_else_read_as_what_is_there() -> None:
    inner = delimited(5, "string")
    schema = delimited(24, delimited(2, inner) + delimited(2, inner))
    schema += delimited(30, number(1, 1) + delimited(2, inner))
    schema += delimited(33, number(1, 1))
    schema += delimited(32, delimited(1, "x") + delimited(2, delimited(2, "y")))
    schema += encode_tag(9, 1) + struct.pack("<d", 1.5)
    assert read_schema(schema) == {
        "items": [{"type": "string"}, {"type": "string"}],
        "additionalProperties": {"type": "string"},
        "additionalItems": True,
        "dependencies": {"x": ["y"]},
        "maximum": 1.5,
    }
    assert read_schema(delimited(24, delimited(1, inner))) == {"items": {"type": "string"}}
    assert read_schema(delimited(33, b"")) == {"additionalItems": False}


def test_numbers_that_json_lacks_are_refused() -> None:
    body = schema_body(encode_tag(9, 1) + struct.pack("<d", float("nan")))
    with pytest.raises(ValueError, match="unsupported value: nan"):
        codec_protobuf.decode(body)


def test_repeated_numbers_may_be_packed() -> None:
    context = number(4, 1) + delimited(4, encode_varint(300) + encode_varint(2))
    got = read("Pod", delimited(2, delimited(14, context)))
    assert got["spec"]["securityContext"] == {"supplementalGroups": [1, 300, 2]}


def test_inner_messages_merge_and_the_last_of_several_values_counts() -> None:
    raw = delimited(1, delimited(1, "a") + delimited(3, "x")) + delimited(1, delimited(1, "b"))
    assert read("ConfigMap", raw)["metadata"] == {"name": "b", "namespace": "x"}


def test_unknown_fields_are_skipped() -> None:
    group = encode_tag(60, 3) + number(1, 300) + delimited(2, "x") + encode_tag(60, 4)
    fixed = encode_tag(61, 1) + bytes(8) + encode_tag(62, 5) + bytes(4)
    raw = number(99, 2**63) + group + fixed + delimited(63, b"x" * 200) + number(4, 1)
    assert read("ConfigMap", raw) == {"immutable": True}


def test_text_that_is_no_utf8_becomes_replacement_characters() -> None:
    assert read("ConfigMap", delimited(1, delimited(1, b"a\xff")))["metadata"]["name"] == "a\ufffd"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "empty data"),
        (b"k8s\0", "empty body"),
        (
            b'{"kind":"Pod"}',
            r"provided data does not appear to be a protobuf message, "
            r"expected prefix \[107 56 115 0\]",
        ),
        (envelope("Foo", b"", "x/v1"), 'no kind "Foo" is registered for version "x/v1"'),
        (envelope("", b""), "Object 'Kind' is missing"),
        (envelope("Pod", b"", ""), "Object 'apiVersion' is missing"),
        (envelope("Pod", b"")[:-6], "unexpected EOF"),
        (envelope("ConfigMap", b"\x0a\x05a"), "unexpected EOF"),
        (envelope("ConfigMap", delimited(1, b"\x0a\x05a") + b"more to come"), "unexpected EOF"),
        (envelope("ConfigMap", b"\x80" * 11), "integer overflow"),
        (envelope("ConfigMap", b"\x00\x00"), "illegal tag 0"),
        (envelope("ConfigMap", encode_tag(9, 7)), "illegal wireType 7"),
        (envelope("ConfigMap", encode_tag(9, 4)), "unexpected end of group"),
        (envelope("ConfigMap", encode_tag(9, 3) * 2000), "exceeded max depth"),
        (envelope("ConfigMap", number(1, 1)), "wrong wireType = 0 for field metadata"),
        (envelope("ConfigMap", delimited(4, b"")), "wrong wireType = 2 for field immutable"),
        (b"k8s\0" + number(1, 1), "wrong wireType = 0"),
    ],
)
def test_malformed_bodies_are_refused(body: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        codec_protobuf.decode(body)


@pytest.mark.parametrize("field", [25, 28, 29])
def test_nesting_is_bounded(field: int) -> None:
    def nested(levels: int) -> bytes:
        schema = delimited(5, "object")
        for _ in range(levels):
            inner = delimited(1, "p") + delimited(2, schema) if field == 29 else schema
            schema = delimited(field, inner)
        return schema

    assert read_schema(nested(DEPTH_MAX // 2))
    with pytest.raises(ValueError, match="exceeded max depth"):
        read_schema(nested(DEPTH_MAX * 10))


def decode_or_refuse(body: bytes) -> None:
    with contextlib.suppress(ValueError):
        codec_protobuf.decode(body)


@given(some.binary(max_size=200), some.sampled_from(["Pod", "ConfigMap", "Service", "Event"]))
@settings(max_examples=200, deadline=None)
def test_garbage_is_refused_or_read_but_never_crashes(raw: bytes, kind: str) -> None:
    decode_or_refuse(envelope(kind, raw))
    decode_or_refuse(b"k8s\0" + raw)
