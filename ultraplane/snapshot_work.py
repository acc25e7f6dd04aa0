"""What saving, restoring and verifying snapshots share: a place to work in, and what is shown.

Everything is made in a directory of its own beside where it belongs, and gets its name by one
rename. What a killed one leaves there has no effect, and goes when the same is tried again.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from journal.errors import JournalError
from runtime.clock import Clock
from storage.errors import StorageError
from storage.sealing import Sealers
from storage.snapshot_file import SnapshotDamaged, SnapshotUnsupported
from storage.snapshot_manifest import Manifest, ManifestInvalid
from ultraplane.errors import UserError
from ultraplane.files import DirectoryInUse, DirectoryLock, private_directory

_SCRATCH: Final = ".snapshot"
"""No partition's name begins with a dot."""
Told = Callable[[int], None]
_EXPECTED = (StorageError, JournalError, SnapshotDamaged, SnapshotUnsupported, ManifestInvalid)


class SnapshotUseless(UserError):
    """A snapshot can't be made, read or restored; what was there before is untouched."""


class Steps(Protocol):
    """Who shows how far it is."""

    def step(self, text: str, total: int | None) -> Told:
        """Begin a step of so many units, if that is known; return who hears of units done."""
        ...


class Bars:
    """Steps as bars on a terminal, on stderr; elsewhere nothing is shown."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def step(self, text: str, total: int | None) -> Told:
        """See `Steps`."""
        task = self._progress.add_task(text, total=total)
        return lambda units: self._progress.advance(task, units)


@contextmanager
def work_directory(path: Path, doing: str) -> Iterator[Path]:
    """Give an empty directory that is ours alone, and remove it afterwards.

    Args:
        path: where; what a killed predecessor left in it is removed.
        doing: for the message when somebody else is at it.

    Raises:
        SnapshotUseless: somebody is.
    """
    private_directory(path)
    with ExitStack() as stack:
        try:
            stack.enter_context(DirectoryLock(path))
        except DirectoryInUse as error:
            raise SnapshotUseless(f"somebody else is {doing} (in {path})") from error
        for entry in path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != "lock":
                entry.unlink()
        try:
            yield path
        finally:
            # Gone if it was given another name.
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def scratch_beside(file: Path) -> Iterator[Path]:
    """Give a private directory for a while: beside a file, which needs as much room, or in /tmp."""
    beside = file.parent if os.access(file.parent, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix=f".{file.name}.", dir=beside) as name:
        yield Path(name)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what can go wrong with files and data into a message for a person.

    Args:
        path: named where the system does not say which file it was.

    Raises:
        SnapshotUseless: instead of what was raised in the block.
    """
    try:
        yield
    except _EXPECTED as error:
        raise SnapshotUseless(str(error)) from error
    except OSError as error:
        name = os.fsdecode(error.filename) if error.filename is not None else str(path)
        reason = error.strerror or str(error)
        raise SnapshotUseless(f"{name}: {reason}; nothing was written") from error


def load_keys(path: Path | None, clock: Clock) -> Sealers | None:
    """Return what seals and opens snapshots, by an EncryptionConfiguration; None: nothing does.

    Raises:
        SnapshotUseless: the file, or a key, is of no use.
    """
    if path is None:
        return None
    # Ciphers take time to load, and few set this.
    from apiserver.encryption.errors import EncryptionConfigError  # noqa: PLC0415
    from apiserver.encryption.sealers import load_sealers  # noqa: PLC0415

    try:
        return load_sealers(path, clock.monotonic_s)
    except EncryptionConfigError as error:
        raise SnapshotUseless(f"{error}. Nothing was written") from error


@contextmanager
def scratch_for(memory: Path, sealers: Sealers | None, otherwise: Path) -> Iterator[Path]:
    """Give a directory for what is in the clear: in memory, where the cluster is encrypted.

    Args:
        memory: the cluster's directory there; made, and removed, if there is none.
        sealers: whether it is.
        otherwise: where else.
    """
    if sealers is None:
        yield otherwise
        return
    private_directory(memory)
    try:
        with work_directory(memory / _SCRATCH, "reading a snapshot") as scratch:
            yield scratch / "environment"
    finally:
        with suppress(OSError):
            memory.rmdir()


def manifest_of(content: dict[str, object], path: Path) -> Manifest:
    """Return a snapshot's manifest.

    Raises:
        ManifestInvalid: it is none; names the file.
    """
    try:
        return Manifest.decode(content)
    except ManifestInvalid as error:
        raise ManifestInvalid(f"{path}: the manifest can't be used: {error}") from error
