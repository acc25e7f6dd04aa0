"""Lists in CBOR, in parts from a snapshot like those in JSON, and with the same memory.

Lengths are definite, so the number of items must be known before the first. Of a whole type it is;
else items are gathered before any is written, as long as that takes little memory: what is in the
cache is held there anyway. What follows is counted in a scan of its own, at the same revision.

    d9 d9 f7 | a4 | "kind" .. "apiVersion" .. "metadata" .. "items" 9a 00 01 86 a0 | item | item ..

A part is a few milliseconds' work at most, and may be empty: then others are to have their turn.
Items of large objects are made by a thread (late_items.py). What lists show of objects, where that
is not all of them (metadata only), is made for each list.

Invariant: the bytes are those of the whole list encoded at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Final

from apiserver.aside import LARGE_BYTES
from apiserver.cbor_cache import place_of
from apiserver.exchange import Exchange
from apiserver.parts import Part, respond_parts
from apiserver.server import Server
from apiserver.verbs.answer import CBOR_TYPE
from apiserver.verbs.late_items import LateItems, made
from apiserver.verbs.list_formats import Shape
from apiserver.verbs.list_source import ListSource
from kube.cbor_items import array_head, encode_item, map_head
from kube.codec_cbor import PREFIX
from storage.record import Record
from storage.scan_forms import Forms, FormScan

_GATHERED_BYTES_MAX: Final = 1 << 20
_GATHERED_MAX: Final = 1 << 16
_MADE_BYTES_MAX: Final = 1 << 20
"""So much of what is gathered may be new, and perhaps not kept by the cache."""
_RECORDS_A_PART: Final = 64


async def answer_cbor_list(
    server: Server, exchange: Exchange, source: ListSource, shape: Shape | None
) -> None:
    """Write a list in CBOR, of objects or what `shape` has of them.

    Raises:
        StorageError: as `list_answer.answer_list`.
        ClientGone: likewise.
    """
    listed = CborList(server, source, shape)
    # What is stored of a custom type may have to be completed before it is shown.
    is_whole = source.is_scanned and not source.limit and not source.resource.info.custom
    with closing(listed.parts() if is_whole else listed.page_parts()) as parts:
        await respond_parts(server, exchange, CBOR_TYPE, parts)


async def answer_cbor_records(
    server: Server,
    exchange: Exchange,
    source: ListSource,
    records: Sequence[Record],
    shape: Shape | None,
) -> None:
    """Write a list of records that `source` has given out before, in CBOR."""
    with closing(CborList(server, source, shape).record_parts(records)) as parts:
        await respond_parts(server, exchange, CBOR_TYPE, parts)


class CborList:
    """One list in CBOR."""

    def __init__(self, server: Server, source: ListSource, shape: Shape | None = None) -> None:
        self._store = server.store
        self._cache = server.cbor
        self._source = source
        self._resource = source.resource
        self._shape = shape
        self._form = server.cbor.form_of(source.resource)
        if shape is None:
            self._late = LateItems(self._form.item, partial(server.cbor.keep_listed, self._form))
        else:
            self._late = LateItems(self._shaped, _forget)

    def _shaped(self, body: bytes) -> bytes:
        assert self._shape is not None
        return encode_item(self._shape.item(body))

    def _forms(self) -> Forms:
        """Return what a scan needs to give out items."""
        if self._shape is None:
            return self._late.forms(self._cache.forms_of(self._form))
        return self._late.forms(Forms({}, lambda _key, _revision, body: self._shaped(body)))

    def record_parts(self, records: Sequence[Record]) -> Generator[Part, None, None]:
        """Yield the parts of a list of records."""
        yield self._head(len(records))
        yield from self._items(records)

    def page_parts(self) -> Generator[Part, None, None]:
        """Yield the parts of a page, or of what has one name.

        Its metadata and length are known when it was read: a large one is read a second time.

        Raises:
            StorageError: it cannot be read; some of it may have been given out.
        """
        gathered: list[bytes] = []
        count = gathered_bytes = 0
        with closing(self._source.records()) as chunks:
            for chunk in chunks:
                count += len(chunk)
                if gathered_bytes <= _GATHERED_BYTES_MAX:
                    for part in self._items(chunk):
                        item = yield from made(part)
                        gathered.append(item)
                        gathered_bytes += len(item)
                        yield b""
                else:
                    gathered.clear()
                    yield b""
        yield self._head(count)
        if gathered_bytes <= _GATHERED_BYTES_MAX:
            yield from gathered
            return
        gathered.clear()
        with closing(self._source.again().records()) as chunks:
            for chunk in chunks:
                yield from self._items(chunk)

    def _items(self, records: Sequence[Record]) -> Generator[Part, None, None]:
        for start in range(0, len(records), _RECORDS_A_PART):
            some = records[start : start + _RECORDS_A_PART]
            yield from self._late.parts([self._item(record) for record in some])

    def _item(self, record: Record) -> bytes:
        cache, form = self._cache, self._form
        if len(record.body) > LARGE_BYTES:
            held = None if self._shape is not None else cache.held(form, record)
            return self._late.put_off(*place_of(record), record.body) if held is None else held
        if self._shape is not None:
            return self._shaped(record.body)
        return cache.item(form, record, is_listed=True)

    def parts(self) -> Generator[Part, None, None]:
        """Yield the parts of a list of all that is chosen, which storage finds.

        Raises:
            StorageError: it cannot be read on; some of it may have been given out.
        """
        gathering = _Gathering(self._forms())
        with closing(self._store.scan_forms(self._source.query(), gathering.forms)) as scan:
            self._source.revision = scan.revision
            total = scan.known_rest()
            if total is None:
                has_all = yield from gathering.gather(scan)
                rest = 0 if has_all else (yield from self._count_after(scan))
                total = scan.returned + rest
            yield self._head(total)
            for chunk in chain(gathering.given_back(), scan):
                yield from self._late.parts(chunk)
            assert scan.returned == total, "a list holds what was counted of it"

    def _count_after(self, scan: FormScan) -> Generator[bytes, None, int]:
        """Return how many objects follow the last one that a scan has given out."""
        query = self._source.query()
        after = scan.last_key or query.start_after
        rest = replace(query, revision=scan.revision, start_after=after)
        with closing(self._store.scan_counts(rest)) as counting:
            for _ in counting:
                yield b""
            return counting.returned

    def _head(self, count: int) -> bytes:
        meta = self._source.meta()
        if self._shape is not None:
            document = self._shape.head(meta)
        else:
            document = {
                "kind": self._resource.info.list_kind,
                "apiVersion": self._resource.api_version,
                "metadata": meta,
            }
        members = encode_item(document)[1:]
        head = (PREFIX, map_head(len(document) + 1), members, encode_item("items"))
        return b"".join((*head, array_head(count)))


class _Gathering:
    """The first items of a list, before anybody knows how many there are.

    Attributes:
        forms: for the list's scan: those of the cache, with an eye on what it has to make.
    """

    def __init__(self, forms: Forms) -> None:
        self.forms = Forms(forms.held, self._make)
        self._make_form = forms.make
        self._made_bytes = 0
        self._chunks: deque[list[bytes]] = deque()

    def _make(self, key: bytes, revision: bytes, body: bytes) -> bytes:
        item = self._make_form(key, revision, body)
        self._made_bytes += len(item) or len(body)  # what is put off is empty
        return item

    def gather(self, scan: FormScan) -> Generator[bytes, None, bool]:
        """Take chunks until too much of them is held by nobody else; return whether it has all."""
        for chunk in scan:
            self._chunks.append(chunk)
            if self._made_bytes > _MADE_BYTES_MAX or scan.returned > _GATHERED_MAX:
                return False
            yield b""
        return True

    def given_back(self) -> Iterator[list[bytes]]:
        """Yield what was gathered, and forget it."""
        while self._chunks:
            yield self._chunks.popleft()


def _forget(_key: bytes, _revision: bytes, _item: bytes) -> None:
    pass
