"""Where verbs wait for custom objects to be brought to the version that a request speaks.

A built-in type's objects differ between versions in what a slice or a function changes at once;
those of a custom type may have to be completed by their schema, or converted by a webhook.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

from apiserver.aside import LARGE_BYTES, rendered
from apiserver.custom.definition import DEFINITIONS
from apiserver.custom.resource import CustomResource
from apiserver.resources import Resource
from kube.json_types import JsonObject
from storage.event import Event
from storage.record import Record
from storage.store_view import StoreView
from storage.txn import Check

_THREADS_MAX: Final = 8
_threads: Final = ThreadPoolExecutor(_THREADS_MAX, thread_name_prefix="conversions")
"""Of their own: whoever waits for a slow webhook must not keep others from theirs."""
Given = ParamSpec("Given")
Result = TypeVar("Result")


async def bring(resource: Resource, record: Record) -> Record:
    """Return a record that was read as `resource` shows it.

    Raises:
        StatusError: 500, a webhook failed to convert it.
    """
    if not isinstance(resource, CustomResource):
        return record
    if not resource.needs_calls:
        if len(record.body) > LARGE_BYTES and not resource.is_current(record):
            return await rendered(resource.show, record)
        return resource.show(record)
    return (await resource.brought((record,)))[0]


async def answered(resource: Resource, body: bytes) -> bytes:
    """Return a body that was just stored, or is brought already, as `resource` shows it.

    Raises:
        StatusError: 500, a webhook failed to convert it.
    """
    if not isinstance(resource, CustomResource):
        return body
    return await resource.answered(body) if resource.needs_calls else resource.serve(body)


async def make_ready(resource: Resource) -> None:
    """Return when writes of a type can be checked at once."""
    if isinstance(resource, CustomResource):
        await resource.make_ready()


async def prepared(
    function: Callable[Given, Result], *args: Given.args, **options: Given.kwargs
) -> Result:
    """Return what a function returns that may wait for a webhook, in a thread of those for that."""
    return await asyncio.get_running_loop().run_in_executor(
        _threads, partial(function, *args, **options)
    )


async def kept(resource: Resource, obj: JsonObject, managed: object = None) -> JsonObject:
    """Return an object that is about to be encoded, in a version that `Resource.encode` takes.

    Raises:
        StatusError: 500, a webhook failed to convert it.
    """
    if isinstance(resource, CustomResource) and resource.needs_calls:
        return await resource.kept(obj, managed)
    return obj


def creation_guards(store: StoreView, resource: Resource) -> tuple[Check, ...]:
    """Return what a create of a custom object is conditional on: its definition being as it is.

    So nothing is created any more once a definition's deletion has begun, wherever that was taken.

    Raises:
        StatusError: 403, it has begun; 404, the definition is gone.
    """
    assert isinstance(resource, CustomResource), "only custom types have definitions"
    definition = resource.type.definition_for_create()
    if store.partition_of(DEFINITIONS) is not store.partition_of(resource.storage):
        return ()  # a transaction is in one partition
    return (Check(DEFINITIONS, "", definition.name, definition.revision),)


def is_kept_alike(resource: Resource, record: Record) -> bool:
    """Tell whether a record, as it is stored, is as it would be stored now."""
    return not isinstance(resource, CustomResource) or resource.is_current(record)


def shown_events(resource: Resource, events: Sequence[Event]) -> Sequence[Event]:
    """Return events as `resource` shows them, once they are at hand."""
    if not isinstance(resource, CustomResource):
        return events
    return [resource.show_event(event) for event in events]
