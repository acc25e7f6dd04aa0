"""get and list: consistent reads from the local replica, lists streamed from a snapshot.

A list holds no more than a chunk of itself in memory: chunks are joined from stored bytes, and the
next is read when the connection has taken the last. Only Tables and other shapes parse objects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from typing import Final, NamedTuple

import orjson

from apiserver.errors import expired_continue, from_storage_error, too_large_revision
from apiserver.exchange import JSON_TYPE, Exchange
from apiserver.options import EXACT, ListOptions, list_options
from apiserver.resources import Resource, Target
from apiserver.server import FRESH_TIMEOUT_S, Server
from apiserver.verbs.answer import META_VERSIONS, respond_negotiated, respond_object
from apiserver.verbs.selection import Selection, select
from apiserver.verbs.tokens import INCONSISTENT, Position, decode_token, encode_token
from kube import status as st
from kube.field import quote
from kube.json_types import JsonObject
from kube.media import MediaType, negotiate
from kube.table.documents import table_document, table_options
from kube.table.partial import partial_object_metadata
from kube.table.printers import printer_for
from storage.errors import Compacted, StorageError
from storage.record import Record
from storage.scan import Query

_CHUNK_BYTES: Final = 128 << 10


def parse_revision(text: str) -> int:
    """Return a resourceVersion as a number.

    Raises:
        StatusError: 400, it is none.
    """
    if not (text.isascii() and text.isdigit()):
        raise st.bad_request(
            f"Invalid value: {quote(text)}: strconv.ParseUint: parsing {quote(text)}: "
            "invalid syntax"
        )
    return int(text)


async def await_revision(server: Server, resource: Resource, revision: int) -> None:
    """Wait until the replica is at `revision`.

    Raises:
        StatusError: 504 with cause ResourceVersionTooLarge.
    """
    try:
        await server.store.wait_for(resource.storage, revision, FRESH_TIMEOUT_S)
    except StorageError as error:
        raise from_storage_error(error, resource.group_resource) from error


async def get(server: Server, exchange: Exchange, target: Target) -> None:
    """Answer with one object."""
    resource = target.resource
    version = exchange.parameter("resourceVersion")
    if not version:
        await server.fresh(resource)
    elif version != "0":
        await await_revision(server, resource, parse_revision(version))
    record = server.store.get(resource.storage, target.namespace, target.name)
    if record is None:
        raise st.not_found(resource.group, resource.plural, target.name)
    await respond_object(server, exchange, resource, record.body)


class _Plan(NamedTuple):
    """What a list reads.

    Attributes:
        revision: an exact one, None: the latest.
        after: the object after which it starts.
        limit: at most so many, 0: all.
        inconsistent: goes on after its first revision has been compacted.
    """

    revision: int | None
    after: tuple[str, str] | None
    limit: int
    inconsistent: bool = False


async def list_(server: Server, exchange: Exchange, target: Target) -> None:
    """Answer with the objects that the list options select."""
    resource = target.resource
    options = list_options(exchange)
    media = negotiate(exchange.accept)
    chosen = select(resource, target, options)
    plan = await _plan(server, resource, options)
    reader = _Reader(server, resource, chosen, plan)
    try:
        await reader.answer(exchange, media)
    except Compacted as error:
        raise _expired(server, resource, plan, error) from error
    except StorageError as error:
        if exchange.code:
            # The answer has begun: the only honest end is a broken one.
            exchange.abort()
            return
        raise from_storage_error(error, resource.group_resource) from error


async def _plan(server: Server, resource: Resource, options: ListOptions) -> _Plan:
    """Settle which revision a list shows: upstream's table of resourceVersion and match."""
    limit = max(options.limit, 0)
    version = options.resource_version
    if options.continue_token:
        if version not in ("", "0"):
            text = "specifying resource version is not allowed when using continue"
            raise st.bad_request(text)
        return await _plan_continued(server, resource, options.continue_token, limit)
    if not version:
        await server.fresh(resource)
        return _Plan(None, None, limit)
    revision = parse_revision(version)
    if revision == 0:
        return _Plan(None, None, 0)
    exact = options.match == EXACT or (not options.match and limit > 0)
    if not exact:
        await await_revision(server, resource, revision)
        return _Plan(None, None, limit)
    current = await server.fresh(resource)
    if revision > current:
        raise too_large_revision(revision, current)
    return _Plan(revision, None, limit)


