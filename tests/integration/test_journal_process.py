"""The journal as a process: killed, restarted, stopped, refused."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

import pytest

from journal.client import JournalClient
from journal.engine import Batch

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


@contextmanager
def journal_process(directory: Path, socket: str = "s") -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "journal.main", "--data-dir", f"{directory}/data"]
    process = subprocess.Popen(
        [*command, "--listen", f"unix:{directory}/{socket}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=20)


async def read_all(journal: JournalClient, last: int) -> list[Batch]:
    found: list[Batch] = []
    async with aclosing(journal.read("pods", 1)) as reading:
        async for batches in reading:
            found += batches
            if found[-1].last_sequence >= last:
                break
    return found


def test_a_kill_loses_nothing_acknowledged_and_repeats_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        acknowledged: dict[int, bytes] = {}
        milestones = {count: asyncio.Event() for count in (300, 700, 1200)}
        async with asyncio.timeout(50), JournalClient(f"unix:{tmp_path}/s") as journal:

            async def write(writer: int) -> None:
                for turn in range(60):
                    record = b"%d/%d" % (writer, turn)
                    sequence = await journal.append("pods", [record], os.urandom(16))
                    acknowledged[sequence] = record
                    for count, reached in milestones.items():
                        if len(acknowledged) >= count:
                            reached.set()

            writers = asyncio.gather(*(write(writer) for writer in range(32)))
            for reached in milestones.values():
                with journal_process(tmp_path) as process:
                    await reached.wait()
                    process.send_signal(signal.SIGKILL)
                    process.wait()
            with journal_process(tmp_path):
                await writers
                last = await journal.tail("pods")
                found = await read_all(journal, last)
        assert last == 32 * 60 == len(acknowledged)
        assert {batch.first_sequence: batch.records[0] for batch in found} == acknowledged
        assert journal.connections == 4

    asyncio.run(run())


def test_sigterm_stops_it_in_order_and_stdout_stays_empty(tmp_path: Path) -> None:
    async def run() -> None:
        async with asyncio.timeout(30), JournalClient(f"unix:{tmp_path}/s") as journal:
            assert await journal.append("pods", [b"a"], os.urandom(16)) == 1

    with journal_process(tmp_path) as process:
        asyncio.run(run())
        process.terminate()
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out) == (0, "")
        assert "journal is stopping" in err
    (segment,) = (tmp_path / "data/pods").glob("*.log")
    assert segment.stat().st_size < 1000, "the space allocated ahead is given back"


def test_a_second_service_on_the_directory_is_refused(tmp_path: Path) -> None:
    async def connect() -> None:
        async with asyncio.timeout(30), JournalClient(f"unix:{tmp_path}/s") as journal:
            await journal.wait_connected()

    with journal_process(tmp_path):
        asyncio.run(connect())
        with journal_process(tmp_path, "other") as second:
            _, err = second.communicate(timeout=20)
            assert second.returncode == 1
            assert "another journal service has this directory open" in err


def test_a_damaged_log_is_refused_with_file_and_offset(tmp_path: Path) -> None:
    async def fill() -> None:
        async with asyncio.timeout(30), JournalClient(f"unix:{tmp_path}/s") as journal:
            for _ in range(3):
                await journal.append("pods", [bytes(100)], os.urandom(16))

    with journal_process(tmp_path) as process:
        asyncio.run(fill())
        process.terminate()
        process.wait()
    (segment,) = (tmp_path / "data/pods").glob("*.log")
    image = bytearray(segment.read_bytes())
    image[320] ^= 1
    segment.write_bytes(image)
    with journal_process(tmp_path) as process:
        _, err = process.communicate(timeout=20)
        assert process.returncode == 1
        assert f"{segment}: damaged at byte 256" in err
