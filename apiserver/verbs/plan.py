"""Which state a read shows: resourceVersion, resourceVersionMatch and continue, settled."""

from __future__ import annotations

from typing import Final, NamedTuple

from apiserver.errors import from_storage_error, too_large_revision
from apiserver.options import EXACT, ListOptions
from apiserver.resources import Resource, Target
from apiserver.server import FRESH_TIMEOUT_S, Server
from apiserver.verbs.tokens import Position, decode_token
from kube import status as st
from kube.field import quote
from storage.errors import StorageError

_REVISION_MAX: Final = 2**64 - 1
_REVISION_DIGITS_MAX: Final = len(str(_REVISION_MAX))


def parse_revision(text: str, problem: str = "") -> int:
    """Return a resourceVersion as a number.

    Args:
        text: as the client sent it.
        problem: what an error message begins with.

    Raises:
        StatusError: 400, it is none. (Upstream's get and watch say the same with a 500.)
    """
    if not (text.isascii() and text.isdigit()):
        why = "invalid syntax"
    elif len(digits := text.lstrip("0") or "0") > _REVISION_DIGITS_MAX or (
        int(digits) > _REVISION_MAX
    ):
        why = "value out of range"
    else:
        return int(digits)
    parsing = f"strconv.ParseUint: parsing {quote(text)}: {why}"
    raise st.bad_request(f"{problem}resourceVersion: Invalid value: {quote(text)}: {parsing}")


async def await_revision(server: Server, resource: Resource, revision: int) -> None:
    """Wait until the replica is at `revision`.

    Raises:
        StatusError: 504 with cause ResourceVersionTooLarge.
    """
    try:
        await server.store.wait_for(resource.storage, revision, FRESH_TIMEOUT_S)
    except StorageError as error:
        raise from_storage_error(error, resource.group_resource) from error


class Plan(NamedTuple):
    """What a list reads.

    Attributes:
        revision: an exact one, None: the latest.
        after: the object after which it starts.
        limit: at most so many, 0: all.
        all_namespaces: whether it goes through the namespaces of a namespaced type.
        left: how many objects follow `after`, None: not known.
    """

    revision: int | None
    after: tuple[str, str] | None
    limit: int
    all_namespaces: bool = False
    left: int | None = None


async def plan_list(
    server: Server, target: Target, options: ListOptions, *, is_single: bool
) -> Plan:
    """Settle which revision a list shows: upstream's table of resourceVersion and match.

    A list of a single key has no pages: it takes no continue token, not even a wrong one, and a
    limit does not make its revision an exact one.
    """
    resource = target.resource
    all_namespaces = resource.namespaced and not target.namespace
    limit = max(options.limit, 0)
    version = options.resource_version
    if options.continue_token and not is_single:
        token = options.continue_token
        position = decode_token(token, target.namespace, all_namespaces=all_namespaces)
        if version not in ("", "0"):
            text = "specifying resource version is not allowed when using continue"
            raise st.bad_request(text)
        plan = await _plan_continued(server, resource, position, limit)
        return plan._replace(all_namespaces=all_namespaces)
    if not version:
        await server.fresh(resource)
        return Plan(None, None, limit, all_namespaces)
    revision = parse_revision(version, "invalid resource version: ")
    if revision == 0:
        return Plan(None, None, 0, all_namespaces)
    exact = options.match == EXACT or (not options.match and limit > 0 and not is_single)
    if not exact:
        await await_revision(server, resource, revision)
        return Plan(None, None, limit, all_namespaces)
    if revision > server.store.current_revision(resource.storage):
        current = await server.fresh(resource)
        if revision > current:
            raise too_large_revision(revision, current)
    return Plan(revision, None, limit, all_namespaces)


async def _plan_continued(
    server: Server, resource: Resource, position: Position, limit: int
) -> Plan:
    if position.revision < 0:
        await server.fresh(resource)
        return Plan(None, position.after, limit)
    if position.revision > server.store.current_revision(resource.storage):
        await await_revision(server, resource, position.revision)
    return Plan(position.revision, position.after, limit, left=position.left)
