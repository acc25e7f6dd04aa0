"""Documents that are compressed once: kept by name, made anew when they have changed."""

from __future__ import annotations

import asyncio
import gzip

from apiserver.compression import GZIP_BYTES_MIN
from apiserver.packed import Packed, is_packed


def test_a_document_is_compressed_once_until_it_is_another() -> None:
    packed, first, second = Packed(), b"a" * 9999, b"b" * 9999

    async def made(body: bytes) -> bytes:
        return await packed.of("one", body)

    async def run() -> None:
        found = await made(first)
        assert gzip.decompress(found) == first
        assert await made(first) is found
        assert gzip.decompress(await made(second)) == second
        assert gzip.decompress(await made(first)) == first

    asyncio.run(run())


def test_no_more_documents_are_kept_than_there_may_be() -> None:
    packed = Packed()

    async def run() -> None:
        for number in range(100):
            assert gzip.decompress(await packed.of(str(number), b"a")) == b"a"

    asyncio.run(run())
    assert len(packed._kept) == 16


def test_discovery_is_compressed_by_the_rules_of_resources() -> None:
    assert is_packed(b"x" * (GZIP_BYTES_MIN + 1), "gzip")
    assert not is_packed(b"x" * GZIP_BYTES_MIN, "gzip")
    assert not is_packed(b"x" * (GZIP_BYTES_MIN + 1), "gzip;q=1")
