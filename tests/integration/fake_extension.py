"""What a fake extension API server answers: discovery in both forms, one type, OpenAPI."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import orjson

from tests.integration.fake_backends import Request

GROUP = "example.test"
VERSION = "v1alpha1"
ROOT = f"/apis/{GROUP}/{VERSION}"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_RESOURCE = {
    "resource": "gadgets",
    "responseKind": {"group": GROUP, "version": VERSION, "kind": "Gadget"},
    "scope": "Namespaced",
    "singularResource": "gadget",
    "verbs": ["create", "get", "list", "watch"],
    "shortNames": ["gd"],
}
_DOCUMENT = {
    "kind": "APIGroupDiscoveryList",
    "apiVersion": "apidiscovery.k8s.io/v2",
    "metadata": {},
    "items": [
        {
            "metadata": {"name": GROUP},
            "versions": [{"version": VERSION, "resources": [_RESOURCE], "freshness": "Current"}],
        }
    ],
}
_LIST = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": f"{GROUP}/{VERSION}",
    "resources": [
        {
            "name": "gadgets",
            "singularName": "gadget",
            "namespaced": True,
            "kind": "Gadget",
            "verbs": ["create", "get", "list", "watch"],
            "shortNames": ["gd"],
        },
        {
            "name": "gadgets/status",
            "singularName": "",
            "namespaced": True,
            "kind": "Gadget",
            "verbs": ["get"],
        },
    ],
}
GADGET = {
    "kind": "Gadget",
    "apiVersion": f"{GROUP}/{VERSION}",
    "metadata": {"name": "one", "namespace": "default"},
}
DEFINITION = f"test.example.{VERSION}.Gadget"
_SWAGGER = {
    "swagger": "2.0",
    "paths": {
        f"{ROOT}/namespaces/{{namespace}}/gadgets": {
            "get": {
                "responses": {
                    "200": {
                        "description": "OK",
                        "schema": {"$ref": f"#/definitions/{DEFINITION}"},
                    }
                }
            }
        },
        "/apis/elsewhere/v1/things": {"get": {"responses": {}}},
    },
    "definitions": {
        DEFINITION: {
            "type": "object",
            "properties": {
                "metadata": {
                    "$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
                }
            },
        },
        "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": {"type": "object"},
        "unused": {"type": "object"},
    },
}
INDEX_URL = f"/openapi/v3{ROOT}?hash=ABC"
_DOCUMENTS = {
    ROOT: _LIST,
    "/openapi/v3": {"paths": {ROOT.removeprefix("/"): {"serverRelativeURL": INDEX_URL}}},
    f"/openapi/v3{ROOT}": {"openapi": "3.0.0", "info": {"title": "gadgets"}},
    "/openapi/v2": _SWAGGER,
}


@dataclass
class Extension:
    """How it behaves; may be changed at any time.

    Attributes:
        is_well: whether it answers at all but with 500.
        has_aggregated: whether it knows the newer form of discovery.
        events: bytes that a watch gives out, as they are put in; None ends it.
    """

    is_well: bool = True
    has_aggregated: bool = True
    events: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)

    async def handle(self, request: Request) -> None:
        """Answer one request."""
        body = await request.body()
        if not self.is_well:
            await request.answer(500, b"out of order")
        elif request.path == "/apis" and self.has_aggregated:
            await request.answer(200, orjson.dumps(_DOCUMENT), AGGREGATED)
        elif (document := _DOCUMENTS.get(request.path)) is not None:
            await request.answer(200, orjson.dumps(document))
        elif not request.path.startswith(ROOT):
            await request.answer(404, b"404 page not found\n", "text/plain")
        elif "watch=" in request.target:
            await self._watch(request)
        elif request.path.endswith("/gadgets") and request.method == "GET":
            shown = {**GADGET, "kind": "GadgetList", "items": [GADGET]}
            await request.answer(200, orjson.dumps(shown))
        else:
            await request.answer(201 if body else 200, body or orjson.dumps(GADGET))

    async def _watch(self, request: Request) -> None:
        await request.begin(200, "Content-Type: application/json")
        while (event := await self.events.get()) is not None:
            await request.chunk(event)
        await request.chunk(b"")
