"""What only a node or a pod itself can answer: log, exec, attach, portforward, proxy.

Requests are checked in upstream's order, and then passed on: to the kubelet of the pod's node, or
to where the pod, service or node listens. Exec and its like go as they come, unless the kubelet
does not take websockets: then they are translated here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlencode

import orjson

from apiserver.asked import attributes_of
from apiserver.errors import backend_failed
from apiserver.exchange import Exchange, Query
from apiserver.options import parse_bool, parse_int
from apiserver.proxying.client_socket import offered
from apiserver.proxying.forward import (
    Onward,
    first_header,
    is_upgrade,
    pass_log_on,
    pass_on,
    pass_upgrade_on,
)
from apiserver.proxying.kubelets import Kubelets
from apiserver.proxying.places import place_of
from apiserver.proxying.rewriting import Rewriting, encode_path, join_path
from apiserver.proxying.translator import PROTOCOL, Streams, translate
from apiserver.proxying.tunnel import tunnel, tunnelled
from apiserver.proxying.wire import Address, BackendFailed, Backends
from apiserver.resources import Target
from apiserver.server import Server
from apiserver.verbs.admitting import admit_connection
from apiserver.verbs.sockets import log_outlet, wants_socket
from kube import field as fld
from kube import status as st
from kube import times
from kube.json_types import JsonObject

_CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")
_STREAMS: Final = ("All", "Stderr", "Stdout")
_POSITIVE: Final = "must be greater than 0"
_PORT_FORWARD: Final = "portforward"


class NodeParts:
    """The handlers, with who finds kubelets and who dials."""

    def __init__(self, kubelets: Kubelets, backends: Backends) -> None:
        self._kubelets = kubelets
        self._backends = backends

    async def log(self, server: Server, exchange: Exchange, target: Target) -> None:
        """Answer with a container's log; nothing for a pod that has no node yet."""
        options = _log_options(exchange, target.name)
        pod = await _read_pod(server, target)
        container = _container(pod, exchange.parameter("container"))
        node = pod["spec"].get("nodeName")
        if not node:
            await exchange.respond_empty()
            return
        skips = bool(parse_bool(exchange.query.get("insecureSkipTLSVerifyBackend")))
        kubelet = await self._kubelets.of(server, node, skips_verification=skips)
        path = f"/containerLogs/{target.namespace}/{target.name}/{container}"
        onward = Onward(address=kubelet.address, target=_target(path, options))
        # It has no end by itself, and whoever stops the server is not to wait for it.
        server.shutting_down.add(exchange.abort)
        try:
            if wants_socket(exchange):
                async with log_outlet(exchange) as outlet:
                    await pass_log_on(exchange, self._backends, onward, target.name, outlet)
            else:
                await pass_log_on(exchange, self._backends, onward, target.name, exchange)
        except BackendFailed as error:
            url = f"{kubelet.address.scheme}://{kubelet.address.authority}"
            url += onward.target.decode()
            raise backend_failed(f"Get {fld.quote(url)}: {error}") from error
        finally:
            server.shutting_down.discard(exchange.abort)

    async def stream(self, server: Server, exchange: Exchange, target: Target) -> None:
        """Connect a client with a pod's processes or ports."""
        if exchange.method != "POST":
            # A websocket is asked for with GET: who may only read must not run commands by that.
            asked = attributes_of(exchange, target, "create")
            await server.permit(exchange.user, asked)
        await admit_connection(
            server, exchange, target, _connect_options(exchange, target.subresource)
        )
        query = exchange.query
        options = _port_options(query) if _is_forward(target) else _stream_options(query)
        pod = await _read_pod(server, target)
        path = f"/{target.subresource}/{target.namespace}/{target.name}"
        if _is_forward(target):
            path = f"/portForward/{target.namespace}/{target.name}"
        else:
            path += "/" + _container(pod, exchange.parameter("container"))
        node = pod["spec"].get("nodeName")
        if not node:
            raise st.bad_request(f"pod {target.name} does not have a host assigned")
        kubelet = await self._kubelets.of(server, node)
        if not is_upgrade(exchange):
            raise st.bad_request("Upgrade request required")
        onward = Onward(address=kubelet.address, target=_target(path, options))
        protocols = [] if kubelet.takes_websockets else offered(exchange)
        inner = tunnelled(protocols) if _is_forward(target) else []
        try:
            if inner:
                await tunnel(exchange, self._backends, onward, inner)
            elif PROTOCOL in protocols and not _is_forward(target):
                await translate(exchange, self._backends, onward, _wanted_streams(query))
            else:
                await pass_upgrade_on(exchange, self._backends, onward)
        except BackendFailed as error:
            raise backend_failed(str(error)) from error

    async def proxy(self, server: Server, exchange: Exchange, target: Target) -> None:
        """Pass a request on to a pod, a service or a node."""
        await admit_connection(
            server, exchange, target, {"path": target.rest} if target.rest else {}
        )
        address = await place_of(server, self._kubelets, target)
        path = join_path("", "/" + target.rest) if target.rest else ""
        has_slash = exchange.path.endswith("/")
        if has_slash and not path.endswith("/"):
            path += "/"
        query = exchange.scope["query_string"]
        asks_upgrade = is_upgrade(exchange)
        if not path and not asks_upgrade and exchange.method in ("GET", "HEAD"):
            await _lead_into(exchange, query)
            return
        onward = Onward(
            address=address,
            target=encode_path(path or "/").encode() + (b"?" + query if query else b""),
            headers=((b"X-Forwarded-Uri", encode_path(exchange.path).encode()),),
            rewriting=None if asks_upgrade else _rewriting(exchange, address, path),
        )
        try:
            if asks_upgrade:
                await pass_upgrade_on(exchange, self._backends, onward)
            else:
                await pass_on(exchange, self._backends, onward)
        except BackendFailed as error:
            text = str(error) if asks_upgrade else f"error trying to reach service: {error}"
            raise backend_failed(text) from error


