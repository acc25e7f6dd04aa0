"""What a request asks for, as those who decide about it see it."""

from __future__ import annotations

from typing import Final

from apiserver.authz import Attributes
from apiserver.exchange import Exchange
from apiserver.resources import Target
from apiserver.types.formats import is_path_segment_name
from kube.selector_parser import SelectorError, parse_field_selector

_SELECTING: Final = frozenset({"list", "watch", "deletecollection"})
_NO_SELECTORS: Final = ("", "")


def attributes_of(exchange: Exchange, target: Target, verb: str) -> Attributes:
    """Return what a request for a resource asks for.

    A list or watch of one object by `metadata.name` is for that name: a role for it is enough.

    Raises:
        StatusError: 400, the query can't be read.
    """
    resource = target.resource
    name, selectors = target.name, _NO_SELECTORS
    if verb in _SELECTING and exchange.scope["query_string"]:
        fields = exchange.parameter("fieldSelector")
        labels = exchange.parameter("labelSelector")
        if fields or labels:
            selectors = (fields, labels)
        if fields and not (name or target.watch or verb == "deletecollection"):
            name = selected_name(fields)
    return Attributes(
        verb or exchange.method.lower(),
        resource.group,
        resource.version,
        resource.plural,
        target.subresource,
        target.namespace,
        name,
        exchange.path,
        selectors,
    )


def selected_name(fields: str) -> str:
    """Return the one name that a field selector lets through, "" if it is none."""
    try:
        name = parse_field_selector(fields).exact_value("metadata.name")
    except SelectorError:
        return ""  # whoever serves the list will say so
    return name if name and not is_path_segment_name(name) else ""
