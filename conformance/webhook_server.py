"""The webhooks that upstream deploys as a Pod, served from this machine.

Each path decides as the one of upstream's test image does. A server is started for each case, with
certificates of its own, and is reached by URL instead of by a Service.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import web

from conformance.certificates import Pair, authority_and_server
from conformance.checks import CaseSkipped
from conformance.stage import Stage
from kube.json_types import JsonObject

DELAY_S: Final = 5.0
_UNWANTED: Final = "webhook-disallow"
_MARK: Final = "webhook-e2e-test"
_BODY_BYTES_MAX: Final = 8 << 20

Decision = Callable[[JsonObject], Awaitable[JsonObject]]


@dataclass(frozen=True, slots=True)
class Webhooks:
    """Where they are.

    Attributes:
        root: URL without a slash at its end.
        ca_bundle: what to trust, as webhook configurations want it.
    """

    root: str
    ca_bundle: str

    def client(self, path: str) -> JsonObject:
        """Return a clientConfig that leads to a path."""
        return {"url": f"{self.root}{path}", "caBundle": self.ca_bundle}


@asynccontextmanager
async def serve_webhooks(stage: Stage) -> AsyncIterator[Webhooks]:
    """Serve them until the block ends.

    Raises:
        CaseSkipped: the server under test does not reach this machine.
    """
    host = stage.target.webhook_host
    if not host:
        raise CaseSkipped("the server does not reach this machine; see --webhook-host")
    authority, pair = authority_and_server(host)
    application = web.Application(client_max_size=_BODY_BYTES_MAX)
    application.router.add_post("/crdconvert", _convert)
    for path, decide in _DECISIONS.items():
        application.router.add_post(path, _reviewing(decide))
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, _bound(host), 0, ssl_context=_tls(pair))
        await site.start()
        port = runner.addresses[0][1]
        shown = f"[{host}]" if ":" in host else host
        yield Webhooks(f"https://{shown}:{port}", base64.b64encode(authority).decode())
    finally:
        await runner.cleanup()


def _bound(host: str) -> str:
    """Return where to listen: on loopback for loopback, else wherever the name leads to."""
    return host if host in {"127.0.0.1", "::1", "localhost"} else ""


def _tls(pair: Pair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # The library reads files only.
    with tempfile.NamedTemporaryFile() as file:
        file.write(pair.certificate + pair.key)
        file.flush()
        context.load_cert_chain(file.name)
    return context


def _reviewing(decide: Decision) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        review: Any = orjson.loads(await request.read())
        asked = review["request"]
        answer = {"uid": asked["uid"], **(await decide(asked))}
        document = {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": answer}
        return web.json_response(document, dumps=lambda value: orjson.dumps(value).decode())

    return handle


def _allowed() -> JsonObject:
    return {"allowed": True}


def _denied(message: str) -> JsonObject:
    return {"allowed": False, "status": {"message": message}}


def _patched(operations: list[JsonObject]) -> JsonObject:
    if not operations:
        return _allowed()
    patch = base64.b64encode(orjson.dumps(operations)).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": patch}


async def _always_deny(_asked: JsonObject) -> JsonObject:
    return _denied("this webhook denies all requests")


async def _slow(_asked: JsonObject) -> JsonObject:
    await asyncio.sleep(DELAY_S)
    return _allowed()


async def _add_label(asked: JsonObject) -> JsonObject:
    labels = asked["object"]["metadata"].get("labels")
    if labels is None:
        operation: Any = {"op": "add", "path": "/metadata/labels", "value": {"added-label": "yes"}}
    else:
        operation = {"op": "add", "path": "/metadata/labels/added-label", "value": "yes"}
    return _patched([operation])


def _data(asked: JsonObject) -> JsonObject:
    """Return the data of what is written, or of what is deleted."""
    obj = asked.get("object") or asked.get("oldObject") or {}
    found: JsonObject = obj.get("data") or {}
    return found


async def _config_maps(asked: JsonObject) -> JsonObject:
    if _data(asked).get(_MARK) == _UNWANTED:
        return _denied("the configmap contains unwanted key and value")
    return _allowed()


async def _stages(asked: JsonObject) -> JsonObject:
    data = _data(asked)
    operations: list[JsonObject] = []
    for before, after in (
        ("mutation-start", "mutation-stage-1"),
        ("mutation-stage-1", "mutation-stage-2"),
    ):
        if data.get(before) == "yes":
            operations.append({"op": "add", "path": f"/data/{after}", "value": "yes"})
    return _patched(operations)


async def _custom_resources(asked: JsonObject) -> JsonObject:
    if _data(asked).get(_MARK) == _UNWANTED:
        return _denied("the custom resource contains unwanted data")
    return _allowed()


async def _pods(asked: JsonObject) -> JsonObject:
    obj = asked.get("object") or {}
    faults = []
    if (obj["metadata"].get("labels") or {}).get(_MARK) == _UNWANTED:
        faults.append("the pod contains unwanted label; ")
    if any(_UNWANTED in entry["name"] for entry in obj["spec"]["containers"]):
        faults.append("the pod contains unwanted container name; ")
    return _denied("".join(faults)) if faults else _allowed()


async def _pods_attach(asked: JsonObject) -> JsonObject:
    if asked["name"] == "to-be-attached-pod":
        return _denied("attaching to pod 'to-be-attached-pod' is not allowed")
    return _allowed()


async def _mutate_pods(asked: JsonObject) -> JsonObject:
    if asked["name"] not in {"", "webhook-to-be-mutated"}:
        return _allowed()
    added = {"image": "webhook-added-image", "name": "webhook-added-init-container"}
    return _patched([{"op": "add", "path": "/spec/initContainers", "value": [added]}])


async def _definitions(asked: JsonObject) -> JsonObject:
    labels = asked["object"]["metadata"].get("labels") or {}
    if labels.get(_MARK) == _UNWANTED:
        return _denied("the crd contains unwanted label")
    return _allowed()


_DECISIONS: Final[dict[str, Decision]] = {
    "/always-deny": _always_deny,
    "/always-allow-delay-5s": _slow,
    "/add-label": _add_label,
    "/pods": _pods,
    "/pods/attach": _pods_attach,
    "/mutating-pods": _mutate_pods,
    "/configmaps": _config_maps,
    "/mutating-configmaps": _stages,
    "/custom-resource": _custom_resources,
    "/mutating-custom-resource": _stages,
    "/crd": _definitions,
}


async def _convert(request: web.Request) -> web.Response:
    """Convert between v1, which has a hostPort, and v2, which has a host and a port."""
    review: Any = orjson.loads(await request.read())
    asked = review["request"]
    wanted = asked["desiredAPIVersion"]
    response = {
        "uid": asked["uid"],
        "convertedObjects": [_converted(obj, wanted) for obj in asked["objects"]],
        "result": {"status": "Success"},
    }
    document = {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}
    return web.json_response(document, dumps=lambda value: orjson.dumps(value).decode())


def _converted(obj: JsonObject, wanted: str) -> JsonObject:
    out = {**obj, "apiVersion": wanted}
    if wanted.endswith("/v2") and "hostPort" in out:
        out["host"], _, out["port"] = out.pop("hostPort").partition(":")
    elif wanted.endswith("/v1") and ("host" in out or "port" in out):
        out["hostPort"] = f"{out.pop('host', '')}:{out.pop('port', '')}"
    return out
