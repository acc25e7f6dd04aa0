"""Documents that are compressed once and then kept: OpenAPI v2, discovery where it is large.

Who gets them is settled as upstream does it, which is not alike for all: discovery follows the
rules of resources (apiserver.compression), OpenAPI v2 and metrics have handlers of their own, which
know qualities and compress nearly anything. OpenAPI v3 is compressed by neither.
"""

from __future__ import annotations

from typing import Final

from apiserver.compression import GZIP_BYTES_MIN, accepts_gzip, gzip_whole

HANDLER_BYTES_MIN: Final = 1400
"""The least that the handler of OpenAPI v2 compresses."""
_KEPT_MAX: Final = 16


def prefers_gzip(accept_encoding: str) -> bool:
    """Tell whether an Accept-Encoding header names gzip, and with no quality of 0."""
    for clause in accept_encoding.split(","):
        coding, *parameters = (part.strip() for part in clause.split(";"))
        if coding.lower() == "gzip" and all(map(_is_wanted, parameters)):
            return True
    return False


def _is_wanted(parameter: str) -> bool:
    if not parameter.startswith("q="):
        return True
    try:
        return float(parameter[2:]) > 0
    except ValueError:
        return False


def is_packed(body: bytes, accept_encoding: str) -> bool:
    """Tell whether a document goes compressed by the rules of resources."""
    return len(body) > GZIP_BYTES_MIN and accepts_gzip(accept_encoding.encode("latin-1"))


class Packed:
    """Compressed documents by name, each of the bytes it was made of last."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[bytes, bytes]] = {}

    async def of(self, name: str, body: bytes) -> bytes:
        """Return a document compressed; made where it is not kept, a large one in a thread."""
        kept = self._kept.get(name)
        if kept is not None and kept[0] is body:
            return kept[1]
        packed = await gzip_whole(body)
        if name in self._kept or len(self._kept) < _KEPT_MAX:
            self._kept[name] = body, packed
        return packed
