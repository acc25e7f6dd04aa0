"""The FastAPI app behind the router: discovery, documents, health, metrics, version."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from email.utils import formatdate
from typing import Any, Final

import orjson
from fastapi import FastAPI, Request, Response

from apiserver.aggregation.merged_discovery import MergedDiscovery
from apiserver.aggregation.openapi import MergedOpenApi
from apiserver.compression import gzip_whole
from apiserver.fairness import dumps as debug
from apiserver.metrics import CONTENT_TYPE
from apiserver.packed import HANDLER_BYTES_MIN, Packed, is_packed, prefers_gzip
from apiserver.settings import STATUS_PATH
from kube import codec_yaml, media
from kube import status as st
from kube.discovery import AGGREGATED_TYPE, etag
from kube.field import quote
from kube.openapi import V2_PROTOBUF_ACCEPTED, V2_PROTOBUF_TYPE
from kube.version import VERSION_INFO
from runtime.clock import Clock

_log: Final = logging.getLogger(__name__)
JSON: Final = "application/json"
_NOT_FOUND: Final = "404 page not found\n"
_UNCACHED: Final = {"cache-control": "no-cache, private"}
_YEAR_S: Final = 365 * 24 * 3600
_ANY_METHOD: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
"""Upstream's health handlers look at the path only."""
Check = Callable[[], str]
"""A health check: "" when all is well, else the reason."""


