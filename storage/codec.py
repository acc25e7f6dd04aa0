"""How transactions become records of one stream, and back: in the clear, or sealed.

A transaction that puts an object of a type with a key is sealed as a whole, names and search blob
included. One that only deletes or checks holds names, and is written in the clear. The sealed
record, little-endian:

    0         1           17                18
    +---------+-----------+-----------------+----------+-----------+----------------+
    | version | id        | length of       | resource | sealed    | xxh3_64 of all |
    | 2, u8   | 16 bytes  | resource u8     |          |           | before, 8 bytes|
    +---------+-----------+-----------------+----------+-----------+----------------+

Id and digest are where those of a record in the clear are (storage/txn.py), so whoever only looks
at these need not know which kind it is. The resource is that of the first object with a key, in the
clear: it says which keys to try, and tells an operator what the record holds. What is sealed is the
number of operations and the operations, under a context of stream, id and resource: a record opens
at no other place, and under no other name.

Invariants:
    - The digest covers sealed bytes only: it tells nothing about what is in them.
    - A record whose digest is right and whose seal is broken is no damage: SealBroken, never
      CorruptTransaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from xxhash import xxh3_64_digest

from storage.errors import CorruptTransaction, SealBroken
from storage.seal_head import key_of
from storage.sealing import Sealer, Sealers
from storage.txn import (
    DIGEST_BYTES,
    ID_BYTES,
    RESOURCE_BYTES_MAX,
    SEALED_VERSION,
    VERSION,
    Op,
    Put,
    Transaction,
    decode,
    encode,
)

_ID_END: Final = 1 + ID_BYTES
_RESOURCE_AT: Final = _ID_END + 1
WAY_OUT: Final = (
    "Nothing was changed. Bring the key back, as any but the first of the providers "
    "(storage.encryption_provider_config), and start again"
)
Encode: TypeAlias = Callable[[Sequence[Op], bytes], bytes]
"""(operations, transaction id) -> record; raises TransactionInvalid, SealUnavailable."""
Decode: TypeAlias = Callable[[bytes], Transaction]
"""Raises CorruptTransaction, UnsupportedTransaction, SealBroken."""


class Codec:
    """Encodes and decodes the transactions of one stream.

    Attributes:
        encode: see Encode. Without keys it is that of storage/txn.py itself, and costs nothing.
        decode: see Decode.
    """

    encode: Encode
    decode: Decode

    def __init__(self, stream: str, sealers: Sealers | None) -> None:
        self._stream = stream
        self._sealers = sealers
        self.encode = encode if sealers is None else self._encode
        self.decode = self._decode

    def _encode(self, ops: Sequence[Op], transaction_id: bytes) -> bytes:
        assert self._sealers is not None
        record = encode(ops, transaction_id)
        for op in ops:
            if isinstance(op, Put):
                sealer = self._sealers.writer(op.resource)
                if sealer is not None:
                    return self._seal(sealer, op.resource, record)
        return record

    def _seal(self, sealer: Sealer, resource: str, record: bytes) -> bytes:
        label = resource.encode()
        head = b"%c%b%c%b" % (SEALED_VERSION, record[1:_ID_END], len(label), label)
        sealed = sealer.seal(record[_ID_END:-DIGEST_BYTES], self._context(head))
        record = head + sealed
        return record + xxh3_64_digest(record)

    def _decode(self, record: bytes) -> Transaction:
        if record[:1] == bytes((SEALED_VERSION,)):
            return self._open(record)
        transaction = decode(record)
        sealers = self._sealers
        if sealers is not None:
            for op in transaction.ops:
                if isinstance(op, Put) and not sealers.reads_plain(op.resource):
                    raise SealBroken(
                        f"an object of {op.resource} of stream {self._stream!r} is in the clear, "
                        "and `identity` is none of the providers of that resource. Nothing was "
                        "changed: add it as the last one, and start again"
                    )
        return transaction

    def _open(self, record: bytes) -> Transaction:
        end = len(record) - DIGEST_BYTES
        if end < _RESOURCE_AT or xxh3_64_digest(memoryview(record)[:end]) != record[end:]:
            raise CorruptTransaction("its digest does not match its bytes")
        sealed_at = _RESOURCE_AT + record[_ID_END]
        try:
            resource = record[_RESOURCE_AT:sealed_at].decode()
        except UnicodeDecodeError as error:
            raise CorruptTransaction(str(error)) from error
        if not resource or sealed_at > end:
            raise CorruptTransaction("it names no resource")
        where = f"stream {self._stream!r}, {resource}"
        sealer = None if self._sealers is None else self._sealers.reader(resource)
        if sealer is None:
            raise SealBroken(
                f"it is sealed with {key_of(record[sealed_at:end])}, and no key is configured "
                f"for that resource. {WAY_OUT}",
                where,
            )
        try:
            opened = sealer.open(record[sealed_at:end], self._context(record[:sealed_at]))
        except SealBroken as error:
            raise SealBroken(f"{error.reason}. {WAY_OUT}", where) from error
        # As it was before it was sealed, digest included: one way to read operations.
        plain = b"%c%b%b" % (VERSION, record[1:_ID_END], opened)
        return decode(plain + xxh3_64_digest(plain))

    def _context(self, head: bytes) -> bytes:
        # A stream's name has no NUL, and the head begins with a fixed length.
        return b"journal\0%b\0%b" % (self._stream.encode(), head)


assert RESOURCE_BYTES_MAX < 256
