"""One partition's LMDB environment: files, tables, transactions. The only importer of lmdb.

One process writes it (`Environment`); any number of others may map it (`MappedEnvironment`).

Tables (all integers big-endian where they are ordered, little-endian in values):

    objects   type id u16, namespace, NUL, name             -> stored value (storage/record.py)
    events    revision u64, operation u16                   -> storage/event.py
    versions  object key, mod revision u64                  -> event key of what superseded it
    index     type id u16, field number u8, value           -> namespace, NUL, name (several)
    expiry    expires at ms u64, object key                 -> nothing
    types     type id u16                                   -> storage/types_table.py
    dictionaries  number u16                                -> storage/dictionaries.py
    meta      "state"                                       -> storage/applier.py

The files need no fsync: what a crash of the process leaves is consistent, as LMDB writes new pages
beside the old and switches between them by one last page. A crash of the machine takes a tmpfs with
it; on a disk it leaves pages of any age, which nothing else would notice. So files written before
the machine was last started are not opened: checkpoint and journal replace them.

No `writemap`: it saves 23 µs of a commit (32 to 9 µs for one put, 10.5 to 8 µs a put in batches of
64), but a full tmpfs then ends the process by SIGBUS instead of failing one write with ENOSPC.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import lmdb

from storage.dictionaries import load_dictionary, read_dictionaries
from storage.errors import (
    DictionaryDamaged,
    ReplicaLocked,
    StorageError,
    StorageFull,
    TooManySnapshots,
)
from storage.values import Values

# Quoted: the classes are generic to type checkers only.
Txn: TypeAlias = "lmdb.Transaction[bytes]"
Cursor: TypeAlias = "lmdb.Cursor[bytes]"
Table: TypeAlias = "lmdb._Database"  # noqa: SLF001 -- the only name the library gives it

DATA_NAME: Final = "data.mdb"
_READERS_NAME: Final = "lock.mdb"
_LOCK_NAME: Final = "applier.lock"
_BOOT_NAME: Final = "boot_id"
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_TABLES_MAX: Final = 16
# Open snapshots take a slot each, in all processes together that map the environment. As many as a
# feed takes in may have as many scans open as they may, each with its own. The table is sparse.
_READERS_MAX: Final = 1 << 17
# Read transactions kept for reuse: beginning one costs 0.4 µs then.
_SPARE_TXNS: Final = 64
# LMDB writes up to 64 pages, or one value, in one call: one that does not fit whole found less.
# Address space, not memory: the file on tmpfs is sparse and grows with what is written.
MAP_BYTES: Final = 256 << 30


class EnvironmentTruncated(StorageError):
    """The file is shorter than its pages; rebuild the environment from elsewhere."""


class EnvironmentUnsynced(StorageError):
    """The files are from before the machine was started; rebuild the environment from elsewhere."""


class EnvironmentReplaced(StorageError):
    """The files are not those that were meant; ask again which they are."""


class Identity(NamedTuple):
    """Which files an environment is: others of the same name have other numbers."""

    data_inode: int
    lock_inode: int


def identity_of(path: Path) -> Identity:
    """Return which files are at an environment's path.

    Raises:
        FileNotFoundError: there are none.
    """
    return Identity((path / DATA_NAME).stat().st_ino, (path / _READERS_NAME).stat().st_ino)


class Tables:
    """The tables of an open environment, to be read.

    Attributes:
        path: its directory.
        map_bytes: the largest it may grow.
        values: reads what the tables hold of objects.
    """

    path: Path
    map_bytes: int
    _lmdb: lmdb.Environment
    _all: tuple[Table, ...]

    def _find_tables(self, *, create: bool) -> None:
        def table(name: str, *, several: bool = False) -> Table:
            # What a table is, its file knows; only its making needs to be told.
            return self._lmdb.open_db(name.encode(), dupsort=several, create=create)

        self.objects = table("objects")
        self.versions = table("versions")
        self.events = table("events")
        self.index = table("index", several=True)
        self.expiry = table("expiry")
        self.types = table("types")
        self.dictionaries = table("dictionaries")
        self.meta = table("meta")
        self._all = (self.objects, self.versions, self.events, self.index)
        self._all += (self.expiry, self.types, self.dictionaries, self.meta)
        self.values = Values(partial(load_dictionary, self))

    def read(self) -> Txn:
        """Begin a read transaction: the state of now, until it is aborted.

        Raises:
            TooManySnapshots: as many are open as all processes together may have.
        """
        try:
            return self._lmdb.begin()
        except lmdb.ReadersFullError as error:
            raise TooManySnapshots(f"{self.path}: {error}") from error

    @property
    def used_bytes(self) -> int:
        """Bytes of the pages ever used: what the file takes on tmpfs."""
        info, stat = self._lmdb.info(), self._lmdb.stat()
        return (info["last_pgno"] + 1) * stat["psize"]

    def history_bytes(self, txn: Txn) -> int:
        """Return the bytes of the pages that hold history."""
        return _bytes_of(txn, self.events)

    def object_bytes(self) -> int:
        """Return the bytes of the pages that hold objects."""
        txn = self.read()
        try:
            return _bytes_of(txn, self.objects)
        finally:
            txn.abort()

    def spare_bytes(self) -> int:
        """Return the bytes of pages that no table has: what is written next takes them first."""
        txn = self.read()
        try:
            stats = [txn.stat(table) for table in self._all]
        finally:
            txn.abort()
        pages = sum(s["branch_pages"] + s["leaf_pages"] + s["overflow_pages"] for s in stats)
        return self.used_bytes - pages * int(stats[0]["psize"])

    def copy_to(self, fd: int, txn: Txn) -> None:
        """Write a compact copy of what `txn` sees; to be called in a thread (the GIL is free).

        Raises:
            OSError: it could not be written whole.
        """
        try:
            self._lmdb.copyfd(fd, compact=True, txn=txn)
        except lmdb.Error as error:
            raise OSError(str(error)) from error

    def forget_dead(self) -> None:
        """Give back the snapshots that dead processes held."""
        self._lmdb.reader_check()

    def readers(self) -> set[int]:
        """Return the ids of the processes that hold snapshots: 14 ms for 3,000 snapshots."""
        lines = self._lmdb.readers().splitlines()[1:]
        return {int(line.split()[0]) for line in lines if line.strip()}

    def close(self) -> None:
        """Close the files; open read transactions must have been aborted."""
        self._lmdb.close()


class MappedEnvironment(Tables):
    """An environment that another process writes.

    Raises:
        EnvironmentReplaced: the files are not the ones meant.
        lmdb.Error: they cannot be mapped.
    """

    def __init__(self, path: Path, identity: Identity, *, map_bytes: int) -> None:
        self.path = path
        self.map_bytes = map_bytes
        try:
            if identity_of(path) != identity:
                raise EnvironmentReplaced(f"{path} was replaced")
            self._lmdb = lmdb.open(
                str(path),
                map_size=map_bytes,
                max_dbs=_TABLES_MAX,
                max_readers=_READERS_MAX,
                max_spare_txns=_SPARE_TXNS,
                readonly=True,
                create=False,
            )
        except FileNotFoundError as error:
            raise EnvironmentReplaced(f"{path} is gone") from error
        except lmdb.Error as error:
            if _is_at(path, identity):
                raise
            raise EnvironmentReplaced(f"{path} was replaced: {error}") from error
        try:
            # Between the look and the opening, others may have come.
            if identity_of(path) != identity:
                raise EnvironmentReplaced(f"{path} was replaced")
            self._find_tables(create=False)
        except BaseException:
            self._lmdb.close()
            raise


def _is_at(path: Path, identity: Identity) -> bool:
    try:
        return identity_of(path) == identity
    except FileNotFoundError:
        return False


class Environment(Tables):
    """An open environment, exclusively ours to write.

    Raises:
        ReplicaLocked: another process has it open for writing.
        lmdb.Error, DictionaryDamaged: the files are not an intact environment (see `is_unusable`).
    """

    def __init__(self, path: Path, *, map_bytes: int = MAP_BYTES) -> None:
        self.path = path
        self.map_bytes = map_bytes
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock_fd = _lock(path)
        opened: lmdb.Environment | None = None
        try:
            if (path / DATA_NAME).exists():
                _check_boot(path)
            else:
                mark_written(path)
            self._lmdb = opened = lmdb.open(
                str(path),
                map_size=map_bytes,
                max_dbs=_TABLES_MAX,
                max_readers=_READERS_MAX,
                max_spare_txns=_SPARE_TXNS,
                mode=0o600,
                sync=False,
                metasync=False,
                meminit=False,
            )
            self._check_whole()
            self._find_tables(create=True)
            read_dictionaries(self)
            self.identity = identity_of(path)
        except BaseException:
            if opened is not None:
                opened.close()
            os.close(self._lock_fd)
            raise
        self._closed = False

    def _check_whole(self) -> None:
        # Touching a page beyond the file's end would end the process by SIGBUS.
        size_bytes = (self.path / DATA_NAME).stat().st_size
        if size_bytes and size_bytes < self.used_bytes:
            raise EnvironmentTruncated(f"{self.path} has {size_bytes} bytes, its pages need more")

    @contextmanager
    def write(self) -> Iterator[Txn]:
        """Run a write transaction; it is committed at the end, or aborted by an exception.

        Raises:
            StorageFull: no space; nothing of the transaction remains.
        """
        try:
            with self._lmdb.begin(write=True) as txn:
                yield txn
        except (lmdb.MapFullError, lmdb.DiskError, lmdb.TxnFullError) as error:
            raise StorageFull(f"{self.path}: {error}") from error
        except lmdb.Error as error:
            # Neither has a class of its own: they arrive as a plain Error with the system's text.
            # EIO is how LMDB reports a write that was cut short, for want of space: on tmpfs,
            # which has no device to fail, that is the only cause.
            if any(os.strerror(number) in str(error) for number in (errno.ENOSPC, errno.EIO)):
                raise StorageFull(f"{self.path}: {error}") from error
            raise

    def close(self) -> None:
        """Close the files; open read transactions must have been aborted. May be repeated."""
        if self._closed:
            return
        self._closed = True
        super().close()
        os.close(self._lock_fd)


def _bytes_of(txn: Txn, table: Table) -> int:
    stat = txn.stat(table)
    pages: int = stat["leaf_pages"] + stat["overflow_pages"]
    return pages * int(stat["psize"])


def is_unusable(error: Exception) -> bool:
    """Return whether opening failed because the files are damaged or of another kind."""
    return isinstance(
        error, lmdb.Error | DictionaryDamaged | EnvironmentTruncated | EnvironmentUnsynced
    )


def mark_written(path: Path) -> None:
    """Note that an environment's files were written since the machine was started."""
    note = path / _BOOT_NAME
    note.touch(mode=0o600)
    note.write_text(_read_boot(_BOOT_ID))


