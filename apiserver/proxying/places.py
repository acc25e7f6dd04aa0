"""Where pods, services and nodes are reached by `proxy`: `name`, `name:port`, `scheme:name:port`.

As upstream's ResourceLocation of each. What is not an address that others could have, loopback
above all, is refused: the server would lead strangers to what listens on its own machine.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from ipaddress import ip_address
from typing import Final, NamedTuple

import orjson

from apiserver.errors import from_storage_error
from apiserver.proxying.kubelets import Kubelets, unverified_context
from apiserver.proxying.wire import Address
from apiserver.resources import Target
from apiserver.server import Server
from kube import status as st
from kube.field import quote
from kube.json_types import JsonObject
from kube.selector_parser import parse_field_selector, parse_label_selector
from kube.selectors import compile_selectors
from storage.errors import StorageError
from storage.scan import Query

SLICES: Final = "discovery.k8s.io/endpointslices"
SERVICE_LABEL: Final = "kubernetes.io/service-name"
_SCHEMES: Final = ("", "http", "https")
_NOT_ALLOWED: Final = "address not allowed"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Asked(NamedTuple):
    """The parts of what stands where a name does."""

    scheme: str
    name: str
    port: str


def read_name(text: str, what: str) -> Asked:
    """Return the parts of `name`, `name:port` or `scheme:name:port`.

    Raises:
        StatusError: 400, it is none of them.
    """
    parts = text.split(":")
    match len(parts):
        case 1:
            asked = Asked("", parts[0], "")
        case 2:
            asked = Asked("", *parts)
        case 3:
            asked = Asked(*parts)
        case _:
            asked = Asked("", "", "")
    if not asked.name or asked.scheme not in _SCHEMES:
        raise st.bad_request(f"invalid {what} request {quote(text)}")
    return asked


async def place_of(server: Server, kubelets: Kubelets, target: Target) -> Address:
    """Return where what `target` names is reached.

    Raises:
        StatusError: 400, 404 or 503; nowhere.
    """
    asked = read_name(target.name, target.resource.info.singular)
    match target.resource.plural:
        case "nodes":
            return await _node_place(server, kubelets, asked)
        case "pods":
            return await _pod_place(server, target.namespace, asked)
        case _:
            return await _service_place(server, target.namespace, asked)


async def _node_place(server: Server, kubelets: Kubelets, asked: Asked) -> Address:
    address = (await kubelets.of(server, asked.name)).address
    if asked.port in ("", str(address.port)):
        return address
    await check_host(address.host)
    return _address(asked.scheme, address.host, asked.port)


async def _pod_place(server: Server, namespace: str, asked: Asked) -> Address:
    pods = server.catalog.by_storage["pods"]
    pod = orjson.loads((await server.read(pods, namespace, asked.name)).body)
    port = asked.port
    if not port:
        ports = (one for each in pod["spec"]["containers"] for one in each.get("ports") or ())
        port = str(next((one["containerPort"] for one in ports), ""))
    addresses = _pod_addresses(pod)
    if not (addresses and is_allowed(addresses[0])):
        raise st.bad_request(_NOT_ALLOWED)
    return _address(asked.scheme, addresses[0], port)


async def _service_place(server: Server, namespace: str, asked: Asked) -> Address:
    services = server.catalog.by_storage["services"]
    service = orjson.loads((await server.read(services, namespace, asked.name)).body)
    spec = service.get("spec") or {}
    port_name = asked.port
    if asked.port.isascii() and asked.port.isdigit():
        found = port_of(spec, int(asked.port))
        if found is None:
            raise st.service_unavailable(
                f"no service port {int(asked.port)} found for service {quote(asked.name)}",
                retry_after_s=0,
            )
        port_name = found.get("name", "")

    def is_pods(endpoint: JsonObject) -> bool:
        reference = endpoint.get("targetRef") or {}
        if reference.get("namespace") != namespace or reference.get("kind") != "Pod":
            return False
        pods = server.catalog.by_storage["pods"]
        record = server.peek(pods, namespace, reference.get("name") or "")
        if record is None:
            return False
        return endpoint["addresses"][0] in _pod_addresses(orjson.loads(record.body))

    await server.fresh(server.catalog.by_storage[SLICES])
    slices = await slices_of(server, namespace, asked.name)
    chosen = any_endpoint(slices, port_name, spec.get("ipFamilies") or (), is_pods)
    if chosen is None:
        raise no_endpoints(asked.name)
    host, port = chosen
    return _address(asked.scheme, host, str(port))


def no_endpoints(service: str) -> st.StatusError:
    """503: nobody serves a service now."""
    text = f"no endpoints available for service {quote(service)}"
    return st.service_unavailable(text, retry_after_s=0)


def port_of(spec: JsonObject, number: int) -> JsonObject | None:
    """Return a service's port of that number."""
    ports: Sequence[JsonObject] = spec.get("ports") or ()
    return next((one for one in ports if one.get("port") == number), None)


