"""What watches send of a batch, and what of it is made once for all of them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from apiserver.cbor_cache import CborCache
from apiserver.cycle import unframe
from apiserver.part_cache import Part, PartCache
from apiserver.resources import Resource
from apiserver.types.registry import hooks_for
from apiserver.verbs import frames
from apiserver.verbs.events import EventEncoder, make_encoder
from apiserver.verbs.frames import Frames, fits, parts_of
from apiserver.verbs.selection import Selection
from apiserver.verbs.watch import length_s
from kube.builtin_kinds import builtin_registry
from kube.media import negotiate
from kube.selector_parser import parse_label_selector
from kube.selectors import FieldSelector, MetaMatch, compile_selectors
from runtime.clock import SimulatedClock
from storage.event import Event, EventKind
from storage.record import Record
from storage.watcher import Scope

SCOPE = Scope("secrets", "a")
JSON = "application/json"
TABLE = f"{JSON};as=Table;g=meta.k8s.io;v=v1"
PARTIAL = f"{JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


def resource() -> Resource:
    """Return secrets."""
    info = builtin_registry().by_kind("", "v1", "Secret")
    assert info is not None
    return Resource(info, hooks_for("secrets"))


def record(name: str, revision: int, labels: dict[str, str]) -> Record:
    """Return a stored secret."""
    body, meta = resource().encode({"metadata": {"name": name, "labels": labels}})
    at = body.index(b'"resourceVersion":"') + len(b'"resourceVersion":"')
    whole = b"%b%d%b" % (body[:at], revision, body[at:])
    return Record("secrets", "a", name, revision, revision, meta, whole, at, 0)


def event(revision: int, after: dict[str, str], before: dict[str, str] | None = None) -> Event:
    """Return a change of a secret's labels."""
    previous = None if before is None else record("x", revision - 1, before)
    return Event(EventKind.PUT, record("x", revision, after), previous, revision)


def match_of(labels: str) -> MetaMatch | None:
    """Return a label selector, compiled."""
    return compile_selectors(parse_label_selector(labels), FieldSelector(()))


def selection(match: MetaMatch | None = None, **more: Any) -> Selection:
    """Return what a watch chooses."""
    return Selection("a", None, match, None, filtered=match is not None, **more)


def encoder(accept: str = JSON) -> EventEncoder:
    """Return the encoder of a watch that accepts this."""
    media = negotiate(accept.encode(), stream=True)
    return make_encoder(resource(), media, "", SimulatedClock(), CborCache())


def shown(framed: bytes) -> list[tuple[str, str]]:
    """Return type and revision of the events in a part."""
    lines = [orjson.loads(line) for line in unframe(framed).splitlines()]
    return [(one["type"], one["object"]["metadata"]["resourceVersion"]) for one in lines]


def test_watches_of_one_scope_and_selector_share_the_bytes_of_a_batch() -> None:
    kept = PartCache()
    batch = [event(2, {"on": "1"}), event(3, {}, {}), event(4, {}, {"on": "1"})]
    on = match_of("on")
    one, same = (Frames(selection(on), encoder(), SCOPE, kept) for _ in range(2))
    other = Frames(selection(match_of("on=1")), encoder(), SCOPE, kept)
    first = one.part(batch)
    assert shown(first.framed) == [("ADDED", "2"), ("DELETED", "4")]
    assert first.events == 2
    assert same.part(batch) is first
    # Another selector has a batch of its own, from the same encoded events.
    assert other.part(batch) is not first
    assert other.part(batch) == first


def test_nothing_is_kept_of_a_watch_that_is_alone_in_what_it_sends() -> None:
    kept, batch = PartCache(), [event(2, {})]
    one = Frames(selection(), encoder(), SCOPE, kept)
    alone = one.part(batch)
    assert len(kept) == 0
    # It shares as soon as there is somebody to share with, and no longer.
    same = Frames(selection(), encoder(), SCOPE, kept)
    assert same.part(batch) is one.part(batch)
    assert one.part(batch) == alone
    assert len(kept) == 1
    same.close()
    same.close()
    assert one.part([event(3, {})]).events == 1
    assert len(kept) == 1


def test_what_watches_have_in_common_is_forgotten_with_the_last() -> None:
    kept = PartCache()
    watches = [Frames(selection(), encoder(), scope, kept) for scope in (SCOPE, SCOPE, Scope("b"))]
    assert kept.sharings == 2
    for watch in watches:
        watch.close()
    assert kept.sharings == 0


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (None, {"on": "1"}, "ADDED"),
        (None, {}, ""),
        ({}, {"on": "1"}, "ADDED"),
        ({"on": "1"}, {"on": "2"}, "MODIFIED"),
        ({"on": "1"}, {"on": "1"}, "MODIFIED"),
        ({"on": "1"}, {}, "DELETED"),
        ({}, {"off": "1"}, ""),
        ({}, {}, ""),
    ],
)
def test_a_change_is_shown_by_whether_the_object_matched_and_matches(
    before: dict[str, str] | None, after: dict[str, str], kind: str
) -> None:
    part = Frames(selection(match_of("on")), encoder(), SCOPE, PartCache()).part(
        [event(2, after, before)]
    )
    assert (shown(part.framed) if part.events else []) == ([(kind, "2")] if kind else [])


