"""Reading: order, waiting at the tail, resuming, starting anywhere."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from journal.engine import Batch
from journal.errors import BadRequest, SequenceAhead
from tests.contract.journal_suite.harness import (
    Harness,
    key,
    read_once,
    read_until,
    records_of,
)


async def a_read_yields_batches_as_they_were_appended(harness: Harness) -> None:
    journal, stamp = harness.journal, harness.clock.now_ms()
    await journal.append("pods", [b"a", b"b"], key())
    await journal.append("pods", [b"c"], key())
    assert await read_until(journal, "pods", 1, 3) == [
        Batch(1, stamp, (b"a", b"b")),
        Batch(3, stamp, (b"c",)),
    ]


async def a_read_within_an_append_yields_the_rest_of_it(harness: Harness) -> None:
    journal, stamp = harness.journal, harness.clock.now_ms()
    await journal.append("pods", [b"a"], key())
    await journal.append("pods", [b"b", b"c", b"d"], key())
    assert await read_once(journal, "pods", 3) == [Batch(3, stamp, (b"c", b"d"))]


async def a_reader_at_the_tail_gets_what_comes(harness: Harness) -> None:
    journal = harness.journal
    reading = asyncio.ensure_future(read_until(journal, "pods", 1, 40))
    for number in range(40):
        await journal.append("pods", [b"%d" % number], key())
    assert records_of(await reading) == [b"%d" % number for number in range(40)]


async def a_read_may_begin_right_behind_the_tail(harness: Harness) -> None:
    journal = harness.journal
    await journal.append("pods", [b"a"], key())
    reading = asyncio.ensure_future(read_once(journal, "pods", 2))
    await journal.append("pods", [b"b"], key())
    assert records_of(await reading) == [b"b"]


async def a_read_beyond_the_tail_is_refused(harness: Harness) -> None:
    journal = harness.journal
    await journal.append("pods", [b"a"], key())
    with pytest.raises(SequenceAhead) as caught:
        await read_once(journal, "pods", 3)
    assert caught.value.last == 1


async def a_read_below_one_is_refused(harness: Harness) -> None:
    with pytest.raises(BadRequest):
        await read_once(harness.journal, "pods", 0)


async def readers_at_all_places_see_the_same(harness: Harness) -> None:
    journal = harness.journal
    records = [b"%d" % number for number in range(300)]
    for start in range(0, 300, 3):
        await journal.append("pods", records[start : start + 3], key())
    readers = [read_until(journal, "pods", start, 300) for start in range(1, 301, 7)]
    for start, batches in zip(range(1, 301, 7), await asyncio.gather(*readers), strict=True):
        assert batches[0].first_sequence == start
        assert records_of(batches) == records[start - 1 :]


async def nothing_unacknowledged_before_its_neighbours_is_skipped(harness: Harness) -> None:
    """Reading while appends run sees an unbroken prefix."""
    journal = harness.journal
    reading = asyncio.ensure_future(read_until(journal, "pods", 1, 400))
    await asyncio.gather(*(journal.append("pods", [b"x"] * 4, key()) for _ in range(100)))
    expected = 1
    for batch in await reading:
        assert batch.first_sequence == expected
        expected = batch.last_sequence + 1


async def a_cancelled_reader_leaves_the_stream_usable(harness: Harness) -> None:
    journal = harness.journal
    await journal.append("pods", [b"a"], key())
    reading = asyncio.ensure_future(read_until(journal, "pods", 1, 1000))
    await journal.append("pods", [b"b"], key())
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading
    assert await journal.append("pods", [b"c"], key()) == 3
    assert records_of(await read_until(journal, "pods", 1, 3)) == [b"a", b"b", b"c"]


async def large_streams_are_read_whole(harness: Harness) -> None:
    journal = harness.journal
    appends = [journal.append("pods", [bytes([number]) * 50_000], key()) for number in range(200)]
    await asyncio.gather(*appends)
    batches = await read_until(journal, "pods", 1, 200)
    assert [record[0] for record in records_of(batches)] == list(range(200))


CASES = [
    a_read_yields_batches_as_they_were_appended,
    a_read_within_an_append_yields_the_rest_of_it,
    a_reader_at_the_tail_gets_what_comes,
    a_read_may_begin_right_behind_the_tail,
    a_read_beyond_the_tail_is_refused,
    a_read_below_one_is_refused,
    readers_at_all_places_see_the_same,
    nothing_unacknowledged_before_its_neighbours_is_skipped,
    a_cancelled_reader_leaves_the_stream_usable,
    large_streams_are_read_whole,
]