async def slices_of(server: Server, namespace: str, service: str) -> list[JsonObject]:
    """Return a service's endpoint slices, as the replica has them now.

    They are looked for among all of the namespace, with turns for others in between.

    Raises:
        StatusError: 429 or 503, they cannot be read.
    """
    labels = parse_label_selector(f"{SERVICE_LABEL}={service}")
    match = compile_selectors(labels, parse_field_selector(""))
    try:
        with server.store.scan(Query(SLICES, namespace=namespace, match=match)) as scan:
            found: list[JsonObject] = []
            for chunk in scan:
                found += (orjson.loads(record.body) for record in chunk)
                await server.list_steps.next()
            return found
    except StorageError as error:
        raise from_storage_error(error, ("discovery.k8s.io", "endpointslices")) from error


def any_endpoint(
    slices: Iterable[JsonObject],
    port_name: str,
    families: Sequence[str],
    is_valid: Callable[[JsonObject], bool] = lambda _endpoint: True,
) -> tuple[str, int] | None:
    """Return address and port of one of the ready endpoints, at random; None: there is none.

    Args:
        slices: of a service.
        port_name: "" for one without.
        families: the service's; endpoints of the first are preferred.
        is_valid: what they must be besides.
    """
    preferred = families[0] if families else ""
    shuffled = list(slices)
    random.shuffle(shuffled)
    shuffled.sort(key=lambda one: one.get("addressType") != preferred)
    for one in shuffled:
        for port in one.get("ports") or ():
            if port.get("name", "") != port_name or not port.get("port"):
                continue
            for endpoint in _shuffled(one.get("endpoints") or ()):
                if is_ready(endpoint) and endpoint.get("addresses") and is_valid(endpoint):
                    return endpoint["addresses"][0], port["port"]
    return None


def is_ready(endpoint: JsonObject) -> bool:
    """Tell whether an endpoint serves; one that does not say so is taken to."""
    return (endpoint.get("conditions") or {}).get("ready") is not False


def _shuffled(endpoints: Sequence[JsonObject]) -> Iterator[JsonObject]:
    start = random.randrange(len(endpoints)) if endpoints else 0
    for index in range(len(endpoints)):
        yield endpoints[(start + index) % len(endpoints)]


def _pod_addresses(pod: JsonObject) -> list[str]:
    status = pod.get("status") or {}
    return [one["ip"] for one in status.get("podIPs") or () if one.get("ip")]


def is_allowed(text: str) -> bool:
    """Tell whether this is an address that may be led to: a global unicast one, as Go has it."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return not (
        address.is_loopback
        or address.is_multicast
        or address.is_link_local
        or address.is_unspecified
        or text == "255.255.255.255"
    )


async def check_host(host: str) -> None:
    """Refuse a host one of whose addresses must not be led to.

    Raises:
        StatusError: 400.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None)
    except (OSError, UnicodeError) as error:
        raise st.bad_request(f"lookup {host}: {error}") from error
    if not found:
        raise st.bad_request("no addresses for hostname")
    if not all(is_allowed(str(one[4][0])) for one in found):
        raise st.bad_request(_NOT_ALLOWED)


@cache
def _tls() -> ssl.SSLContext:
    """Pods are whoever has their address: upstream checks no certificate of theirs."""
    return unverified_context()


def _address(scheme: str, host: str, port: str) -> Address:
    scheme = scheme or "http"
    number = _DEFAULT_PORTS[scheme]
    if port:
        digits = port.lstrip("0")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 6 and int(digits) < 65_536):
            text = f"error trying to reach service: dial tcp: lookup tcp/{port}: unknown port"
            raise st.service_unavailable(text, retry_after_s=0)
        number = int(digits)
    return Address(host, number, _tls() if scheme == "https" else None)
