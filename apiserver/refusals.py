"""What the router answers where no handler does: who is turned away, and how failures are told."""

from __future__ import annotations

import logging
from typing import Final

from apiserver.errors import TOO_MANY_REQUESTS, TOO_MANY_REQUESTS_TEXT, from_storage_error
from apiserver.exchange import Exchange
from apiserver.fairness.gate import Refused
from apiserver.resources import Target
from kube import status as st
from kube.field import quote
from storage.errors import StorageError

_log: Final = logging.getLogger(__name__)


async def turn_away(exchange: Exchange, refusal: Refused) -> None:
    """Tell a client that there is no room now, and when to come back."""
    exchange.headers += (
        (b"retry-after", b"%d" % refusal.retry_after_s),
        (b"x-content-type-options", b"nosniff"),
    )
    await exchange.respond(TOO_MANY_REQUESTS, TOO_MANY_REQUESTS_TEXT, b"text/plain; charset=utf-8")


def status_of(error: st.StatusError | StorageError, target: Target) -> st.StatusError:
    """Return what a client is told of an error."""
    if isinstance(error, st.StatusError):
        return error
    return from_storage_error(error, target.resource.group_resource)


def unexpected(exchange: Exchange, error: Exception) -> st.StatusError:
    """Return what a client is told of an error that nobody has foreseen."""
    if isinstance(error, RecursionError):
        # Only what a client has nested can be deeper than our walks reach.
        return st.bad_request("json: exceeded max depth")
    # A bug of ours: the client hears of it, and the log has where.
    _log.error("%s %s failed", exchange.method, quote(exchange.path), exc_info=error)
    return st.internal_error(repr(error))


def no_method(exchange: Exchange, target: Target, verb: str) -> st.StatusError:
    """Return what a client is told that asks for what a resource cannot do."""
    resource = target.resource
    if target.subresource and target.subresource_info is None:
        return st.nothing_there()
    if verb == "watch" and "watch" not in resource.info.verbs:
        if target.watch:
            return st.nothing_there()  # there is no such path
        if "list" in resource.info.verbs:
            return st.method_not_allowed(resource.group, resource.plural, verb)
    exchange.headers.append((b"connection", b"close"))
    return st.wrong_method()


def impossible_name(name: str) -> st.StatusError:
    """Return what a client is told that asks for an object by what can be no part of a path."""
    fault = "may not contain '%'" if "%" in name else f"may not be '{name}'"
    return st.bad_request(f"Name parameter invalid: {quote(name)}: {fault}")
