"""Appending: sequences, atomicity, idempotency, timestamps, refusals."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from journal.errors import BadRequest, OutcomeUnknown, RecordTooLarge
from tests.contract.journal_suite.harness import (
    KEYS_REMEMBERED,
    Harness,
    key,
    read_until,
    records_of,
)


async def first_sequence_of_a_stream_is_one(harness: Harness) -> None:
    assert await harness.journal.append("pods", [b"a"], key()) == 1


async def records_of_an_append_get_consecutive_sequences(harness: Harness) -> None:
    journal = harness.journal
    assert await journal.append("pods", [b"a", b"b", b"c"], key()) == 1
    assert await journal.append("pods", [b"d"], key()) == 4
    assert await journal.tail("pods") == 4


async def streams_count_by_themselves(harness: Harness) -> None:
    journal = harness.journal
    await journal.append("pods", [b"a", b"b"], key())
    assert await journal.append("nodes", [b"n"], key()) == 1
    assert records_of(await read_until(journal, "nodes", 1, 1)) == [b"n"]


async def concurrent_appends_get_every_sequence_once(harness: Harness) -> None:
    journal = harness.journal
    appends = [journal.append("pods", [b"%d" % number] * 3, key()) for number in range(100)]
    firsts = await asyncio.gather(*appends)
    assert sorted(firsts) == list(range(1, 300, 3))
    batches = {batch.first_sequence: batch for batch in await read_until(journal, "pods", 1, 300)}
    for number, first in enumerate(firsts):
        assert batches[first].records == (b"%d" % number,) * 3


async def appends_submitted_in_order_are_committed_in_order(harness: Harness) -> None:
    appends = [harness.journal.append("pods", [b"x"], key()) for _ in range(50)]
    assert await asyncio.gather(*appends) == list(range(1, 51))


async def empty_and_large_records_are_kept_exactly(harness: Harness) -> None:
    journal = harness.journal
    records = [b"", bytes(range(256)) * 8192, b"\0", b""]
    await journal.append("pods", records, key())
    await journal.append("pods", [b""], key())
    assert records_of(await read_until(journal, "pods", 1, 5)) == [*records, b""]


async def a_repeated_key_returns_the_first_outcome(harness: Harness) -> None:
    journal = harness.journal
    repeated = key()
    first = await journal.append("pods", [b"a", b"b"], repeated)
    await journal.append("pods", [b"c"], key())
    assert await journal.append("pods", [b"other"], repeated) == first
    assert await journal.tail("pods") == 3


async def a_key_repeated_while_under_way_joins_it(harness: Harness) -> None:
    journal = harness.journal
    repeated = key()
    appends = [journal.append("pods", [b"a"], repeated) for _ in range(10)]
    assert await asyncio.gather(*appends) == [1] * 10
    assert await journal.tail("pods") == 1


async def a_key_belongs_to_its_stream(harness: Harness) -> None:
    journal = harness.journal
    shared = key()
    await journal.append("pods", [b"a"], key())
    assert await journal.append("pods", [b"b"], shared) == 2
    assert await journal.append("nodes", [b"b"], shared) == 1


async def a_key_is_forgotten_after_the_window_and_not_before(harness: Harness) -> None:
    journal = harness.journal
    oldest = key()
    assert await journal.append("pods", [b"a"], oldest) == 1
    for _ in range(KEYS_REMEMBERED - 1):
        await journal.append("pods", [b"b"], key())
    assert await journal.append("pods", [b"a"], oldest) == 1
    await journal.append("pods", [b"b"], key())
    assert await journal.append("pods", [b"a"], oldest) == KEYS_REMEMBERED + 2


async def an_append_given_up_is_applied_once_or_not_at_all(harness: Harness) -> None:
    """A cancelled caller knows nothing; its retry with the same key learns or repeats it, once."""
    journal = harness.journal
    await journal.append("pods", [b"first"], key())
    given_up = key()
    for turns in range(6):
        append = asyncio.ensure_future(journal.append("pods", [b"a", b"b"], given_up))
        for _ in range(turns):
            await asyncio.sleep(0)
        append.cancel()
        with suppress(asyncio.CancelledError):
            await append
    assert await journal.append("pods", [b"a", b"b"], given_up) == 2
    assert await journal.append("pods", [b"last"], key()) == 4
    assert records_of(await read_until(journal, "pods", 1, 4)) == [b"first", b"a", b"b", b"last"]


async def a_resent_append_that_was_never_seen_is_committed(harness: Harness) -> None:
    journal = harness.journal
    for _ in range(KEYS_REMEMBERED + 5):
        await journal.append("pods", [b"a"], key())
    known = await journal.tail("pods")
    assert await journal.append("pods", [b"b"], key(), resent_after=known) == known + 1


async def a_resent_append_whose_key_is_remembered_gets_its_outcome(harness: Harness) -> None:
    journal = harness.journal
    await journal.append("pods", [b"a"], key())
    resent = key()
    assert await journal.append("pods", [b"b"], resent) == 2
    assert await journal.append("pods", [b"b"], resent, resent_after=1) == 2
    assert await journal.tail("pods") == 2


async def a_resent_append_whose_key_may_be_forgotten_is_not_committed(harness: Harness) -> None:
    journal = harness.journal
    resent = key()
    assert await journal.append("pods", [b"a"], resent) == 1
    for _ in range(KEYS_REMEMBERED):
        await journal.append("pods", [b"b"], key())
    with pytest.raises(OutcomeUnknown):
        await journal.append("pods", [b"a"], resent, resent_after=0)
    # Nor one of which the engine cannot know that it never came.
    with pytest.raises(OutcomeUnknown):
        await journal.append("pods", [b"c"], key(), resent_after=0)
    assert await journal.tail("pods") == KEYS_REMEMBERED + 1
    # All keys from after the first are there.
    assert await journal.append("pods", [b"d"], key(), resent_after=1) == KEYS_REMEMBERED + 2


async def what_is_forgotten_is_known_after_trims_and_reopening(harness: Harness) -> None:
    journal = harness.journal
    resent = key()
    assert await journal.append("pods", [b"a"], resent) == 1
    for _ in range(KEYS_REMEMBERED + 10):
        await journal.append("pods", [bytes(10_000)], key())
    await journal.trim("pods", KEYS_REMEMBERED)
    if harness.reopen is not None:
        journal = await harness.reopen()
    with pytest.raises(OutcomeUnknown):
        await journal.append("pods", [b"a"], resent, resent_after=0)
    after = KEYS_REMEMBERED + 11 - KEYS_REMEMBERED
    with pytest.raises(OutcomeUnknown):
        await journal.append("pods", [b"a"], key(), resent_after=after - 1)
    assert await journal.append("pods", [b"a"], key(), resent_after=after) == KEYS_REMEMBERED + 12


async def timestamps_never_go_back(harness: Harness) -> None:
    journal, clock = harness.journal, harness.clock
    start_ms = clock.now_ms()
    await journal.append("pods", [b"a"], key())
    clock.set_wall(clock.now_s() - 3600)
    await journal.append("pods", [b"b"], key())
    clock.set_wall(clock.now_s() + 7200)
    await journal.append("pods", [b"c"], key())
    stamps = [batch.timestamp_ms for batch in await read_until(journal, "pods", 1, 3)]
    assert stamps == [start_ms, start_ms, start_ms + 3_600_000]


async def an_append_without_records_is_refused(harness: Harness) -> None:
    with pytest.raises(BadRequest):
        await harness.journal.append("pods", [], key())


async def a_key_of_another_length_is_refused(harness: Harness) -> None:
    with pytest.raises(BadRequest):
        await harness.journal.append("pods", [b"a"], b"short")


async def names_that_are_no_directory_names_are_refused(harness: Harness) -> None:
    for name in ("", "..", "a/b", "Pods", ".hidden", "a" * 129):
        with pytest.raises(BadRequest):
            await harness.journal.append(name, [b"a"], key())


async def an_append_over_the_limit_is_refused_and_harmless(harness: Harness) -> None:
    journal = harness.journal
    with pytest.raises(RecordTooLarge):
        await journal.append("pods", [bytes(9 << 20)], key())
    assert await journal.append("pods", [b"a"], key()) == 1


CASES = [
    first_sequence_of_a_stream_is_one,
    records_of_an_append_get_consecutive_sequences,
    streams_count_by_themselves,
    concurrent_appends_get_every_sequence_once,
    appends_submitted_in_order_are_committed_in_order,
    empty_and_large_records_are_kept_exactly,
    a_repeated_key_returns_the_first_outcome,
    a_key_repeated_while_under_way_joins_it,
    a_key_belongs_to_its_stream,
    a_key_is_forgotten_after_the_window_and_not_before,
    an_append_given_up_is_applied_once_or_not_at_all,
    a_resent_append_that_was_never_seen_is_committed,
    a_resent_append_whose_key_is_remembered_gets_its_outcome,
    a_resent_append_whose_key_may_be_forgotten_is_not_committed,
    what_is_forgotten_is_known_after_trims_and_reopening,
    timestamps_never_go_back,
    an_append_without_records_is_refused,
    a_key_of_another_length_is_refused,
    names_that_are_no_directory_names_are_refused,
    an_append_over_the_limit_is_refused_and_harmless,
]
