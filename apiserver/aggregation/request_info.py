"""What a request for somebody else's types asks for, told by its path alone.

As upstream's RequestInfo: nothing is known here of what the types are.
"""

from __future__ import annotations

from typing import Final

from apiserver.asked import selected_name
from apiserver.authz import Attributes
from apiserver.exchange import Exchange
from apiserver.options import parse_bool

_VERBS: Final = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_SPECIAL: Final = frozenset({"proxy", "watch"})
_OF_NAMESPACES: Final = frozenset({"status", "finalize"})


def attributes_of_path(exchange: Exchange, parts: list[str]) -> Attributes:
    """Return what a request asks for.

    Args:
        exchange: the request.
        parts: of its path: "apis", group, version and so on.

    Raises:
        StatusError: 400, the query cannot be read.
    """
    if len(parts) < 4:
        return Attributes(exchange.method.lower(), path=exchange.path)
    group, version, rest = parts[1], parts[2], parts[3:]
    verb = _VERBS.get(exchange.method, "")
    if rest[0] in _SPECIAL and len(rest) > 1:
        verb, rest = rest[0], rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _OF_NAMESPACES:
            rest = rest[2:]
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 and verb not in _SPECIAL else ""
    selectors = ("", "")
    if not name and verb in ("get", "delete"):
        verb = "deletecollection" if verb == "delete" else "list"
        if exchange.scope["query_string"]:
            fields = exchange.parameter("fieldSelector")
            selectors = (fields, exchange.parameter("labelSelector"))
            if verb == "list":
                name = selected_name(fields)
                if parse_bool(exchange.query.get("watch")):
                    verb = "watch"
    return Attributes(
        verb or exchange.method.lower(),
        group,
        version,
        rest[0],
        subresource,
        namespace,
        name,
        exchange.path,
        selectors,
    )
