"""Compresses what there is much of: finds large types, trains dictionaries, rewrites old values.

A type whose values pass a number of bytes gets a dictionary, made from a sample of them, if they
become much smaller by it. From then on the applier stores its values compressed; those stored
before are rewritten here, in steps of half a millisecond with pauses between them: LMDB's files
never shrink, but the pages that this frees are used for the objects to come. Where new values no
longer look like those that the dictionary was made from, the type gets another one, a few times.

Nothing of this is in the log, nor can be seen in what is read: every replica does it by itself.

Invariants:
    - A dictionary is stored before the first value that needs it.
    - A step reads and writes with nothing in between: it can't undo what the applier writes.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from runtime.clock import Clock
from storage.dictionaries import (
    PER_TYPE_MAX,
    SAMPLE_BYTES_MAX,
    add_dictionary,
    read_dictionaries,
    train,
)
from storage.errors import StorageFull
from storage.partition import Partition
from storage.types_table import TypeEntry
from storage.values import CONTENT_BYTES_MAX, Packer, is_plain

_log = logging.getLogger(__name__)

PLAIN_BYTES_MAX: Final = 192 << 20
"""Of a type: what 70,000 pods have. Smaller ones are not worth the time."""
CHECK_SECONDS: Final = 1.0
PAUSE_SECONDS: Final = 0.02
FULL_SECONDS: Final = 30.0
SAMPLES_MAX: Final = 2048
SAMPLES_MIN: Final = 16
STEP_KEYS: Final = 1024
STEP_BYTES: Final = 128 << 10
# Above this, a type stays as it is until it has twice as many bytes.
_WORTH: Final = 0.6
# A dictionary is given up if values take so many times what they took when it was made; and
# another one is taken if with it they take at most so much of what they take now.
_DEGRADED: Final = 1.5
_BETTER: Final = 0.8


class Compressing:
    """One partition's compression."""

    def __init__(
        self, partition: Partition, clock: Clock, plain_bytes_max: int = PLAIN_BYTES_MAX
    ) -> None:
        self._partition = partition
        self._clock = clock
        self._plain_bytes_max = plain_bytes_max
        # By type: how many dictionaries it has had, and the ratio that is expected of the newest.
        self._made: dict[bytes, int] = {}
        self._expected: dict[bytes, float] = {}
        # By type: the bytes it had when a dictionary was found not to be worth it.
        self._declined: dict[bytes, int] = {}
        # By type: the key after which there may be plain values.
        self._unfinished: dict[bytes, bytes] = {}
        packers = partition.environment.values.packers
        for known in read_dictionaries(partition.environment):
            packers[known.prefix] = Packer(known.number, known.data)
            self._made[known.prefix] = self._made.get(known.prefix, 0) + 1
            self._expected[known.prefix] = known.ratio
            self._unfinished[known.prefix] = known.prefix

    async def run(self) -> None:
        """Look once a second, and more often while there is something to rewrite."""
        while True:
            try:
                # While the replica is catching up, too: that is when most is written.
                await self.learn()
                busy = self.step()
            except StorageFull as error:
                _log.warning("%s: nothing is compressed now: %s", self._partition.name, error)
                await self._clock.sleep(FULL_SECONDS)
            else:
                await self._clock.sleep(PAUSE_SECONDS if busy else CHECK_SECONDS)

    async def learn(self) -> None:
        """Make the dictionaries that are due.

        Raises:
            StorageFull: one could not be stored.
        """
        for entry in tuple(self._partition.types):
            if self._is_due(entry):
                await self._learn(entry)

    def step(self) -> bool:
        """Rewrite some old values; return whether there may be more.

        Raises:
            StorageFull: they could not be written.
        """
        for prefix, after in self._unfinished.items():
            last = self._rewrite_some(prefix, after)
            if last:
                self._unfinished[prefix] = last
            else:
                del self._unfinished[prefix]
            break
        return bool(self._unfinished)

    def _is_due(self, entry: TypeEntry) -> bool:
        prefix = entry.prefix
        packer = self._partition.environment.values.packers.get(prefix)
        if packer is None:
            least_bytes = max(self._plain_bytes_max, 2 * self._declined.get(prefix, 0))
            return entry.count >= SAMPLES_MIN and entry.plain_bytes >= least_bytes
        return (
            packer.ratio > _DEGRADED * self._expected[prefix] and self._made[prefix] < PER_TYPE_MAX
        )

    async def _learn(self, entry: TypeEntry) -> None:
        prefix, plain_bytes = entry.prefix, entry.plain_bytes
        samples = await self._sample(entry)
        ratio_max, packers = _WORTH, self._partition.environment.values.packers
        packer = packers.get(prefix)
        if packer is not None:
            ratio_max = _BETTER * packer.ratio
        data, ratio = b"", 1.0
        if len(samples) >= SAMPLES_MIN:
            data, ratio = await asyncio.to_thread(train, samples)
        if ratio > ratio_max:
            self._declined[prefix] = plain_bytes
            if packer is not None:
                self._expected[prefix] = packer.ratio
            return
        with self._partition.rewriting() as txn:
            number = add_dictionary(self._partition.environment, txn, prefix, ratio, data)
        if not number:
            self._declined[prefix] = plain_bytes
            return
        packers[prefix] = Packer(number, data)
        self._made[prefix] = self._made.get(prefix, 0) + 1
        self._expected[prefix] = ratio
        self._unfinished[prefix] = prefix
        _log.info("%s: %s is compressed to %.0f%%", *self._named(entry), ratio * 100)

    def _named(self, entry: TypeEntry) -> tuple[str, str]:
        return self._partition.name, entry.resource

    async def _sample(self, entry: TypeEntry) -> list[bytes]:
        """Return meta and body of objects from all over a type."""
        average_bytes = max(1, entry.plain_bytes // max(1, entry.count))
        wanted = max(SAMPLES_MIN, min(SAMPLES_MAX, SAMPLE_BYTES_MAX // average_bytes))
        stride = max(1, entry.count // wanted)
        samples: list[bytes] = []
        size_bytes, after = 0, entry.prefix
        while after and size_bytes < 2 * SAMPLE_BYTES_MAX:
            found, after = self._sample_some(entry.prefix, after, stride)
            samples += found
            size_bytes += sum(map(len, found))
            # Others get their turn.
            await asyncio.sleep(0)
        return samples

    def _sample_some(self, prefix: bytes, after: bytes, stride: int) -> tuple[list[bytes], bytes]:
        environment = self._partition.environment
        samples: list[bytes] = []
        txn = environment.read()
        try:
            cursor = txn.cursor(environment.objects)
            if not cursor.set_range(after):
                return samples, b""
            for at, key in enumerate(cursor.iternext(values=False)):
                if not key.startswith(prefix):
                    return samples, b""
                if at >= STEP_KEYS:
                    return samples, key
                if at % stride == 0:
                    record = environment.values.parse("", key, cursor.value())
                    content = record.meta + record.body
                    if len(content) <= CONTENT_BYTES_MAX:
                        samples.append(content)
        finally:
            txn.abort()
        return samples, b""

    def _rewrite_some(self, prefix: bytes, after: bytes) -> bytes:
        """Compress the next plain values from a key on; return where to go on, b"" at the end."""
        environment = self._partition.environment
        packer = environment.values.packers[prefix]
        repacked: list[tuple[bytes, bytes]] = []
        size_bytes, following = 0, b""
        txn = environment.read()
        try:
            cursor = txn.cursor(environment.objects)
            found = cursor.set_range(after)
            for at, (key, value) in enumerate(cursor if found else ()):
                if not key.startswith(prefix):
                    break
                if at >= STEP_KEYS or size_bytes >= STEP_BYTES:
                    following = key
                    break
                if is_plain(value):
                    size_bytes += len(value)
                    packed = packer.repack(value)
                    if len(packed) < len(value):
                        repacked.append((key, packed))
        finally:
            txn.abort()
        if repacked:
            with self._partition.rewriting() as txn:
                for key, packed in repacked:
                    txn.put(key, packed, db=environment.objects)
        return following
