"""The objects that a binding gives its policy as `params`: by name or by labels, of any type.

They are read from the local replica; one that is not there by name is looked for consistently, as
it may have just been created.
"""

from __future__ import annotations

import asyncio
from typing import Final

import orjson

from apiserver.custom.resource import CustomResource
from apiserver.policies.configuration import Binding
from apiserver.resources import Resource
from apiserver.server import Server
from kube import status as st
from kube.json_types import JsonObject
from kube.kinds import split_group_version
from kube.selector_parser import SelectorError, label_selector_of
from storage.errors import StorageError
from storage.record import Record
from storage.scan import Query

PARAMS_MAX: Final = 1000
"""Of one binding. Upstream has no limit; a request that is held against more takes seconds."""


class ConfigurationError(Exception):
    """A policy or binding cannot be used as it stands; its failure policy says what that means."""


def param_resource(server: Server, param_kind: JsonObject) -> Resource:
    """Return the type of a paramKind.

    Raises:
        ConfigurationError: there is none.
    """
    api_version, kind = param_kind.get("apiVersion", ""), param_kind.get("kind", "")
    try:
        group, version = split_group_version(api_version)
    except ValueError as error:
        raise ConfigurationError(f"failed to parse paramKind APIVersion: {error}") from error
    for resource in server.catalog.in_version(group, version).values():
        if resource.kind == kind and not resource.info.virtual:
            return resource
    shown = f"{group}/{version}, Kind={kind}"
    raise ConfigurationError(f"failed to find resource referenced by paramKind: '{shown}'")


async def collect_params(
    server: Server, resource: Resource | None, binding: Binding, namespace: str
) -> list[JsonObject | None]:
    """Return the params of a binding; [None]: the policy is evaluated without.

    Args:
        server: the server.
        resource: of the policy's paramKind, None without one.
        binding: the binding.
        namespace: of the request.

    Raises:
        ConfigurationError: there are none and that is a fault, or the reference cannot be used.
    """
    ref = binding.param_ref
    if resource is None or ref is None:
        return [None]
    space = _namespace(resource, ref, namespace)
    found: list[JsonObject | None] = []
    try:
        if ref.get("name"):
            found = await _by_name(server, resource, space, ref["name"])
        else:
            found = await _by_labels(server, resource, space, ref.get("selector") or {})
    except (StorageError, SelectorError) as error:
        raise ConfigurationError(str(error)) from error
    if not found and ref.get("parameterNotFoundAction") == "Deny":
        raise ConfigurationError(
            "no params found for policy binding with `Deny` parameterNotFoundAction"
        )
    return found


def _namespace(resource: Resource, ref: JsonObject, namespace: str) -> str:
    given = ref.get("namespace") or ""
    if not resource.namespaced:
        if given:
            raise ConfigurationError(
                "paramRef.namespace must not be provided for a cluster-scoped `paramKind`"
            )
        return ""
    if not (given or namespace):
        raise ConfigurationError(
            "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
        )
    return given or namespace


async def _by_name(
    server: Server, resource: Resource, namespace: str, name: str
) -> list[JsonObject | None]:
    record = server.store.get(resource.storage, namespace, name)
    if record is None:
        try:
            record = await server.read(resource, namespace, name)
        except st.StatusError as error:
            if error.code == 404:
                return []
            raise ConfigurationError(error.message) from error
    if isinstance(resource, CustomResource):
        try:
            return [_decoded(one) for one in await resource.brought((record,))]
        except st.StatusError as error:
            raise ConfigurationError(error.message) from error
    return [resource.decode_stored(record.body)]


def _decoded(record: Record) -> JsonObject:
    """Return an object as it was brought."""
    obj: JsonObject = orjson.loads(record.body)
    return obj


async def _by_labels(
    server: Server, resource: Resource, namespace: str, selector: JsonObject
) -> list[JsonObject | None]:
    match = label_selector_of(selector).compile()
    if match is not None and isinstance(resource, CustomResource):
        match = resource.lenient(match)
    query = Query(resource.storage, namespace or None, limit=PARAMS_MAX, match=match)
    found: list[JsonObject | None] = []
    with server.store.scan(query) as scan:
        for chunk in scan:
            if isinstance(resource, CustomResource):
                found += map(_decoded, await resource.brought_matching(chunk, match))
            else:
                found.extend(resource.decode_stored(record.body) for record in chunk)
            await asyncio.sleep(0)  # others have their turn between chunks
    return found
