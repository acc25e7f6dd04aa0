"""However often, late and from wherever an append is sent again, the log holds it at most once.

Several clients share one stream whose engine remembers few keys, is trimmed and opened again. A
client's answer may be lost; it then sends the append again, saying what it knew of the stream when
it first did. Each outcome is checked against the log: acknowledged is there, at that sequence;
refused as unknown is not written now; and nothing is there twice.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from journal.disk import Environment
from journal.engine import Limits
from journal.errors import OutcomeUnknown
from journal.local import LocalEngine
from tests.contract.journal_suite.harness import read_until

_KEYS_REMEMBERED = 4
_LIMITS = Limits(
    segment_bytes=1024,
    allocation_bytes=512,
    group_bytes_max=1024,
    tail_cache_bytes=1,
    key_window=_KEYS_REMEMBERED,
)


@dataclass
class _Sent:
    """An append that a client has sent and got no answer to."""

    key: bytes
    known: int


@dataclass
class _World:
    """The engine, what clients wait for, and what the log must hold."""

    engine: LocalEngine
    sent: list[_Sent] = field(default_factory=list)
    committed: dict[bytes, int] = field(default_factory=dict)
    keys: int = 0

    async def send(self, *, arrives: bool, answered: bool) -> None:
        """Send an append for the first time; the request or the answer may be lost."""
        self.keys += 1
        key = self.keys.to_bytes(16, "big")
        sent = _Sent(key, await self.engine.tail("pods"))
        if arrives:
            self.committed[key] = await self.engine.append("pods", [key], key)
        if not (arrives and answered):
            self.sent.append(sent)

    async def resend(self, choice: int) -> None:
        """Send an unanswered append again."""
        if not self.sent:
            return
        sent = self.sent.pop(choice % len(self.sent))
        before = await self.engine.tail("pods")
        try:
            sequence = await self.engine.append(
                "pods", [sent.key], sent.key, resent_after=sent.known
            )
        except OutcomeUnknown:
            assert await self.engine.tail("pods") == before
            # Only what is older than the keys remembered may be refused.
            assert before - sent.known > _KEYS_REMEMBERED
            return
        assert self.committed.setdefault(sent.key, sequence) == sequence


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.booleans(), st.booleans()),
        st.tuples(st.just("resend"), st.integers(0, 50)),
        st.tuples(st.just("trim"), st.integers(1, 60)),
        st.just(("reopen",)),
    ),
    min_size=10,
    max_size=60,
)


@settings(max_examples=80, deadline=None)
@given(_steps)
def test_an_append_is_in_the_log_at_most_once_however_it_is_resent(
    steps: list[tuple[object, ...]],
) -> None:
    async def run(directory: Path) -> None:
        environment = Environment(_LIMITS)
        world = _World(await LocalEngine.open(directory, environment))
        found: Counter[bytes] = Counter()
        read_to = 0
        for step in steps:
            match step:
                case ("send", bool(arrives), bool(answered)):
                    await world.send(arrives=arrives, answered=answered)
                case ("resend", int(choice)):
                    await world.resend(choice)
                case ("trim", int(before)):
                    # The whole log is counted, trimmed parts before they go.
                    read_to = await _count(world.engine, found, read_to)
                    await world.engine.trim("pods", before)
                case _:
                    await world.engine.close()
                    world.engine = await LocalEngine.open(directory, environment)
        await _count(world.engine, found, read_to)
        await world.engine.close()
        assert found == Counter(world.committed.keys())

    with tempfile.TemporaryDirectory() as name:
        asyncio.run(run(Path(name) / "journal"))


async def _count(engine: LocalEngine, found: Counter[bytes], read_to: int) -> int:
    """Count the records after `read_to`; return the log's end."""
    last = await engine.tail("pods")
    if last > read_to:
        for batch in await read_until(engine, "pods", read_to + 1, last):
            found.update(batch.records)
    return last