def _check_boot(path: Path) -> None:
    if _read_boot(path / _BOOT_NAME) != _read_boot(_BOOT_ID):
        raise EnvironmentUnsynced(f"{path} was written before the machine was started")


def _read_boot(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def check_unused(path: Path) -> None:
    """Make sure that nobody writes an environment; one that is not there is written by nobody.

    Raises:
        ReplicaLocked: another process has it open.
    """
    if path.exists():
        os.close(_lock(path))


def remove_environment(path: Path) -> None:
    """Delete an environment's files.

    Raises:
        ReplicaLocked: another process has it open.
    """
    if not path.exists():
        return
    lock_fd = _lock(path)
    try:
        _unlink_files(path)
    finally:
        os.close(lock_fd)


def replace_data(path: Path, data: Path) -> None:
    """Put a whole data file in the place of what is there; nobody may have that open to write.

    Those who map the old files go on with them. The table of readers must go as well: it says which
    of a file's two states is the newer one, and would say it of the wrong file.
    """
    _unlink_files(path)
    data.rename(path / DATA_NAME)
    mark_written(path)


def _unlink_files(path: Path) -> None:
    # In this order: data without the table that its readers are in could be written over under
    # their eyes.
    for name in (DATA_NAME, _READERS_NAME):
        (path / name).unlink(missing_ok=True)


def _lock(path: Path) -> int:
    # The lock dies with the process, however it dies. Two appliers would apply every entry twice.
    lock_fd = os.open(path / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock_fd)
        raise ReplicaLocked(path) from error
    return lock_fd
