"""Custom types: how soon one is there for clients, and what its objects cost beside ConfigMaps.

A type is there when its objects can be listed, discovery of both forms names it, and OpenAPI of
both versions describes it.
Objects of a type with a schema are validated field by field, which ConfigMaps of the same size have
little of: what is measured is what the whole way costs.
"""

from __future__ import annotations

import time
from typing import Any, Final

import orjson

from kube.client import AGGREGATED_DISCOVERY
from kube.openapi import V2_PROTOBUF_TYPE
from tests.bench import objects
from tests.bench.endpoint import Endpoint, Refused
from tests.bench.figures import Figure
from tests.bench.objects import CONFIG_MAP_BYTES, NAME
from tests.bench.scenarios import Scene, load

GROUP: Final = "bench.example.com"
THERE_MS_MAX: Final = 100.0
_TYPES: Final = 20
_LISTED: Final = 5_000
_LISTS: Final = 20
_PATIENCE_S: Final = 10.0
_JSON: Final = "application/json"
_DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "integer", "minimum": 0}
_SPEC: Final = {
    "type": "object",
    "required": ["image"],
    "properties": {
        "image": {**_TEXT, "pattern": "^[a-z./:0-9-]+$"},
        "replicas": {**_NUMBER, "default": 1},
        "paused": {"type": "boolean"},
        "policy": {**_TEXT, "enum": ["Always", "Never"]},
        "padding": _TEXT,
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": _TEXT, "port": _NUMBER},
            },
        },
        "limits": {"type": "object", "additionalProperties": _TEXT},
    },
}
_SCHEMA: Final = {
    "type": "object",
    "properties": {"spec": _SPEC, "status": {"type": "object", "properties": {"ready": _NUMBER}}},
}


def _definition(kind: str) -> bytes:
    plural = f"{kind.lower()}s"
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _SCHEMA},
        "subresources": {"status": {}},
    }
    return orjson.dumps(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{GROUP}"},
            "spec": {
                "group": GROUP,
                "scope": "Namespaced",
                "names": {"plural": plural, "kind": kind},
                "versions": [version],
            },
        }
    )


def custom_object(kind: str, name: str = NAME) -> bytes:
    """Return a custom object of the size of a ConfigMap of the bench."""
    spec: dict[str, Any] = {
        "image": "registry.example.com/app:1.2.3",
        "replicas": 3,
        "paused": False,
        "policy": "Always",
        "ports": [{"name": f"port-{number}", "port": 8000 + number} for number in range(6)],
        "limits": {"cpu": "2", "memory": "1Gi", "pods": "10"},
        "padding": "",
    }
    document = {
        "apiVersion": f"{GROUP}/v1",
        "kind": kind,
        "metadata": {"name": name, "labels": {"bench": "yes"}},
        "spec": spec,
    }
    spec["padding"] = "x" * (CONFIG_MAP_BYTES - len(orjson.dumps(document)))
    return orjson.dumps(document)


def definitions(scene: Scene) -> list[Figure]:
    """Measure how soon types are there, and creates, gets and lists of their objects."""
    endpoint, run = scene.server.endpoint, scene.run.replace("-", "")
    kinds = [f"Kind{run}{number}" for number in range(_TYPES)]
    figures = [_there(endpoint, kinds)]
    api = f"/apis/{GROUP}/v1"
    for what, path, body in (
        ("ConfigMap 1 KB", scene.path("configmaps"), objects.config_map()),
        ("custom 1 KB", scene.path(f"{kinds[0].lower()}s", api), custom_object(kinds[0])),
    ):
        file = scene.body_file(what.replace(" ", "-"), body)
        options = {"body": file, "prefix": "made"}
        figures.append(load(scene, f"create {what}", path, "create.lua", options=options))
        read = body.replace(NAME.encode(), b"read")
        endpoint.create(path, read)
        figures.append(load(scene, f"get {what}", f"{path}/read", "report.lua"))
        figures.append(_listed(scene, what, path, body))
    for kind in kinds:
        endpoint.request("DELETE", f"{_DEFINITIONS}/{kind.lower()}s.{GROUP}")
    return figures


def _there(endpoint: Endpoint, kinds: list[str]) -> Figure:
    taken_ms = sorted(_one_there(endpoint, kind) for kind in kinds)
    slowest_ms = taken_ms[-1]
    return Figure(
        f"definition to served and told, {_TYPES} times",
        slowest_ms,
        "ms at most",
        p50_us=taken_ms[len(taken_ms) // 2] * 1000,
        p99_us=slowest_ms * 1000,
        target=f"≤ {THERE_MS_MAX:.0f} ms",
        is_met=slowest_ms <= THERE_MS_MAX,
    )


def _one_there(endpoint: Endpoint, kind: str) -> float:
    """Return how many milliseconds after its 201 a type is served, discovered and described."""
    plural = f"{kind.lower()}s".encode()
    endpoint.create(_DEFINITIONS, _definition(kind))
    began_s = time.monotonic()
    api = f"/apis/{GROUP}/v1"
    for path, accept, text in (
        (f"{api}/{plural.decode()}", _JSON, b"List"),
        (api, _JSON, plural),
        ("/apis", AGGREGATED_DISCOVERY, plural),
        (f"/openapi/v3{api}", _JSON, plural),
        ("/openapi/v2", _JSON, plural),
        ("/openapi/v2", V2_PROTOBUF_TYPE, plural),
    ):
        while not _tells(endpoint, path, accept, text):
            if time.monotonic() - began_s > _PATIENCE_S:
                raise Refused(f"{kind} is not there after {_PATIENCE_S} s: {path}")
    return (time.monotonic() - began_s) * 1000


def _tells(endpoint: Endpoint, path: str, accept: str, text: bytes) -> bool:
    try:
        return text in endpoint.request("GET", path, accept=accept)
    except Refused:
        return False


def _listed(scene: Scene, what: str, path: str, body: bytes) -> Figure:
    """Measure lists of all that the load and we have made, per thousand objects."""
    endpoint, meter = scene.server.endpoint, scene.server.meter
    bodies = (body.replace(NAME.encode(), b"listed-%05d" % n) for n in range(_LISTED))
    endpoint.create_all(path, bodies)
    query = f"{path}?limit={_LISTED}"
    before, began_s = meter.cpu_us(), time.monotonic()
    for _ in range(_LISTS):
        endpoint.download(query, _accept)
    taken_s = time.monotonic() - began_s
    spent = meter.spent_us(before)
    thousands = _LISTS * _LISTED / 1000
    cpu_us = {name: used / thousands for name, used in spent.items()}
    return Figure(f"list 1,000 of {what}", thousands / taken_s, cpu_us=cpu_us)


def _accept(head: bytes) -> None:
    if not head.startswith(b"HTTP/1.1 200"):
        raise Refused(f"list refused: {head[:300]!r}")
