"""What the processes of controllers have in common: arguments, logs, identity, readiness.

One is ready for whoever started it when it accepts connections at a Unix socket. Who connects there
and sends `f` is told the process's figures, if it has any; the API server's console asks for them.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
import sys
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

_SOCKET_MASK: Final = 0o177
_FIGURES: Final = b"f"
_QUESTION_S_MAX: Final = 2.0


async def accept_connections(path: Path, tell: Callable[[], bytes] = bytes) -> None:
    """Accept connections at `path`, and close them, until cancelled; an old socket is replaced.

    Args:
        path: the socket's.
        tell: returns the process's figures, as JSON.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Most only want to know that we are here, and say nothing.
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_QUESTION_S_MAX):
                if await reader.read(1) == _FIGURES:
                    writer.write(tell())
                    await writer.drain()
        writer.close()

    path.unlink(missing_ok=True)  # noqa: ASYNC240 - once, at the start
    mask = os.umask(_SOCKET_MASK)
    try:
        server = await asyncio.start_unix_server(answer, path)
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


def make_parser(program: str, description: str) -> argparse.ArgumentParser:
    """Return a parser of the arguments that all take."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--kubeconfig", type=Path, required=True, help="how to reach the server")
    parser.add_argument("--listen", type=socket_path, help="unix:/path to accept at when ready")
    parser.add_argument(
        "--log-level", default="info", choices=["debug", "info", "warning", "error"]
    )
    return parser


def start_logging(level: str) -> None:
    """Log to stderr from now on."""
    logging.basicConfig(
        level=level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


def identity(*, elects: bool) -> str:
    """Return who this process is in an election, "" where there is none."""
    return f"{socket.gethostname()}_{uuid.uuid4()}" if elects else ""
