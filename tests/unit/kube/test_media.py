"""Content negotiation, rule by rule."""

from __future__ import annotations

import pytest

from kube.media import SERVED, SERVED_STREAMS, negotiate
from kube.status import StatusError

TABLE = b"application/json;as=Table;g=meta.k8s.io;v=v1"
DISCOVERY = b"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@pytest.mark.parametrize("accept", [b"", b"*/*", b"*", b"application/*", b"application/json"])
def test_whoever_takes_anything_gets_plain_json(accept: bytes) -> None:
    assert negotiate(accept).is_plain_json


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        (b"application/yaml", "yaml"),
        (b"application/cbor", "cbor"),
        (b"application/cbor-seq", "cbor"),
        (b"application/yaml, */*", "yaml"),
        (b"application/json;q=0.5,application/yaml", "yaml"),
        (b"application/json;q=0.5,application/yaml;q=broken", "json"),
        # A wildcard stands behind what is named, whatever the qualities say.
        (b"*/*,application/yaml;q=0.5", "yaml"),
        (b"text/html,application/yaml;q=0.1", "yaml"),
        (b"application/vnd.kubernetes.protobuf,application/cbor", "cbor"),
        # What client-go asks for where a program wants protobuf.
        (b"application/vnd.kubernetes.protobuf,application/json", "json"),
        (b"nonsense, application/yaml", "yaml"),
        (b"application/yaml;stream=watch,application/json", "json"),
        (b"application/yaml;stream=other,application/cbor;stream=watch", "cbor"),
        (b"application/yaml;sv=v2,application/json;sv=v1", "json"),
    ],
)
def test_first_clause_that_can_be_served_wins(accept: bytes, encoding: str) -> None:
    assert negotiate(accept).encoding == encoding


@pytest.mark.parametrize(
    ("accept", "shape"),
    [
        (TABLE, ("Table", "meta.k8s.io", "v1")),
        (TABLE.replace(b"v=v1", b"v=v1beta1"), ("Table", "meta.k8s.io", "v1beta1")),
        (DISCOVERY, ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2")),
        (
            b"application/cbor;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            ("PartialObjectMetadata", "meta.k8s.io", "v1"),
        ),
        (
            b"*/*;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            ("PartialObjectMetadataList", "meta.k8s.io", "v1"),
        ),
    ],
)
def test_known_shapes_are_served(accept: bytes, shape: tuple[str, str, str]) -> None:
    media = negotiate(accept)
    assert (media.kind, media.group, media.version) == shape
    assert not media.is_plain_json


@pytest.mark.parametrize(
    "clause",
    [
        b"application/json;as=Table",
        b"application/json;as=Table;g=meta.k8s.io;v=v2",
        b"application/json;as=Other;g=meta.k8s.io;v=v1",
        b"application/json;as=APIGroupDiscoveryList;g=apidiscovery.k8s.io;v=v1",
        b"application/json;g=meta.k8s.io",
        b"application/cbor;as=Table;g=meta.k8s.io;v=v1",
    ],
)
def test_unknown_shapes_fall_through_to_the_next_clause(clause: bytes) -> None:
    assert negotiate(clause + b",application/json").is_plain_json
    with pytest.raises(StatusError):
        negotiate(clause)


def test_pretty_in_the_media_type_is_not_plain() -> None:
    media = negotiate(b"application/json;pretty=1")
    assert media.pretty
    assert not media.is_plain_json


def test_refusal_names_what_is_served() -> None:
    with pytest.raises(StatusError) as caught:
        negotiate(b"text/html")
    assert caught.value.code == 406
    assert all(name in caught.value.message for name in SERVED)


def test_yaml_cannot_be_streamed() -> None:
    assert negotiate(b"application/json;stream=watch", stream=True).is_plain_json
    with pytest.raises(StatusError) as caught:
        negotiate(b"application/yaml", stream=True)
    assert caught.value.code == 406
    assert all(name in caught.value.message for name in SERVED_STREAMS)


def test_equal_headers_give_the_same_object_and_long_ones_are_not_kept() -> None:
    assert negotiate(TABLE) is negotiate(bytes(bytearray(TABLE)))
    long = TABLE + b"," * 2000
    assert negotiate(long) == negotiate(TABLE)
    assert negotiate(long) is not negotiate(long)


def test_many_clauses_are_ordered_by_quality() -> None:
    clauses = [b"text/x%d" % i for i in range(30)]
    accept = b",".join([*clauses, b"application/json;q=0.1", b"application/yaml;q=0.2"])
    assert negotiate(accept).encoding == "yaml"


@pytest.mark.parametrize(
    ("accept", "stream", "is_bare"),
    [
        (b"application/json;managedFields=omit", True, True),
        (b"application/json;managedFields=omit", False, False),
        (b"application/json;managedFields=all", True, False),
        (b"application/json", True, False),
        (b"application/cbor;managedFields=omit", True, False),
        (TABLE + b";managedFields=omit", True, False),
    ],
)
def test_only_a_plain_watch_in_json_comes_without_managed_fields_if_asked_to(
    accept: bytes, *, stream: bool, is_bare: bool
) -> None:
    media = negotiate(accept, stream=stream)
    assert media.is_bare == is_bare
    assert media == negotiate(accept.replace(b";managedFields=omit", b""), stream=stream) or is_bare
    assert media.is_plain_json == (b"json" in accept and b"Table" not in accept)
