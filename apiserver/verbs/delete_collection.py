"""deletecollection: what a list selects is deleted, and the answer is that list.

Objects are deleted as they are read, a few at a time. Of what was read only little is kept: where
there is more, the answer is read once more, from history, at the revision of the list. So memory
does not grow with the collection. If history is gone by then (the deletes took longer than it is
kept), the answer is a list without items.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import closing
from typing import Final

from apiserver.exchange import Caller, Exchange
from apiserver.options import DeleteOptions, list_options
from apiserver.resources import Resource, Target
from apiserver.server import Server
from apiserver.verbs.delete import delete_object, read_options
from apiserver.verbs.list_answer import PAGE_BYTES_MAX, answer_list, answer_records
from apiserver.verbs.list_formats import list_format
from apiserver.verbs.list_source import ListSource
from apiserver.verbs.negotiation import media_of
from apiserver.verbs.plan import plan_list
from apiserver.verbs.read import expired
from apiserver.verbs.selection import select
from kube import status as st
from storage.errors import Compacted
from storage.record import Record

_WORKERS: Final = 64


async def delete_collection(server: Server, exchange: Exchange, target: Target) -> None:
    """Delete every object that the list options select, and answer with their list.

    With a limit they are those of one page, as they are of an exact revision if one is named.
    """
    resource = target.resource
    media = media_of(exchange)
    listing = list_options(exchange)
    chosen = select(resource, target, listing)
    options = await read_options(exchange)
    plan = await plan_list(
        server, target, listing, is_single=chosen.is_single(namespaced=resource.namespaced)
    )
    how = list_format(server, exchange, resource, media)
    source = ListSource(server.store, resource, chosen, plan)
    try:
        kept, count = await _delete_all(server, exchange, source, options)
    except Compacted as error:
        raise expired(plan) from error
    if kept is None:
        again = source.again(count)
        if server.store.compact_revision(resource.storage) <= again.revision:
            await answer_list(server, exchange, again, how, media)
            return
    await answer_records(server, exchange, source, kept or (), how, media)


async def _delete_all(
    server: Server, caller: Caller, source: ListSource, options: DeleteOptions
) -> tuple[list[Record] | None, int]:
    """Delete what a list reads; return its records, None for too much, and how many there were."""
    kept: list[Record] | None = []
    kept_bytes = count = 0
    with closing(source.records()) as chunks:
        for chunk in chunks:
            # Before anything is deleted: a webhook may fail to convert it.
            shown = await source.brought(chunk)
            count += len(shown)
            if kept is not None:
                kept += shown
                kept_bytes += sum(len(record.body) for record in shown)
                if kept_bytes > PAGE_BYTES_MAX:
                    kept = None
            await _delete_some(server, caller, source.resource, shown, options)
            await server.list_steps.next()
    return kept, count


async def _delete_some(
    server: Server,
    caller: Caller,
    resource: Resource,
    records: Sequence[Record],
    options: DeleteOptions,
) -> None:
    for start in range(0, len(records), _WORKERS):
        batch = records[start : start + _WORKERS]
        await asyncio.gather(
            *(_delete_found(server, caller, resource, record, options.copy()) for record in batch)
        )


async def _delete_found(
    server: Server, caller: Caller, resource: Resource, record: Record, options: DeleteOptions
) -> None:
    key = record.namespace, record.name
    try:
        await delete_object(server, caller, resource, key, options)
    except st.StatusError as error:
        if error.code != 404:
            raise
