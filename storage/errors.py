"""What can go wrong in storage, named for what the caller does next."""

from __future__ import annotations

from pathlib import Path


class StorageError(Exception):
    """Any failure of storage; alone, one the caller can only report."""


class TransactionInvalid(StorageError, ValueError):
    """The caller built a transaction that can't be encoded; nothing was sent. Don't retry."""


class TransactionTooLarge(StorageError):
    """The journal takes no record of this size; nothing was written. Retrying never helps."""


class CorruptTransaction(StorageError):
    """A record of the log is not a transaction: the replica stops, it never skips a record."""

    def __init__(self, reason: str, sequence: int = 0) -> None:
        where = f"record {sequence}: " if sequence else ""
        super().__init__(f"{where}not a valid transaction: {reason}")
        self.reason = reason
        self.sequence = sequence


class UnsupportedTransaction(StorageError):
    """A record was written by a newer program: upgrade this one, nothing is damaged."""

    def __init__(self, version: int, supported: int, sequence: int = 0) -> None:
        where = f"record {sequence}: " if sequence else ""
        super().__init__(
            f"{where}transaction format {version} is newer than {supported}, the newest this "
            "program knows; run the version that wrote it, or a newer one"
        )
        self.version = version
        self.supported = supported


class Compacted(StorageError):
    """History before `compact_revision` is gone: re-list, then watch from the list's revision."""

    def __init__(self, revision: int, compact_revision: int) -> None:
        super().__init__(f"revision {revision} is compacted; the oldest is {compact_revision}")
        self.revision = revision
        self.compact_revision = compact_revision


class RevisionTimeout(StorageError):
    """The replica did not get as far as `revision` in time; it is at `current`. Retry later."""

    def __init__(self, revision: int, current: int) -> None:
        super().__init__(f"revision {revision} was not reached in time; current is {current}")
        self.revision = revision
        self.current = current


class CommitTimeout(StorageError):
    """No outcome in time: the transaction may or may not be applied, now or later. Read, then
    decide. Contrast JournalUnavailable: nothing was written there."""


class JournalUnavailable(StorageError):
    """The journal can't be asked or takes nothing now. Nothing was written; retry later."""


class SealUnavailable(JournalUnavailable):
    """There is no key to seal with now; nothing was written. Retry later."""


class PartitionFailed(JournalUnavailable):
    """The partition's replica stopped for a reason only an operator can remove (logged)."""


class TooManySnapshots(StorageError):
    """As many scans are open as allowed; retry when some have ended."""


class WatcherEvicted(StorageError):
    """The watcher did not take its events fast enough; re-list or watch again."""


class WatcherClosed(StorageError):
    """The watcher was closed by its owner, or its partition stopped."""


class StorageFull(StorageError):
    """No space for the replica on its tmpfs (or map); applying pauses until there is."""


class DictionaryDamaged(StorageError):
    """Compressed values can't be read; rebuild the environment from elsewhere."""


class RecoveryRefused(StorageError):
    """The replica's state and the journal contradict each other; nothing was touched.

    The message says what was found and what an operator can do.
    """


class SealBroken(RecoveryRefused):
    """Sealed bytes do not open: their key is missing or another one, or they were changed.

    No damage that an older copy would mend: nothing is skipped, truncated or replaced for it. An
    operator brings the key back. Contrast CorruptTransaction: those bytes are not what was written.
    """

    def __init__(self, reason: str, where: str = "") -> None:
        super().__init__(f"{where}: {reason}" if where else reason)
        self.reason = reason


class DataLost(RecoveryRefused):
    """The journal's oldest entries are newer than everything that this replica has."""


class CheckpointDamaged(StorageError):
    """A checkpoint is not what was written; use an older one. Nothing was made of it."""

    def __init__(self, path: Path, offset: int, reason: str) -> None:
        super().__init__(f"{path}: damaged at byte {offset}: {reason}")
        self.path = path
        self.offset = offset


class CheckpointStopped(StorageError):
    """A checkpoint was given up, as its replica stops; there is nothing of it."""


class UnsupportedState(RecoveryRefused):
    """A newer program wrote a checkpoint or a replica: upgrade this one, nothing is damaged."""

    def __init__(self, path: Path, found: int, known: int) -> None:
        super().__init__(
            f"{path}: format version {found}, this program reads up to {known}; nothing was "
            "touched. Start the version that wrote it, or a newer one"
        )
        self.found = found
        self.known = known


class ReplicaLocked(StorageError):
    """Another process applies to this replica."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: another process applies to this replica")
        self.path = path


class SnapshotFailed(StorageError):
    """A snapshot can't be made now, or not used; nothing was changed. The message says why."""
