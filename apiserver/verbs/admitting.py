"""Admission of requests that are no plain write of an object: parts with a kind of their own.

Both phases run before anything is done, as upstream's do for bindings, evictions, tokens, reviews
and connections.
"""

from __future__ import annotations

from apiserver.admission.attributes import CONNECT, CREATE, Attributes
from apiserver.exchange import Exchange
from apiserver.options import WriteOptions
from apiserver.resources import Target
from apiserver.server import Server
from kube.json_types import JsonObject


async def admit(
    server: Server, exchange: Exchange, target: Target, obj: JsonObject, options: WriteOptions
) -> JsonObject:
    """Let admission look at the object of a POST.

    Returns:
        What it has made of it, which may be the same object.

    Raises:
        StatusError: it is refused.
    """
    return await _run(server, exchange, target, obj, options)


async def admit_connection(
    server: Server, exchange: Exchange, target: Target, options: JsonObject
) -> None:
    """Let admission look at a connection to a pod, service or node.

    Args:
        server: the server.
        exchange: the request.
        target: what is connected to.
        options: an object of the subresource's kind, without apiVersion and kind.

    Raises:
        StatusError: it is refused.
    """
    await _run(server, exchange, target, options, None)


async def _run(
    server: Server,
    exchange: Exchange,
    target: Target,
    obj: JsonObject,
    options: WriteOptions | None,
) -> JsonObject:
    operation = CONNECT if options is None else CREATE
    plan = server.admission.plan(target.resource, target.subresource, operation)
    if plan is None:
        return obj
    name = target.name or (obj.get("metadata") or {}).get("name", "")
    key = target.namespace, name
    attributes = Attributes(exchange, operation, target.resource, key, (obj, None), options)
    attributes.subresource, attributes.part = target.subresource, target.subresource_info
    for phase in (plan.mutate, plan.validate):
        waiting = phase(attributes)
        if waiting is not None:
            await waiting
    assert attributes.obj is not None
    return attributes.obj
