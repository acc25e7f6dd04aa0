"""Duplicate fields: found exactly, and cheaply when there are none."""

from __future__ import annotations

import orjson
import pytest

from kube.schema import duplicates
from kube.schema.decode import Decoded, builtin_decoder
from kube.schema.duplicates import may_have_duplicates, strict_errors

POD = builtin_decoder("io.k8s.api.core.v1.Pod")
CONFIG_MAP = builtin_decoder("io.k8s.api.core.v1.ConfigMap")
REVISION = builtin_decoder("io.k8s.api.apps.v1.ControllerRevision")


def errors(body: bytes, decoder: object = POD) -> tuple[str, ...]:
    assert isinstance(decoder, type(POD))
    return strict_errors(body, decoder.struct, decoder.decode(orjson.loads(body)))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"spec":{"nodeName":"a","nodeName":"b"}}', "spec.nodeName"),
        (b'{"spec":{"containers":[{"name":"a","name":"b"}]}}', "spec.containers[0].name"),
        (b'{"metadata":{"labels":{"a":"1","a":"2"}}}', "metadata.labels.a"),
        (b'{"metadata":{},"metadata":{}}', "metadata"),
        (b'{"spec":{"nodeName":"a","nodeName" :"b"}}', "spec.nodeName"),
    ],
)
def test_duplicates_are_named_by_path(body: bytes, expected: str) -> None:
    assert errors(body) == (f'duplicate field "{expected}"',)


def test_unknown_and_duplicate_fields_come_in_document_order() -> None:
    body = b'{"x":1,"spec":{"nodeName":"a","nodeName":"b","y":{"z":1,"z":2}},"x":2}'
    assert errors(body) == (
        'unknown field "x"',
        'duplicate field "spec.nodeName"',
        'unknown field "spec.y"',
    )


def test_duplicates_in_free_form_values_of_typed_objects_pass() -> None:
    assert errors(b'{"data":{"a":1,"a":2}}', REVISION) == ()


def test_duplicates_count_everywhere_in_untyped_objects() -> None:
    body = b'{"spec":{"a":[{"b":1,"b":2}]}}'
    assert strict_errors(body, None, Decoded((), 3)) == ('duplicate field "spec.a[0].b"',)


@pytest.mark.parametrize(
    "text",
    ["plain", 'with ": inside', "with \\ backslash", '{"json":{"in":"json"}}'],
)
def test_quotes_and_colons_in_values_need_no_second_parse(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise AssertionError("parsed twice")

    monkeypatch.setattr(duplicates.json, "loads", refuse)
    body = orjson.dumps({"metadata": {"name": "a"}, "data": {"k": text}})
    assert errors(body, CONFIG_MAP) == ()


def test_compensating_oddities_do_not_hide_a_duplicate() -> None:
    # One key is written twice and one is missed by the count.
    body = b'{"metadata":{"name":"a"},"data":{"k":"1","k":"2","l" :"3"}}'
    assert errors(body, CONFIG_MAP) == ('duplicate field "data.k"',)
    body = b'{"metadata":{"name":"a"},"data":{"k":"1","k":"2","l\\\\":"3"}}'
    assert errors(body, CONFIG_MAP) == ('duplicate field "data.k"',)


def test_unknown_key_counts_force_the_exact_way() -> None:
    assert may_have_duplicates(b"{}", -1)
    assert not may_have_duplicates(b'{"a":{"b":1}}', 2)


def test_no_more_than_a_hundred_errors_are_reported() -> None:
    body = orjson.dumps({f"x{index}": 1 for index in range(150)})
    assert len(errors(body)) == 100
    assert len(POD.decode(orjson.loads(body)).unknown) == 100
