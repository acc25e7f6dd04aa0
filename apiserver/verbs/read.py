"""get and list: consistent reads from the local replica."""

from __future__ import annotations

from apiserver.errors import expired_continue, expired_list, from_storage_error
from apiserver.exchange import Exchange
from apiserver.options import list_options
from apiserver.resources import Target
from apiserver.server import Server
from apiserver.verbs.answer import respond_object
from apiserver.verbs.bringing import bring
from apiserver.verbs.list_answer import answer_list
from apiserver.verbs.list_formats import list_format
from apiserver.verbs.list_source import ListSource
from apiserver.verbs.negotiation import media_of
from apiserver.verbs.plan import Plan, await_revision, parse_revision, plan_list
from apiserver.verbs.selection import select
from apiserver.verbs.tokens import INCONSISTENT, encode_token
from kube import status as st
from storage.errors import Compacted, StorageError


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
    if resource.info.custom:
        record = await bring(resource, record)
    await respond_object(server, exchange, resource, record.body, record=record)


async def list_(server: Server, exchange: Exchange, target: Target) -> None:
    """Answer with the objects that the list options select."""
    resource = target.resource
    media = media_of(exchange)
    options = list_options(exchange)
    chosen = select(resource, target, options)
    plan = await plan_list(
        server, target, options, is_single=chosen.is_single(namespaced=resource.namespaced)
    )
    how = list_format(server, exchange, resource, media)
    source = ListSource(server.store, resource, chosen, plan)
    try:
        await answer_list(server, exchange, source, how, media)
    except StorageError as error:
        if exchange.code:
            # The answer has begun: the only honest end is a broken one.
            exchange.abort()
            return
        if isinstance(error, Compacted):
            raise expired(plan) from error
        raise from_storage_error(error, resource.group_resource) from error


def expired(plan: Plan) -> st.StatusError:
    """410: the revision of a list is gone; with a token to go on if it is a later page."""
    if plan.after is None:
        return expired_list()
    token = encode_token(INCONSISTENT, plan.after, all_namespaces=plan.all_namespaces)
    return expired_continue(token)