async def _plan_continued(server: Server, resource: Resource, token: str, limit: int) -> _Plan:
    position: Position = decode_token(token, namespaced=resource.namespaced)
    if position.revision == INCONSISTENT:
        await server.fresh(resource)
        return _Plan(None, position.after, limit, inconsistent=True)
    if position.revision < 0:
        raise st.bad_request("continue key is not valid: incorrect encoded resourceVersion")
    if position.revision > server.store.current_revision(resource.storage):
        await await_revision(server, resource, position.revision)
    return _Plan(position.revision, position.after, limit)


def _expired(server: Server, resource: Resource, plan: _Plan, error: Compacted) -> st.StatusError:
    if plan.after is None:
        return from_storage_error(error)
    return expired_continue(encode_token(INCONSISTENT, plan.after, namespaced=resource.namespaced))


class _Reader:
    """One list being answered."""

    def __init__(self, server: Server, resource: Resource, chosen: Selection, plan: _Plan) -> None:
        self._server = server
        self._resource = resource
        self._chosen = chosen
        self._plan = plan
        self.revision = 0
        self.more = False
        self.last: tuple[str, str] | None = None
        self.remaining: int | None = None

    async def answer(self, exchange: Exchange, media: MediaType) -> None:
        """Write the list in the negotiated shape and encoding."""
        resource, chosen = self._resource, self._chosen
        if media.is_plain_json and not resource.converted:
            if chosen.name is None and not (chosen.not_names or chosen.not_namespaces):
                if self._plan.limit:
                    await self._answer_page(exchange)
                else:
                    await self._stream(exchange)
                return
            bodies = (record.body for record in self._records())
            items = b",".join(b"{" + body[resource.item_strip :] for body in bodies)
            await exchange.respond(200, self._head() + items + b"]}\n")
            return
        objects = [resource.decode_stored(record.body) for record in self._records()]
        await self._answer_decoded(exchange, media, objects)

    def _query(self) -> Query:
        chosen, plan = self._chosen, self._plan
        return Query(
            self._resource.storage,
            chosen.namespace,
            start_after=plan.after,
            revision=plan.revision,
            limit=plan.limit or None,
            match=chosen.match,
            index=chosen.by_index,
        )

    async def _stream(self, exchange: Exchange) -> None:
        """Write a whole list in chunks; memory stays at one chunk, however long the list."""
        resource, store = self._resource, self._server.store
        if self._chosen.empty:
            self.revision = store.current_revision(resource.storage)
            await exchange.respond(200, self._head() + b"]}\n")
            return
        # An item is `{` and its body behind the constant kind and apiVersion.
        with closing(store.scan_bodies(self._query(), strip=resource.item_strip)) as scan:
            self.revision = scan.revision
            head = self._head()
            first = next(scan, [])
            following = next(scan, None)
            if following is None:
                tail = b"]}\n"
                body = b"{" + b",{".join(first) if first else b""
                await exchange.respond(200, head + body + tail)
                return
            await exchange.start(200, JSON_TYPE)
            opening = head + b"{"
            for chunk in _joined(first, following, scan):
                await exchange.write(opening + b",{".join(chunk))
                opening = b",{"
                # A fast reader never makes us wait, and others want their turn.
                await asyncio.sleep(0)
            # Filters may have left nothing of several chunks.
            await exchange.write(b"]}\n" if opening == b",{" else head + b"]}\n")
            await exchange.finish()

    async def _answer_page(self, exchange: Exchange) -> None:
        """Write one page: it is bounded by its limit, and its head names what follows it."""
        resource = self._resource
        pieces: list[bytes] = []
        with closing(
            self._server.store.scan_bodies(self._query(), strip=resource.item_strip)
        ) as scan:
            self.revision = scan.revision
            for chunk in scan:
                pieces += chunk
                if scan.returned >= self._plan.limit:
                    self._note_rest(scan.last_key, scan.remaining())
                    break
        items = b"{" + b",{".join(pieces) if pieces else b""
        head = self._head()
        if len(items) <= _CHUNK_BYTES:
            await exchange.respond(200, head + items + b"]}\n")
            return
        await exchange.start(200, JSON_TYPE)
        await exchange.write(head + items + b"]}\n")
        await exchange.finish()

    def _note_rest(self, last: tuple[str, str] | None, remaining: int) -> None:
        self.last = last
        self.more = remaining > 0
        self.remaining = remaining if not self._chosen.filtered else None

    def _records(self) -> Iterator[Record]:
        """Yield the chosen records: by name, or from a scan."""
        chosen, store, resource = self._chosen, self._server.store, self._resource
        self.revision = self._plan.revision or store.current_revision(resource.storage)
        if chosen.empty:
            return
        if chosen.name is not None and (chosen.namespace or not resource.namespaced):
            yield from self._named(chosen.namespace or "", chosen.name)
            return
        with closing(store.scan(self._query())) as scan:
            self.revision = scan.revision
            for chunk in scan:
                for record in chunk:
                    if chosen.admits(record.name, record.namespace):
                        yield record
                if self._plan.limit and scan.returned >= self._plan.limit:
                    self._note_rest(scan.last_key, scan.remaining())
                    break

    def _named(self, namespace: str, name: str) -> Iterator[Record]:
        store, storage = self._server.store, self._resource.storage
        after = self._plan.after
        if after is not None and (namespace, name) <= after:
            return
        record = store.get(storage, namespace, name, self._plan.revision)
        if record is None or not self._chosen.admits(name, namespace):
            return
        if self._chosen.match is None or self._chosen.match(record.meta):
            yield record

    def _list_meta(self) -> JsonObject:
        meta: JsonObject = {"resourceVersion": str(self.revision)}
        if self.more and self.last is not None:
            revision = INCONSISTENT if self._plan.inconsistent else self.revision
            # What was inconsistent once goes on at the revision it was taken up again.
            revision = self.revision if self._plan.inconsistent else revision
            meta["continue"] = encode_token(
                revision, self.last, namespaced=self._resource.namespaced
            )
            if self.remaining:
                meta["remainingItemCount"] = self.remaining
        return meta

    def _head(self) -> bytes:
        meta = orjson.dumps(self._list_meta())
        return self._resource.list_head + b',"metadata":' + meta + b',"items":['

    async def _answer_decoded(
        self, exchange: Exchange, media: MediaType, objects: list[JsonObject]
    ) -> None:
        document = self._document(exchange, media, objects)
        await respond_negotiated(exchange, media, document, 200)

    def _document(
        self, exchange: Exchange, media: MediaType, objects: list[JsonObject]
    ) -> JsonObject:
        resource = self._resource
        if media.kind == "Table":
            options = table_options(exchange.parameter("includeObject"), media.version)
            printer = printer_for(resource.storage)
            now_s = self._server.clock.now_s()
            return table_document(printer, objects, self._list_meta(), now_s, options)
        if media.kind == "PartialObjectMetadata":
            raise st.wrong_shape(media.kind, resource.group, resource.info.list_kind, is_list=True)
        if media.kind == "PartialObjectMetadataList":
            version = META_VERSIONS[media.version]
            kind, api_version = media.kind, version
            items = [partial_object_metadata(obj, version) for obj in objects]
        else:
            kind, api_version = resource.info.list_kind, resource.api_version
            items = [_without_type(obj) for obj in objects]
        return {
            "kind": kind,
            "apiVersion": api_version,
            "metadata": self._list_meta(),
            "items": items,
        }


def _without_type(obj: JsonObject) -> JsonObject:
    obj.pop("kind", None)
    obj.pop("apiVersion", None)
    return obj


def _joined(
    first: list[bytes], second: list[bytes], rest: Iterator[list[bytes]]
) -> Iterator[list[bytes]]:
    """Yield the chunks that hold something; filters leave some empty."""
    for chunk in (first, second):
        if chunk:
            yield chunk
    for chunk in rest:
        if chunk:
            yield chunk
