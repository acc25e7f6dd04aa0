"""Writes lists: drives a format over what a list reads, in memory that does not grow with the list.

No more than a chunk of a list is held at a time: the next is read when the connection has taken the
last. A page is held as a whole, as its metadata comes first and names what follows it; one that is
large is looked through, and read a second time to be written.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import chain
from typing import Final, TypeAlias

from apiserver.aside import LARGE_BYTES
from apiserver.exchange import Exchange
from apiserver.parts import Part, respond_parts
from apiserver.server import Server
from apiserver.verbs.answer import respond_negotiated
from apiserver.verbs.list_cbor import answer_cbor_list, answer_cbor_records
from apiserver.verbs.list_formats import Format, Shape
from apiserver.verbs.list_source import ListSource
from kube.json_types import JsonObject
from kube.media import MediaType
from storage.record import Record

PAGE_BYTES_MAX: Final = 2 << 20
"""How much of a page is kept until its metadata is known."""
_RECORDS_A_CHUNK: Final = 64
_Chunks: TypeAlias = Generator[list[bytes], None, None]


async def answer_list(
    server: Server, exchange: Exchange, source: ListSource, how: Format | Shape, media: MediaType
) -> None:
    """Write a list.

    Raises:
        StorageError: the rest of it cannot be read; the answer may have begun.
        ClientGone: there is nobody to answer any more.
    """
    resource = source.resource
    if resource.needs_calls:
        await _answer_brought(server, exchange, source, how, media)
        return
    if media.encoding == "cbor":
        await answer_cbor_list(server, exchange, source, _shown(how, media))
        return
    strips = isinstance(how, Format) and how.strips
    chunks = source.bodies(strips=strips)
    if source.limit:
        chunks = await _settled(server, exchange, source, chunks, strips=strips)
    with closing(chunks):
        if isinstance(how, Format):
            with closing(parts_of(source, chunks, how)) as parts:
                await respond_parts(server, exchange, how.content_type, parts)
            return
        bodies: list[bytes] = []
        for chunk in chunks:
            bodies += chunk
            await server.list_steps.next()
            exchange.check_client()
    await respond_negotiated(exchange, media, _whole(source, bodies, how), 200)


async def _answer_brought(
    server: Server,
    exchange: Exchange,
    source: ListSource,
    how: Format | Shape,
    media: MediaType,
) -> None:
    """Write a list whose objects a webhook may have to convert, chunk by chunk.

    A page, and what can only be encoded as a whole, is converted before any of it is written.
    """
    with closing(source.records()) as chunks:
        if source.limit or not isinstance(how, Format):
            found: list[Record] = []
            for chunk in chunks:
                found += await source.brought(chunk)
            await answer_records(server, exchange, source, found, how, media)
            return
        strip = source.resource.item_strip if how.strips else 0
        layout = None
        for chunk in chunks:
            bodies = [record.body[strip:] for record in await source.brought(chunk)]
            if not bodies:
                continue
            if layout is None:
                layout = how.layout(source.meta())
                await exchange.start(200, how.content_type)
                lead = layout.opening
            else:
                lead = layout.between
            await exchange.write(lead + how.items(bodies))
    if layout is None:
        await exchange.respond(200, how.layout(source.meta()).empty, how.content_type)
        return
    await exchange.write(layout.ending)
    await exchange.finish()


async def answer_records(
    server: Server,
    exchange: Exchange,
    source: ListSource,
    records: Sequence[Record],
    how: Format | Shape,
    media: MediaType,
) -> None:
    """Write a list of records that `source` has given out before; raises as `answer_list`."""
    if media.encoding == "cbor":
        await answer_cbor_records(server, exchange, source, records, _shown(how, media))
        return
    if not isinstance(how, Format):
        document = _whole(source, [record.body for record in records], how)
        await respond_negotiated(exchange, media, document, 200)
        return
    strip = source.resource.item_strip if how.strips else 0
    chunks = (
        [record.body[strip:] for record in records[start : start + _RECORDS_A_CHUNK]]
        for start in range(0, len(records), _RECORDS_A_CHUNK)
    )
    parts = parts_of(source, chunks, how)
    await respond_parts(server, exchange, how.content_type, parts)


async def _settled(
    server: Server, exchange: Exchange, source: ListSource, chunks: _Chunks, *, strips: bool
) -> _Chunks:
    """Read a page to its end, so that its metadata is known, and return its chunks once more."""
    kept: list[list[bytes]] = []
    kept_bytes = 0
    with closing(chunks):
        for chunk in chunks:
            kept_bytes += sum(map(len, chunk))
            if kept_bytes <= PAGE_BYTES_MAX:
                kept.append(chunk)
            else:
                kept.clear()
            await server.list_steps.next()
            exchange.check_client()
    if kept_bytes <= PAGE_BYTES_MAX:
        return (chunk for chunk in kept)
    return source.again().bodies(strips=strips)


def parts_of(
    source: ListSource, chunks: Iterable[Sequence[bytes]], how: Format
) -> Generator[Part, None, None]:
    """Yield the parts of a list, of a few milliseconds' work each; b"" where there are none yet."""
    chunks = iter(chunks)
    first = next(chunks, ())
    # Only now the revision is known.
    layout = how.layout(source.meta())
    lead = layout.opening
    has_items = False
    for chunk in chain((first,), chunks):
        if not chunk:
            yield b""
        for some in _groups(chunk, how.turn_bytes):
            if how.turn_bytes is not None and sum(map(len, some)) > LARGE_BYTES:
                yield lead
                yield partial(how.items, some)
            else:
                yield lead + how.items(some)
            has_items, lead = True, layout.between
    yield layout.ending if has_items else layout.empty


def _groups(chunk: Sequence[bytes], turn_bytes: int | None) -> Iterator[Sequence[bytes]]:
    """Cut a chunk into what is made into bytes in one turn: at least one body."""
    if turn_bytes is None:
        if chunk:
            yield chunk
        return
    start = size_bytes = 0
    for end, body in enumerate(chunk, 1):
        size_bytes += len(body)
        if size_bytes >= turn_bytes or end == len(chunk):
            yield chunk[start:end]
            start, size_bytes = end, 0


def _shown(how: Format | Shape, media: MediaType) -> Shape | None:
    """Return what a list in CBOR shows of its objects, None if it is all of them."""
    return how if media.kind and isinstance(how, Shape) else None


def _whole(source: ListSource, bodies: Iterable[bytes], shape: Shape) -> JsonObject:
    if shape.order is not None:
        bodies = sorted(bodies, key=shape.order)
    items = [shape.item(body) for body in bodies]
    return {**shape.head(source.meta()), shape.key: items}
