"""Reading files that hold keys: only those that nobody else can read."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from apiserver.encryption.errors import EncryptionConfigError

BYTES_MAX: Final = 1 << 20


def read_private(path: Path) -> bytes:
    """Return the content of a file that is ours, or root's, and closed to all others.

    Raises:
        EncryptionConfigError: it is not, or is no file, or cannot be read, or is too large.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise EncryptionConfigError(f"{path} cannot be read: {error}") from error
    # Of the open file: what the name leads to may be another one by now.
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        os.close(descriptor)
        raise EncryptionConfigError(f"{path} is no file")
    with os.fdopen(descriptor, "rb") as file:
        if facts.st_uid not in (0, os.geteuid()):
            raise EncryptionConfigError(f"{path} holds keys and belongs to user {facts.st_uid}")
        if facts.st_mode & 0o077:
            raise EncryptionConfigError(
                f"{path} holds keys and is open to others (mode {stat.S_IMODE(facts.st_mode):04o}):"
                f" chmod 600 {path}"
            )
        try:
            content = file.read(BYTES_MAX + 1)
        except OSError as error:
            raise EncryptionConfigError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > BYTES_MAX:
        raise EncryptionConfigError(f"{path} has more than {BYTES_MAX} bytes")
    return content
