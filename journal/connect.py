"""Which journal an address means: the service of our own, or NATS JetStream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from journal.client import JournalClient
from journal.nats_options import is_nats_address, options_from_json
from runtime.clock import Clock
from runtime.tasks import TaskCrashed

if TYPE_CHECKING:
    from journal.jetstream import JetStreamJournal

ConnectedJournal: TypeAlias = "JournalClient | JetStreamJournal"


def make_journal(
    address: str,
    nats: Mapping[str, Any],
    *,
    clock: Clock,
    on_crash: Callable[[TaskCrashed], None],
) -> ConnectedJournal:
    """Return the journal at an address, not started yet.

    Args:
        address: `unix:/path`, `tcp:host:port` or `nats://host:port[,host:port...]`.
        nats: options of NATS, as `nats_options.options_to_json` makes them.
        clock: for its pauses, and timestamps where it has none of its own.
        on_crash: hears of a bug in its own tasks.

    Raises:
        ValueError: it is no such address.
    """
    if is_nats_address(address):
        # nats-py takes time and memory that those without NATS need not spend.
        from journal.jetstream import JetStreamJournal  # noqa: PLC0415

        options = options_from_json(nats)
        return JetStreamJournal(address, options, clock=clock, on_crash=on_crash)
    return JournalClient(address, clock=clock, on_crash=on_crash)
