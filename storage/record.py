"""One stored object: its in-memory form, its bytes in LMDB, and what is read without parsing it.

A stored value, little-endian, where it is not compressed (storage/values.py):

     0          8        16          24         28         32
     +----------+--------+-----------+----------+----------+------+------+
     | create   | mod    | expires   | splice   | length   | meta | body |
     | revision | rev.   | at, ms    | at       | of meta  |      |      |
     +----------+--------+-----------+----------+----------+------+------+

`body` is the object's final JSON: at `splice_at` stand the decimal digits of `mod revision`, put
there when the entry was applied. `meta` is what filters search, with no parsing: labels, then
fields, each key framed by the control byte of its part:

    \\x00app=web\\x00tier=front\\x00  \\x01spec.nodeName=n1\\x01metadata.name=web-0\\x01

Worked example: a body `{"resourceVersion":""}` with splice_at 20, applied at revision 41, is
stored as `{"resourceVersion":"41"}`; deleted at revision 57, the event shows `..."57"}`.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

HEADER: Final = struct.Struct("<QQQII")
HEADER_BYTES: Final = HEADER.size
REVISIONS: Final = struct.Struct("<QQ")
_LABEL: Final = b"\x00"
_FIELD: Final = b"\x01"

assert HEADER_BYTES == 32


class Record(NamedTuple):
    """One object at one revision.

    A tuple, as making one costs half of what a slotted class does.
    """

    resource: str
    namespace: str
    name: str
    create_revision: int
    mod_revision: int
    meta: bytes
    body: bytes
    """The final JSON, with the revision in it."""
    splice_at: int
    expires_at_ms: int = 0
    """Wall-clock milliseconds after which housekeeping deletes it; 0: never."""


def splice(body: bytes, splice_at: int, revision: int) -> bytes:
    """Return `body` with the revision's digits inserted at `splice_at`."""
    return b"%b%d%b" % (body[:splice_at], revision, body[splice_at:])


def mod_revision_of(value: bytes) -> int:
    """Return the revision that wrote a stored value."""
    revision: int = REVISIONS.unpack_from(value)[1]
    return revision


def as_deleted(record: Record, revision: int) -> Record:
    """Return the last state of an object deleted at `revision`, as its delete event shows it."""
    at, body = record.splice_at, record.body
    # The old digits stand at `at`; their number follows from the revision they spell.
    rest = body[at + len(str(record.mod_revision)) :]
    return record._replace(mod_revision=revision, body=b"%b%d%b" % (body[:at], revision, rest))


def field_needle(field: str) -> bytes:
    """Return what precedes a field's value in a search blob."""
    return _FIELD + field.encode() + b"="


def field_value(meta: bytes, needle: bytes) -> bytes | None:
    """Return a field's value out of a search blob; None if the object lacks the field."""
    start = meta.find(needle)
    if start < 0:
        return None
    start += len(needle)
    end = meta.find(_FIELD, start)
    return meta[start:end] if end >= 0 else meta[start:]


def label_value(meta: bytes, label: str) -> str | None:
    """Return a label's value out of a search blob; None if the object lacks the label."""
    needle = b"%b%b=" % (_LABEL, label.encode())
    start = meta.find(needle)
    if start < 0:
        return None
    start += len(needle)
    return meta[start : meta.index(_LABEL, start)].decode()
