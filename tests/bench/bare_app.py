"""The bare comparison: an ASGI application that does nothing but move the same bytes.

GET answers with the file of the path's last element in the directory that BENCH_BARE names, read
at the first such GET; anything else answers with the request's body. Run by uvicorn, as the API
server is.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

DIRECTORY: Final = "BENCH_BARE"

Message = dict[str, Any]


@cache
def _file(path: str) -> bytes:
    file = Path(os.environ[DIRECTORY], path.rpartition("/")[2])
    return file.read_bytes() if file.is_file() else b"ok"


async def app(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Answer one request."""
    if scope["type"] != "http":
        return
    if scope["method"] == "GET":
        body = _file(scope["path"])
    else:
        message = await receive()
        body = message["body"]
        while message.get("more_body"):
            message = await receive()
            body += message["body"]
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
