"""The extension API servers that there are now, and requests to them.

The table is replaced as a whole when APIServices change, so that finding out whose a request is
costs a dictionary look-up, and that only where it is for none of our own types.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlencode

from apiserver.aggregation.endpoints import Endpoints
from apiserver.aggregation.identity import identity_headers
from apiserver.aggregation.model import ApiService
from apiserver.aggregation.request_info import attributes_of_path
from apiserver.authz import Attributes
from apiserver.errors import SERVICE_UNAVAILABLE
from apiserver.exchange import Exchange
from apiserver.proxying.forward import Onward, is_upgrade, pass_on, pass_upgrade_on
from apiserver.proxying.kubelets import show_certificate, unverified_context
from apiserver.proxying.rewriting import Rewriting, encode_path
from apiserver.proxying.wire import Address, BackendFailed, Backends
from apiserver.settings import AggregationSettings
from kube import status as st
from storage.errors import StorageError

DISCOVERY_S_MAX: Final = 5.0
DOCUMENTS: Final = "/openapi/v3/"
_UNAVAILABLE: Final = "service unavailable"
_log: Final = logging.getLogger(__name__)
_PLAIN: Final = b"text/plain; charset=utf-8"
_NOSNIFF: Final = (b"x-content-type-options", b"nosniff")
_AUDIT_ID: Final = b"audit-id"


class Unreachable(Exception):
    """An extension API server cannot be asked; the text says why."""


@dataclass(slots=True)
class Extension:
    """One version of one group that somebody else serves.

    Attributes:
        api: its APIService.
        tls: how it is spoken to; None: it could not be made of the APIService.
        fault: why not.
    """

    api: ApiService
    tls: ssl.SSLContext | None
    fault: str = ""


class Delegated(NamedTuple):
    """A request that is somebody else's to serve."""

    extension: Extension
    attributes: Attributes
    parts: int


