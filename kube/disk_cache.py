"""Compiled tables kept on disk between starts.

Invariants: an entry is used only when its key (a fingerprint of everything it was made from) is
the caller's; entries appear whole, by rename; a cache that cannot be read or written costs time,
never correctness. Values are what `marshal` holds: tuples, lists, dicts, strings, numbers, bytes.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import marshal
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

_LOG = logging.getLogger(__name__)
_KEY_BYTES: Final = 16


def cache_directory() -> Path:
    """Return where compiled tables live: ULTRAPLANE_CACHE_DIR, else the user's cache directory."""
    explicit = os.environ.get("ULTRAPLANE_CACHE_DIR")
    if explicit:
        return Path(explicit)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ultraplane"


def package_directory(name: str) -> Path:
    """Return the directory of an installed package without importing it.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"package {name!r} is not installed", name=name)
    return Path(next(iter(spec.submodule_search_locations)))


def fingerprint(files: Iterable[Path], *extra: str) -> bytes:
    """Return a key over the contents of `files`, `extra` and this interpreter's version."""
    digest = hashlib.blake2b(sys.version.encode(), digest_size=_KEY_BYTES)
    for text in extra:
        digest.update(text.encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.digest()


def load_or_build(name: str, key: bytes, build: Callable[[], Any]) -> Any:
    """Return the cached value of `name` if it was made under `key`, else build and keep it."""
    path = cache_directory() / f"{name}.bin"
    raw = _read_own(path)
    if raw[:_KEY_BYTES] == key:
        try:
            return marshal.loads(raw[_KEY_BYTES:])
        except (ValueError, EOFError, TypeError) as error:
            _LOG.warning("rebuilding the damaged cache entry %s: %s", path, error)
    value = build()
    _store(path, key, value)
    return value


def _read_own(path: Path) -> bytes:
    """Return the entry's bytes; none if absent, unreadable, or written by someone else."""
    try:
        with path.open("rb") as file:
            # Unmarshalling trusts its input, and a shared directory may hold a stranger's file.
            return file.read() if os.fstat(file.fileno()).st_uid == os.getuid() else b""
    except OSError:
        return b""  # building is the answer to all of these


def _store(path: Path, key: bytes, value: Any) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary.write_bytes(key + marshal.dumps(value))
        temporary.replace(path)
    except OSError as error:
        _LOG.warning("cannot keep the compiled table %s: %s", path, error)
