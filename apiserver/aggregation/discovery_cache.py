"""What extension API servers say of their types, as it was last heard.

Asked for as one aggregated document, and where there is none, version by version in the old form.
Invariant: what is kept has the shape that clients expect: a server that says anything else is taken
to have said nothing, and its version is marked Stale.
"""

from __future__ import annotations

from typing import Final

import orjson

from apiserver.aggregation.asking import Answer, ask
from apiserver.aggregation.model import ApiService
from apiserver.errors import SERVICE_UNAVAILABLE
from apiserver.proxying.wire import Address, BackendFailed, Backends
from kube.discovery import AGGREGATED_TYPE
from kube.json_types import JsonObject

ANSWER_BYTES_MAX: Final = 4 << 20
_RESOURCES_MAX: Final = 2000
CURRENT: Final = "Current"
STALE: Final = "Stale"


def stale_entry(version: str) -> JsonObject:
    """Return what is shown of a version that nobody answers for."""
    return {"version": version, "freshness": STALE}


async def fetch_entry(backends: Backends, address: Address, api: ApiService) -> JsonObject:
    """Return a version's entry for the aggregated document.

    Raises:
        BackendFailed: there is no answer, or none that is of use.
    """
    accept = ((b"Accept", AGGREGATED_TYPE.encode()),)
    answer = await ask(backends, address, "/apis", accept, ANSWER_BYTES_MAX)
    if answer.code == SERVICE_UNAVAILABLE:
        raise BackendFailed(f"returned non-success response code: {answer.code}")
    if answer.code == 200 and _is_aggregated(answer):
        return _of_document(_decoded(answer), api)
    path = f"/apis/{api.group}/{api.version}"
    accept = ((b"Accept", b"application/json"),)
    answer = await ask(backends, address, path, accept, ANSWER_BYTES_MAX)
    if answer.code != 200:
        raise BackendFailed(f"failed to download legacy discovery for {path}: {answer.code}")
    return {
        "version": api.version,
        "resources": _from_resource_list(_decoded(answer), api),
        "freshness": CURRENT,
    }


def _is_aggregated(answer: Answer) -> bool:
    parts = answer.head.value(b"content-type").decode("latin-1").replace(" ", "").split(";")
    return parts[0] == "application/json" and set(AGGREGATED_TYPE.split(";")[1:]) <= set(parts)


def _decoded(answer: Answer) -> JsonObject:
    try:
        document = orjson.loads(answer.body)
    except ValueError as error:
        raise BackendFailed(f"discovery is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise BackendFailed("discovery is no JSON object")
    return document


def _of_document(document: JsonObject, api: ApiService) -> JsonObject:
    """Return what an aggregated document has of a version, perhaps nothing."""
    for group in _dicts(document.get("items")):
        metadata = group.get("metadata")
        if not isinstance(metadata, dict) or metadata.get("name") != api.group:
            continue
        for version in _dicts(group.get("versions")):
            if version.get("version") == api.version:
                return {
                    "version": api.version,
                    "resources": [_resource(one) for one in _dicts(version.get("resources"))],
                    "freshness": CURRENT,
                }
    return {"version": api.version, "freshness": CURRENT}


def _resource(entry: JsonObject) -> JsonObject:
    """Return a resource's entry with nothing in it but what clients expect."""
    shown: JsonObject = {
        "resource": _text(entry.get("resource")),
        "responseKind": _kind(entry.get("responseKind")),
        "scope": "Cluster" if entry.get("scope") == "Cluster" else "Namespaced",
        "singularResource": _text(entry.get("singularResource")),
        "verbs": _texts(entry.get("verbs")),
    }
    for key in ("shortNames", "categories"):
        if names := _texts(entry.get(key)):
            shown[key] = names
    children = [
        {
            "subresource": _text(child.get("subresource")),
            "responseKind": _kind(child.get("responseKind")),
            "verbs": _texts(child.get("verbs")),
        }
        for child in _dicts(entry.get("subresources"))
    ]
    return shown | ({"subresources": children} if children else {})


def _from_resource_list(document: JsonObject, api: ApiService) -> list[JsonObject]:
    """Return the resources of an APIResourceList in the newer form, subresources below theirs."""
    found: dict[str, JsonObject] = {}
    listed = _dicts(document.get("resources"))
    for entry in sorted(listed, key=lambda one: _text(one.get("name")).count("/")):
        name, _, child = _text(entry.get("name")).partition("/")
        kind = {
            "group": _text(entry.get("group")) or api.group,
            "version": _text(entry.get("version")) or api.version,
            "kind": _text(entry.get("kind")),
        }
        verbs = _texts(entry.get("verbs"))
        scope = "Namespaced" if entry.get("namespaced") is True else "Cluster"
        if child:
            parent = found.setdefault(
                name,
                {"resource": name, "responseKind": {}, "scope": scope, "verbs": []},
            )
            children = parent.setdefault("subresources", [])
            children.append({"subresource": child, "responseKind": kind, "verbs": verbs})
            continue
        found[name] = {
            "resource": name,
            "responseKind": kind,
            "scope": scope,
            "singularResource": _text(entry.get("singularName")),
            "verbs": verbs,
        }
        for key in ("shortNames", "categories"):
            if names := _texts(entry.get(key)):
                found[name][key] = names
    return list(found.values())


def _dicts(value: object) -> list[JsonObject]:
    if not isinstance(value, list):
        return []
    return [one for one in value[:_RESOURCES_MAX] if isinstance(one, dict)]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> list[str]:
    if not isinstance(value, list):
        return []
    return [one for one in value[:_RESOURCES_MAX] if isinstance(one, str)]


def _kind(value: object) -> JsonObject:
    """Return a kind; a missing one is an empty one, as old clients do not expect it to be."""
    known = value if isinstance(value, dict) else {}
    return {key: _text(known.get(key)) for key in ("group", "version", "kind")}
