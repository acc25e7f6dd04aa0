"""The latest snapshot of an environment that another process writes, shared by all who read.

A snapshot begun now may be newer than the one before, so a process that only maps the files decides
itself when it moves on: `renew` is that moment, and until the next all reads, counts and scans see
the same. A scan keeps the snapshot it began with; the last to give one back ends it. So an old
snapshot, which keeps LMDB from using pages again, lives as long as the scans on it and no longer.
"""

from __future__ import annotations

from storage.environment import MappedEnvironment, Txn
from storage.errors import JournalUnavailable
from storage.reads import Views
from storage.types_table import TypeTable


class SharedViews(Views):
    """The tables as of the latest `renew`."""

    __slots__ = ("_current", "_users")

    environment: MappedEnvironment

    def __init__(self, types: TypeTable) -> None:
        # The environment comes with `attach`.
        self.types = types
        self._current: Txn | None = None
        self._users: dict[Txn, int] = {}

    @property
    def current(self) -> Txn:
        """The snapshot that reads see.

        Raises:
            JournalUnavailable: there is none yet.
        """
        if self._current is None:
            raise JournalUnavailable("the replica is not mapped yet")
        return self._current

    def begin(self) -> Txn:
        """Return the snapshot that reads see, and keep it until `end`."""
        txn = self.current
        self._users[txn] = self._users.get(txn, 0) + 1
        return txn

    def end(self, txn: Txn) -> None:
        """Give a snapshot back."""
        users = self._users[txn] - 1
        if users:
            self._users[txn] = users
            return
        del self._users[txn]
        if txn is not self._current:
            txn.abort()

    def renew(self, txn: Txn | None) -> None:
        """Let reads see another snapshot from now on, or none."""
        old, self._current = self._current, txn
        if old is not None and old not in self._users:
            old.abort()
