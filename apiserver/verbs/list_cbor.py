"""Lists in CBOR, in parts from a snapshot like those in JSON, and with the same memory.

Lengths are definite, so the number of items must be known before the first. Of a whole type it is;
else items are gathered before any is written, as long as that takes little memory: what is in the
cache is held there anyway. What follows is counted in a scan of its own, at the same revision.

    d9 d9 f7 | a4 | "kind" .. "apiVersion" .. "metadata" .. "items" 9a 00 01 86 a0 | item | item ..

A part is a few milliseconds' work at most, and may be empty: then others are to have their turn.
Invariant: the bytes are those of the whole list encoded at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Final

from apiserver.exchange import Exchange
from apiserver.resources import Resource
from apiserver.server import Server
from apiserver.verbs.answer import CBOR_TYPE
from kube.cbor_items import array_head, encode_item, map_head
from kube.codec_cbor import PREFIX
from kube.json_types import JsonObject
from storage.record import Record
from storage.scan import Query
from storage.scan_forms import Forms, FormScan

_GATHERED_MAX: Final = 1 << 16
_MADE_BYTES_MAX: Final = 1 << 20
"""So much of what is gathered may be new, and perhaps not kept by the cache."""
_WHOLE_BYTES_MAX: Final = 256 << 10
_RECORDS_A_PART: Final = 64


class CborList:
    """The lists of one resource in CBOR."""

    def __init__(self, server: Server, resource: Resource) -> None:
        self._store = server.store
        self._cache = server.cbor
        self._resource = resource
        self._form = server.cbor.form_of(resource)

    def record_parts(
        self, records: Iterable[Record], meta: Callable[[], JsonObject]
    ) -> Generator[bytes, None, None]:
        """Yield the parts of a list of records: of a page, or of what has one name.

        Args:
            records: what the list holds.
            meta: called when `records` were taken: the list's metadata.
        """
        items: list[bytes] = []
        for number, record in enumerate(records, 1):
            items.append(self._cache.item(self._form, record, is_listed=True))
            if not number % _RECORDS_A_PART:
                yield b""
        yield self._head(meta(), len(items))
        for start in range(0, len(items), _RECORDS_A_PART):
            yield b"".join(items[start : start + _RECORDS_A_PART])

    def parts(
        self, query: Query, meta: Callable[[int], JsonObject]
    ) -> Generator[bytes, None, None]:
        """Yield the parts of a list of all that a query without a limit finds.

        Args:
            query: what to list.
            meta: called with the list's revision: its metadata.

        Raises:
            StorageError: it cannot be read on; some of it may have been given out.
        """
        gathering = _Gathering(self._cache.forms_of(self._form))
        with closing(self._store.scan_forms(query, gathering.forms)) as scan:
            total = scan.known_rest()
            if total is None:
                has_all = yield from gathering.gather(scan)
                rest = 0 if has_all else (yield from self._count_after(scan, query))
                total = scan.returned + rest
            yield self._head(meta(scan.revision), total)
            yield from gathering.given_back()
            yield from map(b"".join, scan)
            assert scan.returned == total, "a list holds what was counted of it"

    def _count_after(self, scan: FormScan, query: Query) -> Generator[bytes, None, int]:
        """Return how many objects follow the last one that a scan has given out."""
        after = scan.last_key or query.start_after
        rest = replace(query, revision=scan.revision, start_after=after)
        with closing(self._store.scan_counts(rest)) as counting:
            for _ in counting:
                yield b""
            return counting.returned

    def _head(self, meta: JsonObject, count: int) -> bytes:
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


async def answer_parts(exchange: Exchange, parts: Iterator[bytes]) -> None:
    """Answer with all of `parts`: a short answer as a whole, a longer one as it is made."""
    gathered: list[bytes] = []
    size_bytes = 0
    for part in parts:
        if exchange.code:
            await exchange.write(part)
        else:
            gathered.append(part)
            size_bytes += len(part)
            if size_bytes > _WHOLE_BYTES_MAX:
                await exchange.start(200, CBOR_TYPE)
                await exchange.write(b"".join(gathered))
                gathered.clear()
        # A fast reader never makes us wait, and others want their turn.
        await asyncio.sleep(0)
    if exchange.code:
        await exchange.finish()
    else:
        await exchange.respond(200, b"".join(gathered), CBOR_TYPE)
