"""What a container leaves as its termination message.

It is the end of a file (terminationMessagePath) or, where that is empty, the container has failed,
and FallbackToLogsOnError is asked for, the end of what it has printed: a kubelet's limits are 4,096
bytes of the one, 2,048 bytes and 80 lines of the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from kube.json_types import JsonObject

_PATH: Final = "/dev/termination-log"
_FILE_BYTES_MAX: Final = 4096
_LOG_BYTES_MAX: Final = 2048
_LOG_LINES_MAX: Final = 80


class LastWords(NamedTuple):
    """Where a container's are to be found."""

    path: str = _PATH
    are_logged: bool = False


USUAL: Final = LastWords()


def last_words_of(container: JsonObject) -> LastWords:
    """Return what a container's spec says of them."""
    return LastWords(
        container.get("terminationMessagePath") or _PATH,
        container.get("terminationMessagePolicy") == "FallbackToLogsOnError",
    )


class Tail:
    """Keeps the end of what is printed."""

    def __init__(self) -> None:
        self._held = b""

    def take(self, data: bytes) -> None:
        """Hear more."""
        self._held = (self._held + data)[-_LOG_BYTES_MAX:]

    def lines(self) -> bytes:
        """Return the last lines of it."""
        return b"".join(self._held.splitlines(keepends=True)[-_LOG_LINES_MAX:])


def message_of(words: LastWords, files: Mapping[str, bytes | None], tail: Tail, code: int) -> str:
    """Return the message of a container that has ended.

    Args:
        words: where to look.
        files: what it has written.
        tail: the end of what it has printed.
        code: its exit code.
    """
    content = (files.get(words.path) or b"")[-_FILE_BYTES_MAX:]
    if not content and code and words.are_logged:
        content = tail.lines()
    return content.decode(errors="replace")
