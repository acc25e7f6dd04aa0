"""One partition's replica, kept by another process and mapped by this one.

The keeper says when it has come further (storage/feed.py). Then this side moves on in one step that
nothing interrupts: it takes a new snapshot, whose position becomes its revision; reads what changed
in between, as far as anyone here watches it, from the history in that snapshot, and dispatches it;
lets those go who waited; and settles its own commits. So snapshot, counts, watchers and revision
agree as they do where the log is applied.

A commit is appended to the journal from here. The journal answers with the entry's number; once the
snapshot has reached that, the outcome is read from the tables (storage/outcomes.py).

When the keeper is away, reads of what was mapped go on; consistent reads and writes wait, and are
refused once it has been away for `AWAY_SECONDS_MAX`. When it comes back with the same files, this
side just goes on. With others, it keeps the old ones, which stay whole, until the new have come as
far: a reader never sees a step back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from journal.errors import JournalError
from runtime.clock import Clock
from runtime.tasks import TaskScope
from storage.commits import Acknowledged, Commit
from storage.environment import EnvironmentReplaced, Identity, MappedEnvironment, Txn
from storage.errors import (
    CommitTimeout,
    JournalUnavailable,
    PartitionFailed,
    StorageError,
    StorageFull,
    TooManySnapshots,
)
from storage.event import Event
from storage.feed_client import FeedClient
from storage.feed_wire import SOCKET_NAME, Hello
from storage.journal_port import JournalPort, translate
from storage.outcomes import OutcomeForgotten, outcome_at
from storage.partition_view import PartitionView
from storage.position import Position, read_position
from storage.reads import read_history
from storage.shared_views import SharedViews
from storage.txn import Op, Outcome
from storage.types_table import TypeTable

_log = logging.getLogger(__name__)

AWAY_SECONDS_MAX: Final = 2.0
ROWS_PER_STEP: Final = 1024
"""Of history, dispatched in a step; where there are more, watchers catch up from history."""
SWEEP_SECONDS: Final = 1.0
OpenEnvironment = Callable[[Path, Identity, int], MappedEnvironment]


def _open(path: Path, identity: Identity, map_bytes: int) -> MappedEnvironment:
    return MappedEnvironment(path, identity, map_bytes=map_bytes)


class MappedPartition(PartitionView):
    """A mapped replica of one stream; `start` makes it follow its keeper.

    Args of the constructor:
        name: the partition's.
        directory: where the keeper has its files.
        types: of its resources.
        port: its stream.
        clock: for pauses.
        open_environment: maps the files.
    """

    views: SharedViews

    def __init__(
        self,
        name: str,
        directory: Path,
        types: TypeTable,
        port: JournalPort,
        clock: Clock,
        open_environment: OpenEnvironment = _open,
    ) -> None:
        super().__init__(name, SharedViews(types), port, clock)
        self.mapped = asyncio.Event()
        self.keeper: dict[str, Any] = {}
        self.joining: dict[str, Any] = {}
        self._directory = directory
        self._open_environment = open_environment
        self._feed = FeedClient(directory / SOCKET_NAME, self, self.joining, clock)
        self._hello: Hello | None = None
        self._opened: Identity | None = None
        self._position = Position()
        self._log_identity = bytes(16)
        self._acknowledged = Acknowledged()

    @property
    def position(self) -> Position:
        """How far this side has come."""
        return self._position

    @property
    def ready(self) -> bool:
        """Whether it follows its keeper, and has come as far as the journal at its start."""
        return super().ready and self.mapped.is_set() and self._feed.connected

    def start(self, scope: TaskScope, target: int) -> None:
        """Follow the keeper; ready once `target` is applied."""
        self._loop = asyncio.get_running_loop()
        self.target = self.tail_known = target
        scope.spawn(self._feed.run(), name=f"feed-{self.name}")
        scope.spawn(self._tail_check.run(), name=f"tail-{self.name}")
        scope.spawn(self.hub.run_catch_up(), name=f"catch-up-{self.name}")
        scope.spawn(self._run_sweeps(), name=f"sweeps-{self.name}")

    def close(self, error: PartitionFailed) -> None:
        """Fail everyone who waits; what is mapped stays so until `unmap`."""
        super().close(error)
        self._acknowledged.clear()

    def commit(self, ops: Sequence[Op], timeout_s: float) -> asyncio.Future[Outcome]:
        """See `PartitionView.commit`."""
        self._check()
        self.port.check_available()
        commit = self._commits.begin(self._loop, ops, timeout_s)
        try:
            appended = self.port.append(commit.record, commit.id, timeout_s)
        except BaseException:
            self._commits.discard(commit)
            raise
        appended.add_done_callback(partial(self._on_appended, commit))
        return commit.future

    async def wait_for(self, revision: int, timeout_s: float) -> None:
        """See `PartitionView.wait_for`."""
        if revision > self.revision and self._feed.connected:
            # The keeper may be there already, and only its word under way.
            self.advance()
        await super().wait_for(revision, timeout_s)

    def on_hello(self, hello: Hello) -> None:
        """See Mapper."""
        self._hello = hello
        self.on_applied(hello.revision)

    def on_applied(self, revision: int) -> None:
        """See Mapper."""
        self.tail_known = max(self.tail_known, revision)
        assert self._hello is not None
        if self._opened != self._hello.identity:
            # Only what has come as far as we have takes the place of what we have.
            if revision >= self.revision and self._map(self._hello):
                self.advance()
        elif revision > self.revision:
            self.advance()

    def on_status(self, status: dict[str, Any]) -> dict[str, Any]:
        """See Mapper."""
        self.keeper = status
        failure, full = status.get("stopped", ""), status.get("full", "")
        self.full = StorageFull(full) if full else None
        if failure and self.failure is None:
            self._fail(PartitionFailed(failure))
        elif not failure:
            self.failure = None
        return {
            "revision": self.revision,
            "watchers": len(self.hub),
            "evictions": self.hub.evictions,
            "open_scans": len(self.snapshots),
        }

    def advance(self) -> None:
        """Move on to what the keeper has applied by now.

        If that is nothing, to how it stores it: a snapshot from before would keep the pages in use
        that values were in until they were rewritten (storage/compressing.py).
        """
        if not self.mapped.is_set():
            return
        environment, hub = self.views.environment, self.hub
        try:
            txn = environment.read()
        except TooManySnapshots as error:
            # The next step, or the next look, finds room.
            _log.warning("partition %s cannot move on: %s", self.name, error)
            return
        position = read_position(environment, txn)
        before, after = hub.revision, position.applied_sequence
        if after <= before and self._position.applied_sequence:
            self.views.renew(txn)
            return
        if any(self._log_identity) and self._log_identity != position.identity:
            txn.abort()
            raise PartitionFailed(f"partition {self.name} is of another cluster now")
        self._log_identity = position.identity
        self.types.refresh(environment, txn)
        events = self._events_between(txn, before, position)
        self.views.renew(txn)
        self._position = position
        if events is None:
            hub.skip(after, position.compact_revision)
        else:
            hub.publish(events, after, position.compact_revision)
        self._waiters.release(after)
        self.port.learn(after)
        self.tail_known = max(self.tail_known, after)
        for sequence, commit in self._acknowledged.take(after):
            self._settle(sequence, commit)

    def _events_between(self, txn: Txn, before: int, position: Position) -> list[Event] | None:
        """Return what those who are live have to get; None if they have to fetch it themselves."""
        resources = self.hub.live_resources
        if not resources:
            return []
        if position.compact_revision > before:
            return None
        page = read_history(self.views, txn, before, ROWS_PER_STEP, resources)
        return page.events if page.exhausted else None

    def _latest_snapshot(self) -> Txn:
        return self.views.current

    def _map(self, hello: Hello) -> bool:
        """Map the keeper's files instead of those mapped so far; return whether that worked."""
        try:
            environment = self._open_environment(self._directory, hello.identity, hello.map_bytes)
        except EnvironmentReplaced as error:
            _log.warning("partition %s: %s", self.name, error)
            return False
        self.unmap()
        self.views.environment = environment
        self._opened = hello.identity
        self._position = Position()
        self.mapped.set()
        return True

    def unmap(self) -> None:
        """Give the files back. May be repeated."""
        if self._opened is None:
            return
        self._opened = None
        self.mapped.clear()
        self.snapshots.release()
        self.views.renew(None)
        self.views.environment.close()

    def _on_appended(self, commit: Commit, appended: asyncio.Future[int]) -> None:
        if appended.cancelled():
            return
        error = appended.exception()
        if error is not None:
            self._commits.under_way.pop(commit.id, None)
            if not commit.future.done():
                told = translate(error) if isinstance(error, JournalError) else error
                commit.future.set_exception(told)
            return
        sequence = appended.result()
        self.tail_known = max(self.tail_known, sequence)
        if sequence <= self.revision:
            self._settle(sequence, commit)
        else:
            self._acknowledged.add(sequence, commit)

    def _settle(self, sequence: int, commit: Commit) -> None:
        self._commits.under_way.pop(commit.id, None)
        if commit.future.done():
            return
        compact_revision = self._position.compact_revision
        try:
            outcome = outcome_at(
                self.views, self.views.current, commit.ops, sequence, compact_revision
            )
        except (OutcomeForgotten, StorageError) as error:
            # Whatever it is, nobody else knows of this commit any more.
            commit.future.set_exception(CommitTimeout(f"the outcome is unknown: {error}"))
        else:
            commit.future.set_result(outcome)

    def _fail(self, error: PartitionFailed) -> None:
        """Fail those who wait, as the keeper has stopped; reads of what is mapped go on."""
        self.failure = error
        self._waiters.fail(error)
        self._commits.fail(error)
        self.hub.close()

    def _check(self) -> None:
        super()._check()
        if self._feed.away_s >= AWAY_SECONDS_MAX:
            raise JournalUnavailable(
                f"the storage process of {self.name} is away; nothing was sent"
            )

    async def _run_sweeps(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_SECONDS)
            self.snapshots.sweep()
            self.hub.sweep()
            self.advance()
