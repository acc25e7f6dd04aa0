"""get and list: consistent reads from the local replica, lists streamed from a snapshot.

A list holds no more than a chunk of itself in memory: chunks are joined from stored bytes, and the
next is read when the connection has taken the last. Only Tables and other shapes parse objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import chain
from typing import Any, Final

import orjson

from apiserver.errors import expired_continue, expired_list, from_storage_error
from apiserver.exchange import JSON_TYPE, Exchange
from apiserver.options import list_options
from apiserver.resources import Resource, Target
from apiserver.server import Server
from apiserver.verbs.answer import META_VERSIONS, respond_negotiated, respond_object
from apiserver.verbs.list_layout import COMPACT, INDENTED
from apiserver.verbs.negotiation import media_of
from apiserver.verbs.plan import Plan, await_revision, parse_revision, plan_list
from apiserver.verbs.selection import Selection, select
from apiserver.verbs.tokens import INCONSISTENT, encode_token
from kube import status as st
from kube.json_types import JsonObject
from kube.media import MediaType
from kube.table.documents import table_document, table_options
from kube.table.partial import partial_object_metadata
from kube.table.printers import printer_for
from storage.errors import Compacted, StorageError
from storage.record import Record
from storage.scan import Query, Scan

_CHUNK_BYTES: Final = 128 << 10


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


async def list_(server: Server, exchange: Exchange, target: Target) -> None:
    """Answer with the objects that the list options select."""
    resource = target.resource
    media = media_of(exchange)
    options = list_options(exchange)
    chosen = select(resource, target, options)
    plan = await plan_list(server, target, options)
    reader = ListReader(server, resource, chosen, plan)
    try:
        await reader.answer(exchange, media)
    except Compacted as error:
        raise expired(plan) from error
    except StorageError as error:
        if exchange.code:
            # The answer has begun: the only honest end is a broken one.
            exchange.abort()
            return
        raise from_storage_error(error, resource.group_resource) from error


def expired(plan: Plan) -> st.StatusError:
    """410: the revision of a list is gone; with a token to go on if it is a later page."""
    if plan.after is None:
        return expired_list()
    token = encode_token(INCONSISTENT, plan.after, all_namespaces=plan.all_namespaces)
    return expired_continue(token)


class ListReader:
    """One list being answered.

    Attributes:
        revision: that it shows, once it is being read.
    """

    def __init__(self, server: Server, resource: Resource, chosen: Selection, plan: Plan) -> None:
        self._server = server
        self._resource = resource
        self._chosen = chosen
        self._plan = plan
        self._layout = COMPACT
        self.revision = 0
        self.more = False
        self.last: tuple[str, str] | None = None
        self.remaining: int | None = None

    async def answer(self, exchange: Exchange, media: MediaType) -> None:
        """Write the list in the negotiated shape and encoding.

        Raises:
            StatusError: 406, it has not the shape asked for.
            Compacted: the revision is gone.
        """
        if not self._joins(media) or self._chosen.by_key or self._chosen.empty:
            await self.answer_with(exchange, media, self.records())
            return
        if media.pretty:
            self._layout = INDENTED
        if self._plan.limit:
            await self._answer_page(exchange)
        else:
            await self._stream(exchange)

    async def answer_with(
        self, exchange: Exchange, media: MediaType, records: Iterable[Record]
    ) -> None:
        """Write a list of these records, which are of `records`."""
        resource = self._resource
        if self._joins(media):
            layout = INDENTED if media.pretty else COMPACT
            strip = resource.item_strip
            bodies = [record.body[strip:] for record in records]
            head = layout.head(resource, self._list_meta())
            await exchange.respond(200, layout.whole(head, bodies))
            return
        # The cells of a Table are made from the stored shape.
        is_stored = media.kind == "Table" and resource.converted
        decode = orjson.loads if is_stored else resource.decode_stored
        objects = [decode(record.body) for record in records]
        await self._answer_decoded(exchange, media, objects)

    def _joins(self, media: MediaType) -> bool:
        """Tell whether the list can be put together from stored bodies."""
        return media.encoding == "json" and not media.kind and not self._resource.converted

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
        resource, store, layout = self._resource, self._server.store, self._layout
        with closing(store.scan_bodies(self._query(), strip=resource.item_strip)) as scan:
            self.revision = scan.revision
            head = self._head()
            first = next(scan, [])
            following = next(scan, None)
            if following is None:
                await exchange.respond(200, layout.whole(head, first))
                return
            await exchange.start(200, JSON_TYPE)
            opening, ending = head + layout.before, head + layout.nothing
            for chunk in _joined(first, following, scan):
                await exchange.write(opening + layout.items(chunk))
                opening, ending = layout.between, layout.after
                # A fast reader never makes us wait, and others want their turn.
                await self._server.list_steps.next()
            # Filters may have left nothing of several chunks.
            await exchange.write(ending)
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
                    self._note_rest(scan)
                    break
        body = self._layout.whole(self._head(), pieces)
        if len(body) <= _CHUNK_BYTES:
            await exchange.respond(200, body)
            return
        await exchange.start(200, JSON_TYPE)
        await exchange.write(body)
        await exchange.finish()

    def _note_rest(self, scan: Scan[Any]) -> None:
        self.last = scan.last_key
        self.more = scan.has_more()
        if self.more and not self._chosen.filtered:
            left = self._plan.left
            # Counting takes as long as there are objects; only the first page has to.
            self.remaining = scan.remaining() if left is None else max(1, left - scan.returned)

    def records(self) -> Iterator[Record]:
        """Yield the chosen records: by name, or from a scan."""
        chosen, store, resource = self._chosen, self._server.store, self._resource
        self.revision = self._plan.revision or store.current_revision(resource.storage)
        if chosen.empty:
            return
        if chosen.name is not None and (chosen.namespace or not resource.namespaced):
            yield from self._named(chosen.namespace or "", chosen.name)
            return
        if chosen.by_key:
            yield from self._picked()
            return
        with closing(store.scan(self._query())) as scan:
            self.revision = scan.revision
            for chunk in scan:
                yield from chunk
                if self._plan.limit and scan.returned >= self._plan.limit:
                    self._note_rest(scan)
                    break

    def _picked(self) -> Iterator[Record]:
        """Yield what conditions on names and namespaces leave, whole pages of it."""
        query = replace(self._query(), limit=None)
        taken = 0
        with closing(self._server.store.scan(query)) as scan:
            self.revision = scan.revision
            for record in chain.from_iterable(scan):
                if not self._chosen.admits(record.name, record.namespace):
                    continue
                if taken and taken == self._plan.limit:
                    self.more = True
                    return
                taken += 1
                self.last = (record.namespace, record.name)
                yield record

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
            # What was taken up again inconsistently goes on at the revision of that.
            meta["continue"] = encode_token(
                self.revision,
                self.last,
                all_namespaces=self._plan.all_namespaces,
                left=self.remaining,
            )
            if self.remaining:
                meta["remainingItemCount"] = self.remaining
        return meta

    def _head(self) -> bytes:
        return self._layout.head(self._resource, self._list_meta())

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
            show = resource.from_storage if resource.converted else None
            meta = self._list_meta()
            return table_document(printer, objects, meta, now_s, options, show=show)
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
