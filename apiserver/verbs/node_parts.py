"""What only a node or a pod itself can answer: log, exec, attach, portforward, proxy.

There is no kubelet to ask here, so every such request is refused in the end; until then it is
checked in upstream's order, and a client hears first what is wrong with its own request.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import orjson

from apiserver.exchange import Exchange
from apiserver.options import parse_bool, parse_int
from apiserver.resources import Target
from apiserver.server import Server
from apiserver.verbs.admitting import admit_connection
from kube import field as fld
from kube import status as st
from kube.field import quote
from kube.json_types import JsonObject

_CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")
_STREAMS: Final = ("All", "Stderr", "Stdout")
_SCHEMES: Final = ("", "http", "https")
_POSITIVE: Final = "must be greater than 0"


async def log(server: Server, exchange: Exchange, target: Target) -> None:
    """Answer with nothing for a pod without a node, as it can have written nothing yet."""
    _check_log_options(exchange, target.name)
    pod = await _read(server, target, target.name)
    _check_container(pod, exchange.parameter("container"))
    if not pod["spec"].get("nodeName"):
        await exchange.respond_empty()
        return
    await _refuse(server, target, pod)


async def stream(server: Server, exchange: Exchange, target: Target) -> None:
    """Refuse exec, attach and portforward."""
    await admit_connection(server, exchange, target, _stream_options(exchange, target.subresource))
    pod = await _read(server, target, target.name)
    if target.subresource != "portforward":
        _check_container(pod, exchange.parameter("container"))
    if not pod["spec"].get("nodeName"):
        raise st.bad_request(f"pod {target.name} does not have a host assigned")
    await _refuse(server, target, pod)


def _stream_options(exchange: Exchange, part: str) -> JsonObject:
    """Return what a query asks for, as an object of the subresource's kind."""
    query = exchange.query
    if part == "portforward":
        ports = [int(text) for text in query.get("ports", ()) if text.isascii() and text.isdigit()]
        return {"ports": ports} if ports else {}
    names = ("stdin", "stdout", "stderr", "tty")
    options: JsonObject = {name: True for name in names if parse_bool(query.get(name))}
    if container := exchange.parameter("container"):
        options["container"] = container
    if part == "exec" and "command" in query:
        options["command"] = list(query["command"])
    return options


async def proxy(server: Server, exchange: Exchange, target: Target) -> None:
    """Refuse to pass a request on to a pod, a service or a node."""
    path = {"path": target.rest} if target.rest else {}
    await admit_connection(server, exchange, target, path)
    plural = target.resource.plural
    name = _name_in(target.name)
    if name is None:
        raise st.bad_request(
            f"invalid {target.resource.info.singular} request {quote(target.name)}"
        )
    found = await _read(server, target, name)
    if plural == "services":
        raise st.service_unavailable(f"no endpoints available for service {quote(name)}")
    if plural == "pods" and not found.get("status", {}).get("podIP"):
        raise st.bad_request("address not allowed")
    raise _no_kubelet(target)


def _check_log_options(exchange: Exchange, name: str) -> None:
    """Check the query as upstream checks PodLogOptions.

    Raises:
        StatusError: 400 for what is no number, 422 for wrong values.
    """
    query = exchange.query
    tail, limit = parse_int(query, "tailLines"), parse_int(query, "limitBytes")
    since_s = parse_int(query, "sinceSeconds")
    stream_name = exchange.parameter("stream")
    faults = []
    if tail is not None and tail < 0:
        faults.append(fld.invalid("tailLines", tail, "must be greater than or equal to 0"))
    if limit is not None and limit < 1:
        faults.append(fld.invalid("limitBytes", limit, _POSITIVE))
    if since_s is not None and exchange.parameter("sinceTime"):
        text = "at most one of `sinceTime` or `sinceSeconds` may be specified"
        faults.append(fld.forbidden("", text))
    elif since_s is not None and since_s < 1:
        faults.append(fld.invalid("sinceSeconds", since_s, _POSITIVE))
    if stream_name and stream_name not in _STREAMS:
        faults.append(fld.not_supported("stream", stream_name, _STREAMS))
    if faults:
        raise st.invalid("", "PodLogOptions", name, faults)


def _container_names(pod: JsonObject) -> Iterator[str]:
    for key in _CONTAINERS:
        for container in pod["spec"].get(key, ()):
            yield container["name"]


def _check_container(pod: JsonObject, wanted: str) -> None:
    """Check that the container asked for is there, or that it needs not be named.

    Raises:
        StatusError: 400.
    """
    name = pod["metadata"]["name"]
    if not wanted:
        if len(pod["spec"]["containers"]) > 1:
            choice = " ".join(_container_names(pod))
            raise st.bad_request(
                f"a container name must be specified for pod {name}, choose one of: [{choice}]"
            )
    elif wanted not in _container_names(pod):
        raise st.bad_request(f"container {wanted} is not valid for pod {name}")


def _name_in(text: str) -> str | None:
    """Return the name of `name`, `name:port` or `scheme:name:port`, None if it is none of them."""
    parts = text.split(":")
    if len(parts) > 3:
        return None
    if len(parts) == 3 and parts[0] not in _SCHEMES:
        return None
    return parts[1 if len(parts) == 3 else 0] or None


async def _read(server: Server, target: Target, name: str) -> JsonObject:
    record = await server.read(target.resource, target.namespace, name)
    obj: JsonObject = orjson.loads(record.body)
    return obj


async def _refuse(server: Server, target: Target, pod: JsonObject) -> None:
    """Say that the pod's node is not there, or else that it has no kubelet to ask.

    Raises:
        StatusError: always.
    """
    await server.read(server.catalog.by_storage["nodes"], "", pod["spec"]["nodeName"])
    raise _no_kubelet(target)


def _no_kubelet(target: Target) -> st.StatusError:
    what = f"{target.resource.plural}/{target.subresource}"
    return st.service_unavailable(
        f"{what} of {target.name} cannot be served: no node of this cluster has a kubelet endpoint"
    )
