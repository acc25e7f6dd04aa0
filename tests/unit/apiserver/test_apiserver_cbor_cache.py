"""Objects kept in CBOR: right by revision, bounded in bytes, and not flushed by long lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from apiserver.cbor_cache import CborCache, CborForm
from apiserver.resources import Catalog, Resource
from kube import codec_cbor
from kube.builtin_kinds import builtin_registry
from kube.cbor_pieces import Pieces
from storage.record import Record, splice
from storage.scan_forms import revision_bytes

CATALOG = Catalog(builtin_registry())
ENTRY_BYTES = 600
"""Somewhat more than the records below take."""


def resource_of(plural: str = "configmaps", group: str = "", version: str = "v1") -> Resource:
    return CATALOG.by_version[group, version][plural]


def record(name: str, revision: int, **data: str) -> Record:
    """Return a stored ConfigMap."""
    resource = resource_of()
    body, meta = resource.encode({"metadata": {"name": name, "namespace": "n"}, "data": data})
    stored = splice(body, resource.splice_at, revision)
    at = resource.splice_at
    return Record(resource.storage, "n", name, revision, revision, meta, stored, at)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The bodies that were made into CBOR, in order."""
    bodies: list[bytes] = []
    original: Callable[[CborForm, bytes], bytes] = CborForm.item

    def item(self: CborForm, body: bytes) -> bytes:
        bodies.append(body)
        return original(self, body)

    monkeypatch.setattr(CborForm, "item", item)
    return bodies


def held(cache: CborCache, key: bytes, revision: int, form: CborForm | None = None) -> bytes | None:
    """Return what a list would find."""
    items = cache.forms_of(form or cache.form_of(resource_of())).held
    found = items.get(key)
    return found[1] if found is not None and found[0] == revision_bytes(revision) else None


def whole(cache: CborCache, record: Record) -> Any:
    form = cache.form_of(resource_of())
    return codec_cbor.decode(form.whole(cache.item(form, record)))


def test_an_object_is_made_once_for_each_revision(made: list[bytes]) -> None:
    cache = CborCache()
    old, new = record("a", 7, k="v"), record("a", 8, k="w")
    for one in (old, old, new, new):
        assert whole(cache, one) == orjson.loads(one.body)
    assert made == [old.body, new.body]


def test_a_reader_of_the_past_does_not_replace_what_is_newer(made: list[bytes]) -> None:
    cache = CborCache()
    old, new = record("a", 7), record("a", 8)
    for one in (new, old, new, old):
        assert whole(cache, one) == orjson.loads(one.body)
    assert made == [new.body, old.body, old.body]


def test_objects_of_one_name_in_other_places_are_others() -> None:
    cache = CborCache()
    here = record("a", 7, k="here")
    there = record("a", 7, k="there")._replace(namespace="m")
    shown = [whole(cache, one)["data"]["k"] for one in (here, there, here)]
    assert shown == ["here", "there", "here"]
    other = cache.form_of(resource_of("secrets"))
    assert held(cache, b"n\0a", 7)
    assert held(cache, b"n\0a", 7, other) is None


def test_each_version_of_a_type_is_kept_for_itself() -> None:
    cache = CborCache()
    first = cache.form_of(resource_of("horizontalpodautoscalers", "autoscaling", "v1"))
    second = cache.form_of(resource_of("horizontalpodautoscalers", "autoscaling", "v2"))
    assert first.held is not second.held
    assert cache.form_of(resource_of("horizontalpodautoscalers", "autoscaling", "v1")) is first


@pytest.mark.parametrize("members", [0, 1, 20, 21, 22, 23, 24, 252, 253, 254, 255, 300, 65_534])
def test_kind_and_version_come_back_whatever_the_number_of_members(members: int) -> None:
    form = CborForm(resource_of(), Pieces())
    rest = {f"m{number}": number for number in range(members)}
    obj = {"kind": "ConfigMap", "apiVersion": "v1", **rest}
    assert form.whole(form.item_of(dict(obj))) == codec_cbor.encode(obj)


def test_what_was_just_written_is_learned_under_its_own_name(made: list[bytes]) -> None:
    cache = CborCache()
    form = cache.form_of(resource_of())
    written = record("a", 9, k="v")
    item = cache.learn(form, written.body)
    assert cache.item(form, written) is item
    assert cache.learn(form, written.body) is item
    assert held(cache, b"n\0a", 9) is item
    assert made == []


def test_what_is_held_is_bounded_and_the_oldest_goes_first() -> None:
    cache = CborCache(bytes_max=20 * ENTRY_BYTES)
    form = cache.form_of(resource_of())
    for number in range(100):
        cache.item(form, record(f"a{number}", number + 1))
        assert cache.held_bytes <= 20 * ENTRY_BYTES
    kept = [n for n in range(100) if held(cache, f"n\0a{n}".encode(), n + 1)]
    assert len(kept) >= 20
    assert kept == list(range(100 - len(kept), 100))


def test_bytes_are_counted_right_when_objects_change() -> None:
    cache = CborCache()
    form = cache.form_of(resource_of())
    for revision in range(1, 50):
        cache.item(form, record("a", revision, k="x" * revision))
    alone = CborCache()
    alone.item(alone.form_of(resource_of()), record("a", 49, k="x" * 49))
    assert cache.held_bytes == alone.held_bytes


def test_one_object_cannot_take_the_cache() -> None:
    cache = CborCache(bytes_max=20 * ENTRY_BYTES)
    form = cache.form_of(resource_of())
    cache.item(form, record("small", 1))
    cache.item(form, record("large", 2, k="x" * 10 * ENTRY_BYTES))
    assert held(cache, b"n\0small", 1)
    assert held(cache, b"n\0large", 2) is None


def test_pages_and_initial_states_leave_the_most_of_a_full_cache_alone() -> None:
    cache = CborCache(bytes_max=50 * ENTRY_BYTES)
    form = cache.form_of(resource_of())
    for number in range(50):
        cache.item(form, record(f"a{number}", number + 1))
    for number in range(80):
        cache.item(form, record(f"b{number}", number + 100), is_listed=True)
    kept = [n for n in range(50) if held(cache, f"n\0a{n}".encode(), n + 1)]
    assert len(kept) >= 30


def test_a_list_longer_than_the_cache_finds_a_part_of_itself_again() -> None:
    cache = CborCache(bytes_max=50 * ENTRY_BYTES)
    _, make = cache.forms_of(cache.form_of(resource_of()))
    records = [record(f"a{number:03}", number + 1) for number in range(200)]
    hits = []
    for _ in range(5):
        found = 0
        for one in records:
            key = f"n\0{one.name}".encode()
            if held(cache, key, one.mod_revision) is not None:
                found += 1
            else:
                make(key, revision_bytes(one.mod_revision), one.body)
        hits.append(found)
    assert hits[0] == 0
    assert min(hits[1:]) >= 20
