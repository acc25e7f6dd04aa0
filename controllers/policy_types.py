"""The types that a policy's rules name, to check its expressions against.

Built-in types are known; of others, those of CustomResourceDefinitions, what the server publishes
is read, whenever a policy has changed. A type that is not there is left out, as wildcards are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Final, NamedTuple

from kube.builtin_kinds import builtin_registry
from kube.client import ApiClient
from kube.json_types import JsonObject
from kube.managed.atoms import root_type
from kube.schema.compile import builtin_schemas
from kube.schema.model import Type
from kube.status import StatusError
from kube.structural.custom import CustomSchema

_log: Final = logging.getLogger(__name__)
TYPES_MAX: Final = 10
_ASKED_MAX: Final = 40
"""Requests for one policy, however many types it names that are not there."""
_GVK: Final = "x-kubernetes-group-version-kind"
_OWN: Final = ("apiVersion", "kind", "metadata")
"""Properties that every published schema has; the type knows them anyway."""


class Place(NamedTuple):
    """What a rule names: a resource in a version of a group."""

    group: str
    version: str
    resource: str


class NamedType(NamedTuple):
    """A kind, as warnings name it, and the type of its objects."""

    name: str
    type: Type


async def types_of(client: ApiClient, spec: JsonObject) -> list[NamedType]:
    """Return the types that a policy's rules name, sorted; a few of them at most.

    Raises:
        StatusError, Unreachable: the server cannot be asked.
    """
    found: dict[tuple[str, str, str], NamedType] = {}
    asked = 0
    for place in _places(spec):
        if len(found) == TYPES_MAX:
            break
        info = builtin_registry().lookup(*place)
        if info is not None:
            kind, type_ = info.kind, root_type(builtin_schemas().struct(info.schema_name))
        elif asked == _ASKED_MAX:
            continue
        else:
            asked += 1
            published = await _published(client, place)
            if published is None:
                continue
            kind, type_ = published
        name = f"{place.group}/{place.version}, Kind={kind}"
        found[place.group, place.version, kind] = NamedType(name, type_)
    return [found[key] for key in sorted(found)]


async def _published(client: ApiClient, place: Place) -> tuple[str, Type] | None:
    """Return the kind of a resource and the type that is published of it; None: there is none."""
    if not place.group:
        return None
    root = f"apis/{place.group}/{place.version}"
    try:
        listed = await client.request("GET", f"/{root}")
        document = await client.request("GET", f"/openapi/v3/{root}")
    except StatusError as error:
        if error.code == 404:
            return None
        raise
    try:
        return _read(place, listed.get("resources") or (), document)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        # Somebody else's API server says it.
        _log.info("what is published of %s cannot be read: %r", root, error)
        return None


def _read(
    place: Place, resources: Iterable[JsonObject], document: JsonObject
) -> tuple[str, Type] | None:
    kind = next((one["kind"] for one in resources if one["name"] == place.resource), "")
    wanted = {"group": place.group, "version": place.version, "kind": kind}
    for schema in (document.get("components") or {}).get("schemas", {}).values():
        if wanted in (schema.get(_GVK) or ()):
            return kind, CustomSchema(_without_own(schema)).type
    return None


def _without_own(schema: JsonObject) -> JsonObject:
    properties = {
        name: field for name, field in (schema.get("properties") or {}).items() if name not in _OWN
    }
    return {**schema, "properties": properties}


def _places(spec: JsonObject) -> Iterator[Place]:
    """Yield what rules name without wildcards."""
    for rule in (spec.get("matchConstraints") or {}).get("resourceRules") or ():
        resources = [name for name in rule.get("resources") or () if not set(name) & {"*", "/"}]
        places = product(
            _named(rule.get("apiGroups")), _named(rule.get("apiVersions")), sorted(resources)
        )
        for place in places:
            yield Place(*place)


def _named(values: Iterable[str] | None) -> list[str]:
    """Return values in order; none, if one stands for many."""
    named = sorted(values or ())
    return [] if any("*" in value for value in named) else named
