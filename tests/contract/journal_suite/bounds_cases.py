"""Tail, bounds, trimming, and what survives being opened again."""

from __future__ import annotations

from contextlib import aclosing

import pytest

from journal.errors import SequenceTrimmed
from tests.contract.journal_suite.harness import (
    KEYS_REMEMBERED,
    Harness,
    key,
    read_once,
    read_until,
    records_of,
)


async def an_unknown_stream_is_empty(harness: Harness) -> None:
    assert await harness.journal.tail("pods") == 0
    assert await harness.journal.bounds("pods") == (1, 0)


async def bounds_follow_appends(harness: Harness) -> None:
    await harness.journal.append("pods", [b"a", b"b"], key())
    assert await harness.journal.bounds("pods") == (1, 2)
    assert await harness.journal.tail("pods") == 2


async def trimming_keeps_everything_from_before_on(harness: Harness) -> None:
    journal = harness.journal
    records = [bytes([number]) * 10_000 for number in range(60)]
    for record in records:
        await journal.append("pods", [record], key())
    await journal.trim("pods", 40)
    first, last = await journal.bounds("pods")
    assert 1 < first <= 40
    assert last == 60
    assert records_of(await read_until(journal, "pods", first, 60)) == records[first - 1 :]


async def reading_what_was_trimmed_is_refused_with_the_first_kept(harness: Harness) -> None:
    journal = harness.journal
    for _ in range(60):
        await journal.append("pods", [bytes(10_000)], key())
    await journal.trim("pods", 60)
    first, _ = await journal.bounds("pods")
    with pytest.raises(SequenceTrimmed) as caught:
        await read_once(journal, "pods", 1)
    assert caught.value.first == first


async def trimming_beyond_the_tail_keeps_the_numbering(harness: Harness) -> None:
    journal = harness.journal
    await journal.append("pods", [b"a"] * 5, key())
    await journal.trim("pods", 1000)
    assert await journal.tail("pods") == 5
    assert await journal.append("pods", [b"b"], key()) == 6


async def trimming_nothing_is_harmless(harness: Harness) -> None:
    await harness.journal.trim("pods", 10)
    assert await harness.journal.append("pods", [b"a"], key()) == 1
    await harness.journal.trim("pods", 0)
    assert await harness.journal.bounds("pods") == (1, 1)


async def everything_acknowledged_survives_reopening(harness: Harness) -> None:
    if harness.reopen is None:
        pytest.skip("this engine keeps nothing")
    records = [bytes([number]) * 7_000 for number in range(100)]
    for record in records:
        await harness.journal.append("pods", [record], key())
    journal = await harness.reopen()
    assert await journal.bounds("pods") == (1, 100)
    assert records_of(await read_until(journal, "pods", 1, 100)) == records
    assert await journal.append("pods", [b"next"], key()) == 101


async def keys_and_timestamps_survive_reopening(harness: Harness) -> None:
    if harness.reopen is None:
        pytest.skip("this engine keeps nothing")
    repeated = key()
    stamp = harness.clock.now_ms()
    await harness.journal.append("pods", [b"a"], repeated)
    harness.clock.set_wall(harness.clock.now_s() - 60)
    journal = await harness.reopen()
    assert await journal.append("pods", [b"a"], repeated) == 1
    await journal.append("pods", [b"b"], key())
    assert [batch.timestamp_ms for batch in await read_until(journal, "pods", 1, 2)] == [stamp] * 2


async def a_trimmed_stream_survives_reopening(harness: Harness) -> None:
    if harness.reopen is None:
        pytest.skip("this engine keeps nothing")
    for _ in range(60):
        await harness.journal.append("pods", [bytes(10_000)], key())
    await harness.journal.trim("pods", 50)
    bounds = await harness.journal.bounds("pods")
    journal = await harness.reopen()
    assert await journal.bounds("pods") == bounds
    assert await journal.append("pods", [b"a"], key()) == 61


async def a_key_is_remembered_when_its_records_were_trimmed(harness: Harness) -> None:
    """A retry may come after a trim: guarantee 5 counts appends, not what is retained."""
    journal = harness.journal
    trimmed = key()
    assert await journal.append("pods", [bytes(10_000)], trimmed) == 1
    for _ in range(KEYS_REMEMBERED - 2):
        await journal.append("pods", [bytes(10_000)], key())
    last = key()
    assert await journal.append("pods", [b"last"], last) == KEYS_REMEMBERED
    await journal.trim("pods", KEYS_REMEMBERED)
    first, _ = await journal.bounds("pods")
    assert first > 1
    assert await journal.append("pods", [b"retry"], trimmed) == 1
    if harness.reopen is not None:
        journal = await harness.reopen()
    assert await journal.append("pods", [b"retry"], trimmed) == 1
    assert await journal.append("pods", [b"retry"], last) == KEYS_REMEMBERED
    assert await journal.tail("pods") == KEYS_REMEMBERED
    await journal.append("pods", [b"new"], key())
    assert await journal.append("pods", [b"retry"], trimmed) == KEYS_REMEMBERED + 2


async def a_trimmed_stream_goes_on_from_its_time_and_number(harness: Harness) -> None:
    if harness.reopen is None:
        pytest.skip("this engine keeps nothing")
    journal, stamp = harness.journal, harness.clock.now_ms()
    for _ in range(60):
        await journal.append("pods", [bytes(10_000)], key())
    await journal.trim("pods", 1000)
    harness.clock.set_wall(harness.clock.now_s() - 3600)
    journal = await harness.reopen()
    assert await journal.append("pods", [b"a"], key()) == 61
    assert (await read_until(journal, "pods", 61, 61))[0].timestamp_ms == stamp


async def a_reader_is_overtaken_by_a_trim(harness: Harness) -> None:
    """It gets SequenceTrimmed, or what it asked for; never a gap."""
    journal = harness.journal
    for _ in range(60):
        await journal.append("pods", [bytes(200_000)], key())
    expected, refused_first = 1, 61
    async with aclosing(journal.read("pods", 1)) as reading:
        try:
            async for batches in reading:
                for batch in batches:
                    assert batch.first_sequence == expected
                    expected = batch.last_sequence + 1
                if expected == 61:
                    break
                await journal.trim("pods", 60)
        except SequenceTrimmed as error:
            refused_first = error.first
    assert expected == 61 or expected < refused_first <= 60


CASES = [
    an_unknown_stream_is_empty,
    bounds_follow_appends,
    trimming_keeps_everything_from_before_on,
    reading_what_was_trimmed_is_refused_with_the_first_kept,
    trimming_beyond_the_tail_keeps_the_numbering,
    trimming_nothing_is_harmless,
    everything_acknowledged_survives_reopening,
    keys_and_timestamps_survive_reopening,
    a_trimmed_stream_survives_reopening,
    a_key_is_remembered_when_its_records_were_trimmed,
    a_trimmed_stream_goes_on_from_its_time_and_number,
    a_reader_is_overtaken_by_a_trim,
]