class Extensions:
    """The table, and what requests need.

    Attributes:
        shadows: groups' versions that are served elsewhere though we have types of them.
        catch_up: takes on at once what has changed of APIServices.
    """

    def __init__(
        self, settings: AggregationSettings, endpoints: Endpoints, backends: Backends
    ) -> None:
        self._settings = settings
        self.endpoints = endpoints
        self._backends = backends
        self._table: dict[tuple[str, str], Extension] = {}
        self._groups: frozenset[str] = frozenset()
        self.shadows: frozenset[tuple[str, str]] = frozenset()
        self.catch_up: Callable[[], None] = lambda: None

    def replace(self, apis: Iterable[ApiService], local: Iterable[tuple[str, str]]) -> None:
        """Take on the APIServices that there are.

        Args:
            apis: all of them.
            local: the groups' versions that this server has types of.
        """
        table = {}
        for api in apis:
            if api.service is None or not api.group:
                continue
            key = (api.group, api.version)
            before = self._table.get(key)
            if before is not None and _same_trust(before.api, api):
                table[key] = Extension(api, before.tls, before.fault)
            else:
                table[key] = self._make(api)
        self._table = table
        self._groups = frozenset(group for group, _ in table)
        self.shadows = frozenset(table.keys() & set(local))
        self.endpoints.follow(
            one.api.service for one in table.values() if one.api.service is not None
        )

    def all(self) -> list[Extension]:
        """Return all of them."""
        return list(self._table.values())

    def has_group(self, group: str) -> bool:
        """Tell whether any version of a group is somebody else's."""
        return group in self._groups

    def find(self, exchange: Exchange) -> Delegated | None:
        """Return whose a request is, None if it is ours.

        Raises:
            StatusError: 400, its query cannot be read.
        """
        parts = exchange.path.strip("/").split("/")
        if len(parts) < 3 or parts[0] != "apis" or not self._table:
            return None
        extension = self._table.get((parts[1], parts[2]))
        if extension is None:
            return None
        return Delegated(extension, attributes_of_path(exchange, parts), len(parts))

    def find_document(self, path: str) -> Delegated | None:
        """Return who gives out an OpenAPI document, None if that is ours.

        Args:
            path: below `DOCUMENTS`.
        """
        parts = path.removeprefix(DOCUMENTS).strip("/").split("/")
        if len(parts) != 3 or parts[0] != "apis":
            return None
        extension = self._table.get((parts[1], parts[2]))
        return Delegated(extension, Attributes("get", path=path), 3) if extension else None

    def address(self, extension: Extension) -> Address:
        """Return where an extension API server is reached now.

        Raises:
            Unreachable: nowhere.
        """
        reference = extension.api.service
        assert reference is not None, "what this server serves is in no such table"
        if extension.tls is None:
            raise Unreachable(extension.fault)
        try:
            self.endpoints.settle()
            host, port = self.endpoints.address(reference)
        except (st.StatusError, StorageError) as error:
            raise Unreachable(str(error)) from error
        return Address(host, port, extension.tls, reference.server_name)

    async def serve(self, exchange: Exchange, found: Delegated) -> None:
        """Pass a request on; its user may make it.

        Raises:
            ClientGone: there is nobody to answer.
        """
        extension = found.extension
        if not extension.api.is_available:
            # Whoever has seen that it is available by now is not to hear otherwise.
            self.catch_up()
            api = extension.api
            extension = self._table.get((api.group, api.version), extension)
        if not extension.api.is_available:
            await _refuse(exchange, _UNAVAILABLE)
            return
        if extension.tls is None:
            await _refuse(exchange, extension.fault)
            return
        try:
            address = self.address(extension)
        except Unreachable as error:
            _log.info("%s cannot be reached: %s", extension.api.name, error)
            await _refuse(exchange, _UNAVAILABLE)
            return
        try:
            onward = _onward(exchange, address)
            if is_upgrade(exchange):
                await pass_upgrade_on(exchange, self._backends, onward)
            elif found.parts == 3:
                # Discovery: every client waits for it.
                async with asyncio.timeout(DISCOVERY_S_MAX):
                    await pass_on(exchange, self._backends, onward)
            else:
                await pass_on(exchange, self._backends, onward)
        except BackendFailed as error:
            prefix = "" if is_upgrade(exchange) else "error trying to reach service: "
            await _refuse(exchange, f"{prefix}{error}")
        except TimeoutError:
            if exchange.code:
                exchange.abort()
                return
            await _refuse(exchange, "error trying to reach service: context deadline exceeded")

    def _make(self, api: ApiService) -> Extension:
        settings = self._settings
        try:
            if api.is_insecure:
                context = unverified_context()
            else:
                bundle = api.ca_bundle.decode("ascii") or None
                context = ssl.create_default_context(cadata=bundle)
            show_certificate(context, settings.client_certificate_file, settings.client_key_file)
        except (ssl.SSLError, OSError, ValueError) as error:
            return Extension(api, None, f"unable to load root certificates: {error}")
        return Extension(api, context)


def _same_trust(before: ApiService, after: ApiService) -> bool:
    return (before.ca_bundle, before.is_insecure) == (after.ca_bundle, after.is_insecure)


def _onward(exchange: Exchange, address: Address) -> Onward:
    """Return what an extension API server is asked.

    Raises:
        BackendFailed: who asks cannot be said in a header.
    """
    authority = address.authority
    path = encode_path(exchange.path)
    query = _query(exchange.scope["query_string"])
    headers = identity_headers(exchange.user)
    headers += [
        (b"X-Forwarded-Host", authority.encode()),
        (b"X-Forwarded-Proto", b"https"),
        (b"X-Forwarded-Uri", path.encode()),
    ]
    headers += [(b"Audit-Id", value) for name, value in exchange.headers if name == _AUDIT_ID]
    return Onward(
        address=address,
        target=path.encode() + (b"?" + query if query else b""),
        headers=headers,
        host=authority.encode(),
        rewriting=Rewriting("https", authority, "", authority, authority),
    )


def _query(raw: bytes) -> bytes:
    """Return a query in Go's form: by name, and encoded its way."""
    try:
        pairs = parse_qsl(
            raw.decode(), keep_blank_values=True, max_num_fields=1000, errors="strict"
        )
    except ValueError:
        return raw
    return urlencode(sorted(pairs, key=lambda pair: pair[0])).encode()


async def _refuse(exchange: Exchange, text: str) -> None:
    """Answer as Go's http.Error does, which upstream uses here."""
    exchange.headers.append(_NOSNIFF)
    body = text.encode("utf-8", "replace") + b"\n"
    await exchange.respond(SERVICE_UNAVAILABLE, body, _PLAIN)
