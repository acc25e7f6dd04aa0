"""Caches keyed by texts that clients send: bounded in bytes as well as in number.

Such a cache keeps its keys alive, and a key can be as long as a body. Whoever reads bodies says how
long the large ones were; when they come to `LARGE_BYTES_MAX` all these caches are emptied. That
costs the many small requests nothing, where a look at each text's length would.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from functools import _lru_cache_wrapper

Result = TypeVar("Result")

LARGE_BODY_BYTES: Final = 8192
LARGE_BYTES_MAX: Final = 64 << 20
_caches: Final[list[_lru_cache_wrapper[object]]] = []


class _Large:
    """How many bytes of large bodies were read since the caches were emptied."""

    read_bytes = 0


def text_cache(maxsize: int) -> Callable[[Callable[..., Result]], _lru_cache_wrapper[Result]]:
    """Return a decorator like `lru_cache` for functions of texts."""

    def decorate(function: Callable[..., Result]) -> _lru_cache_wrapper[Result]:
        cached = lru_cache(maxsize=maxsize)(function)
        _caches.append(cached)
        return cached

    return decorate


def note_large_body(length: int) -> None:
    """Take note that a body of more than `LARGE_BODY_BYTES` was read; empty the caches if due."""
    _Large.read_bytes += length
    if _Large.read_bytes > LARGE_BYTES_MAX:
        _Large.read_bytes = 0
        for cached in _caches:
            cached.cache_clear()
