"""Lists in every shape and encoding: piece by piece they are the bytes of the whole document."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from apiserver.resources import Catalog, Resource
from apiserver.verbs import list_answer
from apiserver.verbs.list_answer import parts_of
from apiserver.verbs.list_formats import Format, list_format, list_shape
from kube import codec_yaml
from kube.builtin_kinds import builtin_registry
from kube.media import MediaType
from kube.status import StatusError
from runtime.clock import SystemClock

META = {"resourceVersion": "17", "continue": "abc", "remainingItemCount": 3}
CATALOG = Catalog(builtin_registry())
POD: dict[str, Any] = {
    "metadata": {
        "name": "p",
        "namespace": "default",
        "annotations": {
            "lines": "  first: is indented\nitems: []\n- dash\n\n",
            "rows": "\nrows: []\nitems: []\n",
            "wide": "ä" * 90 + " " + "b" * 90,
            "odd": "yes",
        },
        "creationTimestamp": "2026-01-01T00:00:00Z",
    },
    "spec": {"containers": [{"name": "c", "image": "i", "command": ["a", "- b\n  c", ""]}]},
    "status": {"phase": "Running", "conditions": [], "podIP": "10.0.0.1"},
}
SCALER: dict[str, Any] = {
    "metadata": {"name": "s", "namespace": "default", "creationTimestamp": "2026-01-01T00:00:00Z"},
    "spec": {
        "scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"},
        "maxReplicas": 3,
        "metrics": [
            {
                "type": "Resource",
                "resource": {
                    "name": "cpu",
                    "target": {"type": "Utilization", "averageUtilization": 60},
                },
            }
        ],
    },
    "status": {"currentReplicas": 1, "desiredReplicas": 1},
}
OBJECTS = {
    ("", "v1", "pods"): POD,
    ("autoscaling", "v1", "horizontalpodautoscalers"): SCALER,
    ("autoscaling", "v2", "horizontalpodautoscalers"): SCALER,
}
SERVER: Any = SimpleNamespace(clock=SimpleNamespace(now_s=SystemClock().now_s))
KINDS = ["", "Table", "PartialObjectMetadataList"]
ENCODINGS = [("json", False), ("json", True), ("yaml", False)]


def exchange_of(include: str = "") -> Any:
    """Return a request with an `includeObject`."""
    return SimpleNamespace(parameter=lambda _name: include)


def resource_of(key: tuple[str, str, str]) -> Resource:
    """Return a resource by group, version and plural."""
    return CATALOG.by_version[key[0], key[1]][key[2]]


def bodies_of(key: tuple[str, str, str], count: int) -> list[bytes]:
    """Return stored bodies, of different lengths."""
    resource, obj = resource_of(key), OBJECTS[key]
    bodies = []
    for number in range(count):
        metadata = {**obj["metadata"], "name": "n" * (number + 1)}
        body, _ = resource.encode({**obj, "metadata": metadata})
        bodies.append(body[: resource.splice_at] + b"%d" % number + body[resource.splice_at :])
    return bodies


def made_of(how: Format, resource: Resource, chunks: Sequence[Sequence[bytes]]) -> bytes:
    """Return a list as it is made of chunks."""
    strip = resource.item_strip if how.strips else 0
    stripped = [[body[strip:] for body in chunk] for chunk in chunks]
    source: Any = SimpleNamespace(meta=lambda: META)
    parts = parts_of(source, stripped, how)
    return b"".join(part if isinstance(part, bytes) else part() for part in parts)


def whole_of(resource: Resource, media: MediaType, include: str, bodies: Sequence[bytes]) -> bytes:
    """Return a list as it is encoded in one piece."""
    shape = list_shape(SERVER, exchange_of(include), resource, media)
    document = {**shape.head(META), shape.key: [shape.item(body) for body in bodies]}
    if media.encoding == "yaml":
        return codec_yaml.encode(document)
    if media.pretty:
        return orjson.dumps(document, option=orjson.OPT_INDENT_2)
    return orjson.dumps(document) + b"\n"


@pytest.mark.parametrize("include", ["", "Object", "None"])
@pytest.mark.parametrize(("encoding", "pretty"), ENCODINGS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", OBJECTS, ids="-".join)
def test_a_list_made_in_pieces_is_the_whole_one(
    key: tuple[str, str, str], kind: str, encoding: str, include: str, *, pretty: bool
) -> None:
    resource = resource_of(key)
    media = MediaType(encoding, kind, "meta.k8s.io" if kind else "", "v1" if kind else "", pretty)
    how = list_format(SERVER, exchange_of(include), resource, media)
    assert isinstance(how, Format)
    for count, cuts in ((0, ()), (1, (0,)), (5, (2, 2)), (5, ()), (7, (0, 1, 7))):
        bodies = bodies_of(key, count)
        edges = [0, *cuts, count]
        chunks = [bodies[a:b] for a, b in pairwise(edges)]
        whole = whole_of(resource, media, include, bodies)
        assert made_of(how, resource, chunks) == whole
        # One object a turn, too.
        assert made_of(how._replace(turn_bytes=1), resource, chunks) == whole


def test_the_whole_list_is_one_that_clients_can_read() -> None:
    key = ("", "v1", "pods")
    bodies = bodies_of(key, 2)
    text = whole_of(resource_of(key), MediaType("yaml"), "", bodies)
    read = codec_yaml.decode(text)
    assert read["metadata"] == META
    assert [item["metadata"]["name"] for item in read["items"]] == ["n", "nn"]
    assert read["items"][0]["metadata"]["annotations"] == POD["metadata"]["annotations"]


def test_empty_pieces_give_others_their_turn() -> None:
    key = ("", "v1", "pods")
    how = list_format(SERVER, exchange_of(), resource_of(key), MediaType("json"))
    assert isinstance(how, Format)
    source: Any = SimpleNamespace(meta=lambda: META)
    parts = list(parts_of(source, [[], [], [b"x"], []], how))
    assert [bool(part) for part in parts] == [False, False, True, False, True]


@pytest.mark.parametrize(("encoding", "pretty"), ENCODINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_large_objects_are_left_for_a_thread_to_render(
    monkeypatch: pytest.MonkeyPatch, kind: str, encoding: str, *, pretty: bool
) -> None:
    monkeypatch.setattr(list_answer, "LARGE_BYTES", 10)
    key = ("", "v1", "pods")
    resource, bodies = resource_of(key), bodies_of(key, 3)
    media = MediaType(encoding, kind, "meta.k8s.io" if kind else "", "v1" if kind else "", pretty)
    how = list_format(SERVER, exchange_of(), resource, media)
    assert isinstance(how, Format)
    assert made_of(how, resource, [bodies]) == whole_of(resource, media, "", bodies)
    strip = resource.item_strip if how.strips else 0
    source: Any = SimpleNamespace(meta=lambda: META)
    parts = list(parts_of(source, [[body[strip:] for body in bodies]], how))
    # What is stored as it is to be shown needs no thread.
    assert any(callable(part) for part in parts) is (how.turn_bytes is not None)


def test_what_is_sorted_by_its_printer_is_not_made_in_pieces() -> None:
    resource = resource_of(("flowcontrol.apiserver.k8s.io", "v1", "flowschemas"))
    media = MediaType("json", "Table", "meta.k8s.io", "v1")
    how = list_format(SERVER, exchange_of(), resource, media)
    assert not isinstance(how, Format)
    plain = list_format(SERVER, exchange_of(), resource, MediaType("json"))
    assert isinstance(plain, Format)


def test_a_shape_of_single_objects_is_refused() -> None:
    media = MediaType("json", "PartialObjectMetadata", "meta.k8s.io", "v1")
    with pytest.raises(StatusError) as caught:
        list_format(SERVER, exchange_of(), resource_of(("", "v1", "pods")), media)
    assert caught.value.code == 406