def test_a_batch_of_which_a_watch_sees_nothing_is_no_bytes() -> None:
    kept = PartCache()
    part = Frames(selection(match_of("on")), encoder(), SCOPE, kept).part([event(2, {})])
    assert part == (b"", 0)


@pytest.mark.parametrize(
    "more", [{"not_names": frozenset({"x"})}, {"not_namespaces": frozenset({"a"})}, {"empty": True}]
)
def test_what_is_left_out_by_key_is_never_shared(more: dict[str, Any]) -> None:
    batch, kept = [event(2, {})], PartCache()
    assert Frames(selection(), encoder(), SCOPE, kept).part(batch).events == 1
    assert Frames(selection(**more), encoder(), SCOPE, kept).part(batch).events == 0


def test_batches_that_end_alike_but_begin_elsewhere_are_different() -> None:
    batch, kept = [event(2, {}), event(3, {})], PartCache()
    one = Frames(selection(), encoder(), SCOPE, kept)
    assert shown(one.part(batch).framed) == [("ADDED", "2"), ("ADDED", "3")]
    assert shown(one.part(batch[1:]).framed) == [("ADDED", "3")]


@pytest.mark.parametrize("accept", [TABLE, PARTIAL])
def test_other_shapes_are_made_once_too(accept: str) -> None:
    changed = event(3, {}, {})
    encoders = [encoder(accept), encoder(accept)]
    for one in encoders:
        one.event(event(2, {}), "ADDED")  # the first of a Table watch is its own
    first = encoders[0].event(changed, "MODIFIED")
    assert encoders[1].event(changed, "MODIFIED") is first
    assert encoder(JSON).event(changed, "MODIFIED") != first


def test_each_table_watch_gets_its_columns_once_whatever_others_got() -> None:
    changed = event(2, {})
    one, other = encoder(TABLE), encoder(TABLE)
    for number in range(2):
        for table in (one, other):
            line = orjson.loads(table.event(changed, "ADDED"))
            assert (line["object"]["columnDefinitions"] is None) == bool(number)


def test_a_batch_is_cut_into_parts_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = [event(revision, {}) for revision in range(2, 12)]
    assert fits(batch)
    assert list(parts_of(batch)) == [batch]
    monkeypatch.setattr(frames, "PART_EVENTS_MAX", 4)
    assert not fits(batch)
    assert list(parts_of(batch)) == [batch[:4], batch[4:8], batch[8:]]
    monkeypatch.setattr(frames, "PART_BYTES_MAX", 2 * len(batch[0].record.body))
    assert [len(part) for part in parts_of(batch)] == [2] * 5
    assert list(parts_of([])) == []


def test_a_watch_lasts_as_asked_or_half_an_hour_to_an_hour() -> None:
    assert (length_s(7), length_s(-1)) == (7, -1)
    lengths = {length_s(unset) for unset in (None, 0) for _ in range(50)}
    assert len(lengths) > 1
    assert all(1800 <= length <= 3600 for length in lengths)


def test_parts_are_kept_within_a_limit_and_the_oldest_goes_first() -> None:
    kept = PartCache(20_000)
    part = Part(b"x" * 2000, 1)
    for key in "abcd":
        kept.put(key, part)
    assert len(kept) == 3
    assert [kept.get(key) is part for key in "abcd"] == [False, True, True, True]


def test_who_asks_for_objects_without_managed_fields_shares_with_others_who_do() -> None:
    entry = {"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsV1": {"f:data": {}}}
    body, meta = resource().encode({"metadata": {"name": "x", "managedFields": [entry]}})
    at = body.index(b'"resourceVersion":"') + len(b'"resourceVersion":"')
    stored = Record("secrets", "a", "x", 2, 2, meta, b"%b2%b" % (body[:at], body[at:]), at, 0)
    batch = [Event(EventKind.PUT, stored, None, 2)]
    kept, bare = PartCache(), f"{JSON};managedFields=omit"
    one, same = (Frames(selection(), encoder(bare), SCOPE, kept) for _ in range(2))
    whole = Frames(selection(), encoder(), SCOPE, kept)
    assert b"managedFields" in whole.part(batch).framed
    assert b"managedFields" not in one.part(batch).framed
    assert same.part(batch) is one.part(batch)
    assert shown(one.part(batch).framed) == shown(whole.part(batch).framed) == [("ADDED", "2")]
    assert b"managedFields" not in encoder(bare).added(stored)
