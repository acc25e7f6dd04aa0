"""A replica's own name: under it the journal keeps the log that this replica still needs.

It is random and kept in the data directory, so that it survives restarts. Host and path are part
of what goes to the journal: a directory that was copied to make another replica is another one,
and must not move the holds of the first.
"""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

from xxhash import xxh3_128_hexdigest

NAME_FILE: Final = "replica"
_TOKEN_BYTES: Final = 16


def replica_name(data_path: Path) -> str:
    """Return the name of the replica in a data directory, making it at the first start.

    Raises:
        OSError: it can't be read or written.
    """
    path = data_path / NAME_FILE
    token = path.read_text().strip() if path.exists() else ""
    if not token:
        token = secrets.token_hex(_TOKEN_BYTES)
        data_path.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.touch(mode=0o600)
        temporary.write_text(token + "\n")
        with suppress(FileExistsError):  # several processes may keep one replica
            os.link(temporary, path)
        temporary.unlink()
        token = path.read_text().strip()
    where = f"{token} {socket.gethostname()} {os.path.realpath(data_path)}"
    return f"replica-{xxh3_128_hexdigest(where.encode())}"
