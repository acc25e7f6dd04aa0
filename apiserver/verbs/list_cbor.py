"""Lists in CBOR, in parts from a snapshot like those in JSON, and with the same memory.

Lengths are definite, so the number of items must be known before the first. Of a whole type it is;
else items are gathered before any is written, as long as that takes little memory: what is in the
cache is held there anyway. What follows is counted in a scan of its own, at the same revision.

    d9 d9 f7 | a4 | "kind" .. "apiVersion" .. "metadata" .. "items" 9a 00 01 86 a0 | item | item ..

A part is a few milliseconds' work at most, and may be empty: then others are to have their turn.
Invariant: the bytes are those of the whole list encoded at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Final

from apiserver.exchange import Exchange
from apiserver.parts import respond_parts
from apiserver.server import Server
from apiserver.verbs.answer import CBOR_TYPE
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


async def answer_cbor_list(server: Server, exchange: Exchange, source: ListSource) -> None:
    """Write a list in CBOR; raises as `list_answer.answer_list`."""
    made = CborList(server, source)
    is_whole = source.is_scanned and not source.limit
    with closing(made.parts() if is_whole else made.page_parts()) as parts:
        await respond_parts(server, exchange, CBOR_TYPE, parts)


async def answer_cbor_records(
    server: Server, exchange: Exchange, source: ListSource, records: Sequence[Record]
) -> None:
    """Write a list of records that `source` has given out before, in CBOR."""
    with closing(CborList(server, source).record_parts(records)) as parts:
        await respond_parts(server, exchange, CBOR_TYPE, parts)


class CborList:
    """One list in CBOR."""

    def __init__(self, server: Server, source: ListSource) -> None:
        self._store = server.store
        self._cache = server.cbor
        self._source = source
        self._resource = source.resource
        self._form = server.cbor.form_of(source.resource)

    def record_parts(self, records: Sequence[Record]) -> Generator[bytes, None, None]:
        """Yield the parts of a list of records."""
        yield self._head(len(records))
        yield from self._items(records)

    def page_parts(self) -> Generator[bytes, None, None]:
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
                        gathered.append(part)
                        gathered_bytes += len(part)
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

    def _items(self, records: Sequence[Record]) -> Generator[bytes, None, None]:
        item, form = self._cache.item, self._form
        for start in range(0, len(records), _RECORDS_A_PART):
            some = records[start : start + _RECORDS_A_PART]
            yield b"".join([item(form, record, is_listed=True) for record in some])

    def parts(self) -> Generator[bytes, None, None]:
        """Yield the parts of a list of all that is chosen, which storage finds.

        Raises:
            StorageError: it cannot be read on; some of it may have been given out.
        """
        gathering = _Gathering(self._cache.forms_of(self._form))
        with closing(self._store.scan_forms(self._source.query(), gathering.forms)) as scan:
            self._source.revision = scan.revision
            total = scan.known_rest()
            if total is None:
                has_all = yield from gathering.gather(scan)
                rest = 0 if has_all else (yield from self._count_after(scan))
                total = scan.returned + rest
            yield self._head(total)
            yield from gathering.given_back()
            yield from map(b"".join, scan)
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
        document = {
            "kind": self._resource.info.list_kind,
            "apiVersion": self._resource.api_version,
            "metadata": self._source.meta(),
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
        self._made_bytes += len(item)
        return item

    def gather(self, scan: FormScan) -> Generator[bytes, None, bool]:
        """Take chunks until too much of them is held by nobody else; return whether it has all."""
        for chunk in scan:
            self._chunks.append(chunk)
            if self._made_bytes > _MADE_BYTES_MAX or scan.returned > _GATHERED_MAX:
                return False
            yield b""
        return True

    def given_back(self) -> Iterator[bytes]:
        """Yield what was gathered, and forget it."""
        while self._chunks:
            yield b"".join(self._chunks.popleft())
