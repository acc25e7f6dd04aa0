"""Unix sockets that only their owner may use, at paths of any length.

The kernel takes 107 bytes of a socket's path. A directory's descriptor has a short name in /proc,
and what is in the directory can be reached through that.

Processes of one machine ask each other there: some bytes are sent, the answer is all that comes
until the other side closes.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PATH_BYTES_MAX: Final = 100
_MASK: Final = 0o177
_BACKLOG: Final = 128


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Give a name of `path` that the kernel takes for a socket's, for the time of the block.

    Raises:
        FileNotFoundError: the directory is not there.
    """
    if len(os.fsencode(path)) <= _PATH_BYTES_MAX:
        yield str(path)
        return
    directory_fd = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory_fd}/{path.name}"
    finally:
        os.close(directory_fd)


def listen(path: Path) -> socket.socket:
    """Return a listening socket, non-blocking, in the place of an old one of that name.

    Raises:
        OSError: it can't be had.
    """
    path.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    mask = os.umask(_MASK)
    try:
        with short_path(path) as name:
            made.bind(name)
        made.listen(_BACKLOG)
    except BaseException:
        made.close()
        raise
    finally:
        os.umask(mask)
    return made


async def ask(path: Path, question: bytes, timeout_s: float, bytes_max: int) -> bytes:
    """Send a question to who listens at `path`; return the whole answer.

    Raises:
        OSError: nobody listens there, or the answer is longer than `bytes_max`.
        TimeoutError: it is not whole in time.
    """
    async with asyncio.timeout(timeout_s):
        with short_path(path) as name:
            reader, writer = await asyncio.open_unix_connection(name)
        try:
            writer.write(question)
            return await _read_whole(reader, bytes_max)
        finally:
            writer.transport.abort()


async def _read_whole(reader: asyncio.StreamReader, bytes_max: int) -> bytes:
    parts, size = [], 0
    while part := await reader.read(1 << 20):
        parts.append(part)
        size += len(part)
        if size > bytes_max:
            raise OSError("it tells too much")
    return b"".join(parts)