def _connect_options(exchange: Exchange, part: str) -> JsonObject:
    """Return what a query asks for, as admission sees it: an object of the subresource's kind."""
    query = exchange.query
    if part == _PORT_FORWARD:
        ports = [int(text) for text in query.get("ports", ()) if text.isascii() and text.isdigit()]
        return {"ports": ports} if ports else {}
    names = ("stdin", "stdout", "stderr", "tty")
    options: JsonObject = {name: True for name in names if parse_bool(query.get(name))}
    if container := exchange.parameter("container"):
        options["container"] = container
    if part == "exec" and "command" in query:
        options["command"] = list(query["command"])
    return options


def _rewriting(exchange: Exchange, address: Address, path: str) -> Rewriting:
    host = first_header(exchange, b"host").decode("latin-1")
    prefix = exchange.path.removesuffix(path) if path else exchange.path
    return Rewriting("", "", prefix, address.authority, host)


async def _lead_into(exchange: Exchange, query: bytes) -> None:
    """Redirect to the same with a slash at its end: what is relative there is to be below it."""
    location = encode_path(exchange.path).encode() + b"/" + (b"?" + query if query else b"")
    await exchange.start_as(301, [(b"location", location), (b"content-length", b"0")])
    await exchange.finish()


def _is_forward(target: Target) -> bool:
    return target.subresource == _PORT_FORWARD


def _target(path: str, options: list[tuple[str, str]]) -> bytes:
    query = urlencode(sorted(options, key=lambda option: option[0]))
    return encode_path(path).encode() + (b"?" + query.encode() if query else b"")


def _log_options(exchange: Exchange, name: str) -> list[tuple[str, str]]:
    """Check the query as upstream checks PodLogOptions; return what the kubelet is asked.

    Raises:
        StatusError: 400 for what is no number or time, 422 for wrong values.
    """
    query = exchange.query
    tail, limit = parse_int(query, "tailLines"), parse_int(query, "limitBytes")
    since_s = parse_int(query, "sinceSeconds")
    since = _since(exchange.parameter("sinceTime"))
    stream_name = exchange.parameter("stream")
    faults = []
    if tail is not None and tail < 0:
        faults.append(fld.invalid("tailLines", tail, "must be greater than or equal to 0"))
    if limit is not None and limit < 1:
        faults.append(fld.invalid("limitBytes", limit, _POSITIVE))
    if since_s is not None and since:
        text = "at most one of `sinceTime` or `sinceSeconds` may be specified"
        faults.append(fld.forbidden("", text))
    elif since_s is not None and since_s < 1:
        faults.append(fld.invalid("sinceSeconds", since_s, _POSITIVE))
    if stream_name and stream_name not in _STREAMS:
        faults.append(fld.not_supported("stream", stream_name, _STREAMS))
    elif stream_name and stream_name != "All" and tail is not None:
        text = "`tailLines` and specific `stream` are mutually exclusive for now"
        faults.append(fld.forbidden("", text))
    if faults:
        raise st.invalid("", "PodLogOptions", name, faults)
    options = [
        (key, "true") for key in ("follow", "previous", "timestamps") if parse_bool(query.get(key))
    ]
    numbers = {"tailLines": tail, "limitBytes": limit, "sinceSeconds": since_s}
    options += [(key, str(number)) for key, number in numbers.items() if number is not None]
    options += [("sinceTime", since)] if since else []
    return options + ([("stream", stream_name)] if stream_name else [])


def _since(text: str) -> str:
    """Return a time as the kubelet is told it, "" for none.

    Raises:
        StatusError: 400, it is no time.
    """
    if text in ("", "null"):
        return ""
    try:
        return times.format_seconds(times.epoch_seconds(text))
    except (times.TimeError, OverflowError) as error:
        raise st.bad_request(str(error)) from error


def _wanted_streams(query: Query) -> Streams:
    return Streams(
        *(bool(parse_bool(query.get(key))) for key in ("stdin", "stdout", "stderr", "tty"))
    )


def _stream_options(query: Query) -> list[tuple[str, str]]:
    streams = _wanted_streams(query)
    named = (("input", streams.stdin), ("output", streams.stdout), ("error", streams.stderr))
    options = [(key, "1") for key, is_wanted in (*named, ("tty", streams.tty)) if is_wanted]
    return options + [("command", word) for word in query.get("command", ())]


def _port_options(query: Query) -> list[tuple[str, str]]:
    """Return the ports that a websocket client names.

    Raises:
        StatusError: 400, they are no numbers.
    """
    numbers = [parse_int({"ports": [text]}, "ports") for text in query.get("ports", ())]
    return [("port", ",".join(map(str, numbers)))] if numbers else []


def _container_names(pod: JsonObject) -> Iterator[str]:
    for key in _CONTAINERS:
        for container in pod["spec"].get(key, ()):
            yield container["name"]


def _container(pod: JsonObject, wanted: str) -> str:
    """Return the container asked for, or the only one.

    Raises:
        StatusError: 400.
    """
    name = pod["metadata"]["name"]
    if wanted:
        if wanted not in _container_names(pod):
            raise st.bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    containers = pod["spec"]["containers"]
    if len(containers) > 1:
        choice = " ".join(_container_names(pod))
        raise st.bad_request(
            f"a container name must be specified for pod {name}, choose one of: [{choice}]"
        )
    only: str = containers[0]["name"]
    return only


async def _read_pod(server: Server, target: Target) -> JsonObject:
    record = await server.read(target.resource, target.namespace, target.name)
    pod: JsonObject = orjson.loads(record.body)
    return pod