class Health:
    """Named checks behind /livez and /readyz, answered in upstream's text form."""

    def __init__(
        self,
        live: dict[str, Check],
        healthy: dict[str, Check],
        ready: dict[str, Check],
        warnings: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        """Take the checks.

        Args:
            live: of all three endpoints.
            healthy: of /healthz and /readyz.
            ready: of /readyz alone.
            warnings: lines about what does not make a check fail.
        """
        healthz = {**live, **healthy}
        self._checks = {"livez": live, "readyz": {**healthz, **ready}, "healthz": healthz}
        self._warnings = warnings

    def answer(self, endpoint: str, name: str, query: Any) -> Response:
        """Run the checks of an endpoint, or one of them."""
        checks = self._checks[endpoint]
        if name:
            if name not in checks:
                return _plain(_NOT_FOUND, 404)
            reason = checks[name]()
            return _plain(f"internal server error: {reason}\n", 500) if reason else _plain("ok")
        excluded = set(query.getlist("exclude"))
        results = {key: "" if key in excluded else check() for key, check in checks.items()}
        lines = []
        for key, reason in results.items():
            if key in excluded:
                lines.append(f"[+]{key} excluded: ok")
            else:
                # Anybody may ask here: the log has the reason, and so has the check by itself.
                lines.append(f"[-]{key} failed: reason withheld" if reason else f"[+]{key} ok")
        if endpoint != "livez":
            lines.extend(self._warnings())
        if unknown := ",".join(quote(key) for key in sorted(excluded - checks.keys())):
            lines.append(f"warn: some health checks cannot be excluded: no matches for {unknown}")
        if any(results.values()):
            _log.info("%s failed: %s", endpoint, {key: why for key, why in results.items() if why})
            return _plain("\n".join([*lines, f"{endpoint} check failed\n"]), 500)
        told = "\n".join([*lines, f"{endpoint} check passed\n"])
        return _plain(told if "verbose" in query else "ok")


def make_app(
    discovery: MergedDiscovery,
    openapi: MergedOpenApi,
    render_metrics: Callable[[], Awaitable[bytes]],
    health: Health,
    status: Callable[[], dict[str, Any]],
    clock: Clock,
) -> FastAPI:
    """Return the app; all it serves is read-only."""
    app = FastAPI(title="Ultraplane", docs_url=None, redoc_url=None, openapi_url=None)
    _add_health(app, health)
    packed = Packed()
    _add_discovery(app, discovery, packed)
    _add_openapi(app, openapi, clock, packed)

    @app.get("/version")
    @app.get("/version/")
    async def version() -> Response:
        return _json(orjson.dumps(VERSION_INFO, option=orjson.OPT_INDENT_2))

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        text = await render_metrics()
        response = Response(text, 200, _UNCACHED, CONTENT_TYPE.decode())
        if prefers_gzip(request.headers.get("accept-encoding", "")):
            _pack(response, await gzip_whole(text))
        return response

    @app.get(STATUS_PATH)
    async def partitions() -> Response:
        return _json(orjson.dumps(status()))

    @app.get("/")
    async def paths() -> Response:
        names = sorted({getattr(route, "path", "") for route in app.routes})
        shown = [name for name in names if "{" not in name and name != "/"]
        return _json(orjson.dumps({"paths": shown}))

    @app.exception_handler(404)
    async def not_found(_request: Request, _error: Exception) -> Response:
        return _plain(_NOT_FOUND, 404)

    @app.exception_handler(405)
    async def wrong_method(_request: Request, _error: Exception) -> Response:
        return _refusal(st.wrong_method())

    @app.exception_handler(st.StatusError)
    async def refused(_request: Request, error: Exception) -> Response:
        assert isinstance(error, st.StatusError)
        return _refusal(error)

    return app


def _add_health(app: FastAPI, health: Health) -> None:
    @app.api_route("/livez", methods=_ANY_METHOD)
    @app.api_route("/readyz", methods=_ANY_METHOD)
    @app.api_route("/healthz", methods=_ANY_METHOD)
    async def check_all(request: Request) -> Response:
        return health.answer(request.url.path.strip("/"), "", request.query_params)

    @app.api_route("/livez/{name:path}", methods=_ANY_METHOD)
    @app.api_route("/readyz/{name:path}", methods=_ANY_METHOD)
    @app.api_route("/healthz/{name:path}", methods=_ANY_METHOD)
    async def check_one(name: str, request: Request) -> Response:
        endpoint = request.url.path.strip("/").partition("/")[0]
        return health.answer(endpoint, name, request.query_params)


def _add_discovery(app: FastAPI, discovery: MergedDiscovery, packed: Packed) -> None:
    async def whole(request: Request, *, core: bool) -> Response:
        wanted = media.negotiate(request.headers.get("accept", "").encode())
        if wanted.kind != "APIGroupDiscoveryList":
            response = _found(request, discovery.api() if core else discovery.apis())
            response.headers["vary"] = "Accept"
            return response
        body = discovery.aggregated(core=core)
        response = _with_etag(request, body, etag(body), AGGREGATED_TYPE)
        response.headers["cache-control"] = "public"
        if response.body and is_packed(body, request.headers.get("accept-encoding", "")):
            _pack(response, await packed.of("api" if core else "apis", body))
            response.headers.append("vary", "Accept-Encoding")
        return response

    @app.get("/api")
    @app.get("/api/")
    async def api(request: Request) -> Response:
        return await whole(request, core=True)

    @app.get("/apis")
    @app.get("/apis/")
    async def apis(request: Request) -> Response:
        return await whole(request, core=False)

    @app.get("/api/{version}")
    async def core_resources(version: str, request: Request) -> Response:
        return _found(request, discovery.resources("", version))

    @app.get("/apis/{group}")
    async def group(group: str, request: Request) -> Response:
        return _found(request, discovery.group(group))

    @app.get("/apis/{group}/{version}")
    async def resources(group: str, version: str, request: Request) -> Response:
        return _found(request, discovery.resources(group, version))


def _add_openapi(app: FastAPI, openapi: MergedOpenApi, clock: Clock, packed: Packed) -> None:
    @app.get("/openapi/v2")
    async def v2(request: Request) -> Response:
        accepted = request.headers.get("accept", "")
        # Building takes long: not on the loop that serves everybody.
        if any(name in accepted for name in V2_PROTOBUF_ACCEPTED):
            content_type, body = V2_PROTOBUF_TYPE, await asyncio.to_thread(openapi.v2_protobuf)
        else:
            media.negotiate(accepted.encode())
            content_type, body = JSON, await asyncio.to_thread(openapi.v2)
        response = _with_etag(request, body, openapi.etag(body), content_type)
        response.headers.append("vary", "Accept-Encoding")
        wanted = prefers_gzip(request.headers.get("accept-encoding", ""))
        if wanted and len(response.body) >= HANDLER_BYTES_MIN:
            _pack(response, await packed.of(content_type, body))
        return response

    @app.get("/openapi/v3")
    async def index() -> Response:
        return _json(openapi.v3_index())

    @app.get("/openapi/v3/{path:path}")
    async def v3(path: str, request: Request) -> Response:
        name = path.rstrip("/")
        known, asked = openapi.v3_hash(name), request.query_params.get("hash")
        if known is None:
            return _plain(_NOT_FOUND, 404)
        if asked is not None and asked != known:
            return Response(
                status_code=301, headers={"location": f"/openapi/v3/{name}?hash={known}"}
            )
        body = await asyncio.to_thread(openapi.v3, name)
        assert body is not None, "what has a hash is there"
        response = _with_etag(request, body, f'"{known}"', JSON)
        if asked is not None:
            # The hash in the URL names this very content for ever.
            response.headers["cache-control"] = "public, immutable"
            response.headers["expires"] = formatdate(clock.now_s() + _YEAR_S, usegmt=True)
        return response


def add_dumps(app: FastAPI, dumps: debug.Dumps) -> None:
    """Serve the debug tables of priority and fairness."""

    @app.get(f"{debug.PATH}/dump_priority_levels")
    async def levels() -> Response:
        return _plain(dumps.levels())

    @app.get(f"{debug.PATH}/dump_queues")
    async def queues() -> Response:
        return _plain(dumps.queues())

    @app.get(f"{debug.PATH}/dump_requests")
    async def requests(request: Request) -> Response:
        details = bool(request.query_params.get("includeRequestDetails"))
        return _plain(dumps.requests(details=details))


def _found(request: Request, body: bytes | None) -> Response:
    """Answer with a discovery document in the encoding asked for."""
    if body is None:
        return _plain(_NOT_FOUND, 404)
    wanted = media.negotiate(request.headers.get("accept", "").encode())
    if wanted.encoding == "yaml":
        encoded = codec_yaml.encode(orjson.loads(body))
        return Response(encoded, 200, _UNCACHED, "application/yaml")
    return _json(body)


def _json(body: bytes) -> Response:
    return Response(body, 200, _UNCACHED, JSON)


def _refusal(error: st.StatusError) -> Response:
    return Response(orjson.dumps(error.status) + b"\n", error.code, _UNCACHED, JSON)


def _plain(text: str, code: int = 200) -> Response:
    headers = {**_UNCACHED, "x-content-type-options": "nosniff"}
    return Response(text, code, headers, "text/plain")


def _pack(response: Response, packed: bytes) -> None:
    """Let a response have compressed content; its entity tag stays, as upstream's."""
    response.body = packed
    response.headers["content-encoding"] = "gzip"
    response.headers["content-length"] = str(len(packed))


def _with_etag(request: Request, body: bytes, tag: str, content_type: str) -> Response:
    headers = {**_UNCACHED, "ETag": tag, "Vary": "Accept"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    response = Response(body, headers=headers)
    # Set by hand: Starlette would add a charset.
    response.headers["content-type"] = content_type
    return response
