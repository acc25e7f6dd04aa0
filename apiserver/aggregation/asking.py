"""What this server itself asks of extension API servers: discovery, OpenAPI, "are you there?".

Each has a limit of time and of bytes: whoever is asked may be anybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

from apiserver.aggregation.identity import AGGREGATOR, identity_headers
from apiserver.proxying.wire import Address, BackendFailed, Backends, Head

ANSWER_S_MAX: Final = 5.0
ANSWER_BYTES_MAX: Final = 16 << 20


class Answer(NamedTuple):
    """What was answered."""

    head: Head
    body: bytes

    @property
    def code(self) -> int:
        """Its status code."""
        return self.head.code


async def ask(
    backends: Backends,
    address: Address,
    path: str,
    headers: Sequence[tuple[bytes, bytes]] = (),
    bytes_max: int = ANSWER_BYTES_MAX,
) -> Answer:
    """GET something as the aggregator itself.

    Raises:
        BackendFailed: there is no answer, or more of it than `bytes_max`.
    """
    try:
        async with asyncio.timeout(ANSWER_S_MAX):
            return await _ask(backends, address, path, headers, bytes_max)
    except TimeoutError as error:
        raise BackendFailed("context deadline exceeded") from error


async def _ask(
    backends: Backends,
    address: Address,
    path: str,
    headers: Sequence[tuple[bytes, bytes]],
    bytes_max: int,
) -> Answer:
    lines = [
        b"GET %b HTTP/1.1" % path.encode(),
        b"Host: " + address.authority.encode(),
        b"User-Agent: kube-apiserver",
        b"Accept-Encoding: identity",
    ]
    lines += [b"%b: %b" % header for header in (*identity_headers(AGGREGATOR), *headers)]
    connection = await backends.dial(address)
    try:
        await connection.send(b"GET", b"\r\n".join([*lines, b"", b""]))
        head = await connection.head()
        body = await connection.body(bytes_max + 1)
        if len(body) > bytes_max:
            raise BackendFailed(f"the answer is longer than {bytes_max} bytes")
        return Answer(head, body)
    finally:
        connection.abort()
