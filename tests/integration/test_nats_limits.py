"""What JetStream refuses: full streams, messages that are too large, and strangers."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from journal.errors import JournalError, JournalFull, NoQuorum, RecordTooLarge
from journal.jetstream import JetStreamJournal
from journal.nats_keys import Signer
from journal.nats_options import NatsOptions
from runtime.clock import SystemClock
from tests.contract.journal_suite.harness import read_until
from tests.integration.nats_servers import NatsCluster, running_nats
from tests.unit.journal.test_nats_options import seed_of
from ultraplane.pki import PkiPlan, ensure_pki

pytestmark = pytest.mark.nats


async def _append(journal: JetStreamJournal, size: int, deadline_s: float = 10.0) -> int:
    return await journal.append("pods", [bytes(size)], os.urandom(16), deadline_s=deadline_s)


def test_a_full_stream_takes_nothing_and_stays_readable(tmp_path: Path) -> None:
    async def run(nats: NatsCluster) -> None:
        options = NatsOptions(stream_bytes_max=1 << 20, mark_every=8)
        async with JetStreamJournal(nats.url, options) as journal:
            firsts = [await _append(journal, 105_000) for _ in range(9)]
            with pytest.raises(JournalFull):
                await _append(journal, 100_000)
            last = firsts[-1]
            assert len(await read_until(journal, "pods", 1, last)) == last
            # What makes room gets in still.
            await journal.trim("pods", last)
            assert await journal.bounds("pods") == (9, 9)
            assert await _append(journal, 100_000) == 10

    with running_nats(tmp_path) as nats:
        asyncio.run(run(nats))


def test_what_the_servers_take_for_too_large_is_refused_and_harmless(tmp_path: Path) -> None:
    async def run(nats: NatsCluster) -> None:
        async with JetStreamJournal(nats.url) as journal:
            assert await _append(journal, 1000) == 1
            with pytest.raises(RecordTooLarge, match="max_payload"):
                await _append(journal, 1 << 20)
            assert await _append(journal, 1000) == 2

    with running_nats(tmp_path, more={"max_payload": 1 << 20}) as nats:
        asyncio.run(run(nats))


def test_a_user_with_an_nkey_is_let_in(tmp_path: Path) -> None:
    seed = tmp_path / "seed"
    seed.write_text(seed_of(bytes(range(32))))
    users = {"users": [{"nkey": Signer(seed.read_text()).public}]}

    async def run(nats: NatsCluster) -> None:
        async with JetStreamJournal(nats.url, NatsOptions(nkey_seed_file=seed)) as journal:
            assert await _append(journal, 10) == 1
        async with JetStreamJournal(nats.url) as stranger:
            with pytest.raises(NoQuorum):
                await _append(stranger, 10, deadline_s=0.5)

    with running_nats(tmp_path / "nats", more={"authorization": users}) as nats:
        asyncio.run(run(nats))


def test_a_wrong_password_is_named_and_not_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run(nats: NatsCluster) -> None:
        right = nats.url.replace("nats://", "nats://me:r1ght@")
        async with JetStreamJournal(right) as journal:
            assert await _append(journal, 10) == 1
        wrong = nats.url.replace("nats://", "nats://me:wr0ng@")
        async with JetStreamJournal(wrong) as journal:
            said = ""
            # The connection may be found cut before the server's reason is read.
            for _ in range(20):
                with pytest.raises(JournalError) as caught:
                    await _append(journal, 10, deadline_s=0.5)
                said += str(caught.value).lower()
                if "authorization" in said:
                    break
        assert "authorization" in said
        assert "wr0ng" not in said + caplog.text

    users = {"user": "me", "password": "r1ght"}
    with running_nats(tmp_path, more={"authorization": users}) as nats:
        asyncio.run(run(nats))


def test_servers_are_trusted_by_their_ca_alone(tmp_path: Path) -> None:
    pki = ensure_pki(tmp_path / "pki", PkiPlan("127.0.0.1", "10.96.0.0/12"), SystemClock())
    tls = {"cert_file": str(pki.server_certificate), "key_file": str(pki.server_key)}

    async def run(nats: NatsCluster) -> None:
        trusting = NatsOptions(tls_ca_file=pki.ca_certificate)
        async with JetStreamJournal(nats.url, trusting) as journal:
            assert await _append(journal, 10) == 1
        address = nats.url.replace("nats://", "tls://")
        async with JetStreamJournal(address) as journal:
            with pytest.raises(NoQuorum, match=r"(?i)certificate"):
                await _append(journal, 10, deadline_s=3)

    with running_nats(tmp_path, more={"tls": tls}) as nats:
        asyncio.run(run(nats))
