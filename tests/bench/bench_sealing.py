"""What encryption at rest costs a transaction: `python -m tests.bench.bench_sealing`.

CPU time of one thread for each record: written and read by resources with a key, by resources
without one beside them, and without any encryption.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import thread_time

from storage.codec import Codec
from storage.txn import Put
from tests.unit.storage.replicas import BODY, SPLICE_AT
from tests.unit.storage.sealed import TestSealers

_ROUNDS = 5
_COUNT = 20_000
_BODY_BYTES = 1000


def cost_us(work: Callable[[], object]) -> float:
    """Return the least of some rounds, in microseconds a call."""
    best_s = float("inf")
    for _ in range(_ROUNDS):
        started_s = thread_time()
        for _ in range(_COUNT):
            work()
        best_s = min(best_s, thread_time() - started_s)
    return best_s / _COUNT * 1e6


def main() -> None:
    """Measure, and print a line for each case."""
    sealers = TestSealers(("key", bytes(32)))
    body = BODY + b" " * (_BODY_BYTES - len(BODY))
    cases = (
        ("no encryption", Codec("default", None), "pods"),
        ("a resource without a key", Codec("default", sealers), "pods"),
        ("a resource with a key", Codec("default", sealers), "secrets"),
    )
    for name, codec, resource in cases:
        ops = (Put(resource, "default", "name", b"\0a=b\0", body, SPLICE_AT, 0),)
        record = codec.encode(ops, bytes(16))
        encoding = cost_us(lambda c=codec, o=ops: c.encode(o, bytes(16)))  # type: ignore[misc]
        decoding = cost_us(lambda c=codec, r=record: c.decode(r))  # type: ignore[misc]
        sys.stdout.write(
            f"{name}: {encoding:.2f} us to write, {decoding:.2f} us to read, {len(record)} bytes\n"
        )


if __name__ == "__main__":
    main()
