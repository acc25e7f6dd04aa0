"""Being ready, for whoever started a process: it accepts connections at a Unix socket."""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path
from typing import Final

_SOCKET_MASK: Final = 0o177


async def accept_connections(path: Path) -> None:
    """Accept connections at `path`, and close them, until cancelled; an old socket is replaced."""
    path.unlink(missing_ok=True)  # noqa: ASYNC240 - once, at the start
    mask = os.umask(_SOCKET_MASK)
    try:
        server = await asyncio.start_unix_server(lambda _reader, writer: writer.close(), path)
    finally:
        os.umask(mask)
    async with server:
        await server.serve_forever()


def socket_path(text: str) -> Path:
    """Return the path of `unix:/path`; for an argument parser."""
    kind, _, path = text.partition(":")
    if kind != "unix" or not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not unix:/path")
    return Path(path)
