"""A configuration file that is looked at again and again: what it holds, whenever that is another.

A file is looked at every two seconds, and read only when it is not the one it was; replacing it, as
editors and mounted ConfigMaps do, is as good as writing it. What cannot be read or understood is
told once and changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from kube import codec_yaml
from runtime.clock import Clock

_LOOK_S: Final = 2.0
_BYTES_MAX: Final = 1 << 20
_log: Final = logging.getLogger(__name__)


class WatchedFile:
    """See the module's head."""

    def __init__(self, path: Path, known: Any, clock: Clock) -> None:
        """Begin with what is known to have been in it, as decoded."""
        self._path = path
        self._known = known
        self._clock = clock
        self._seen: object = None

    async def changes(self) -> AsyncIterator[Any]:
        """Yield what it holds, decoded, each time that is not what it held before; for ever."""
        while True:
            document = await asyncio.to_thread(self._read)
            if document is not None and document != self._known:
                self._known = document
                yield document
            await self._clock.sleep(_LOOK_S)

    def _read(self) -> Any:
        """Return what the file holds; None: it is the one it was, or of no use."""
        try:
            found = self._path.stat()
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
            if seen == self._seen:
                return None
            self._seen = seen
            if found.st_size > _BYTES_MAX:
                raise ValueError(f"it has more than {_BYTES_MAX} bytes")
            return codec_yaml.decode(self._path.read_bytes())
        except (OSError, ValueError) as error:
            if repr(error) != self._seen:
                self._seen = repr(error)
                _log.warning("%s cannot be read, what it held before counts: %s", self._path, error)
            return None
