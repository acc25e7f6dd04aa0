"""Resource names, their small numeric ids, and what is counted and indexed for each.

Ids are given in the order in which resources first appear in the log, so all replicas agree on
them; object keys carry the id instead of the name, as LMDB keys end at 511 bytes. A row,
little-endian:

    count u64 | changed revision u64 | NUL | plain bytes u64 | resource

Format 1 has the resource at once; none begins with a NUL.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Final

from storage.environment import Tables, Txn
from storage.record import HEADER_BYTES, field_needle

_ROW: Final = struct.Struct("<QQBQ")
_OLD_ROW: Final = struct.Struct("<QQ")
_ID: Final = struct.Struct(">H")
INDEX_VALUE_BYTES_MAX: Final = 400
"""Field values of that length and longer ones share an index entry by their beginning; scans test
those again."""


class TypeEntry:
    """What is known of one resource.

    Attributes:
        prefix: its id as object keys begin with it.
        count: its objects.
        changed_revision: the last revision at which one of them changed.
        plain_bytes: of meta and body of its objects, as they are when not compressed.
        indexes: for each declared field, how its index keys begin and its needle.
    """

    __slots__ = (
        "changed_revision",
        "count",
        "dirty",
        "indexes",
        "plain_bytes",
        "prefix",
        "resource",
    )

    def __init__(self, resource: str, type_id: int, fields: tuple[str, ...]) -> None:
        self.resource = resource
        self.prefix = _ID.pack(type_id)
        self.count = 0
        self.changed_revision = 0
        self.plain_bytes = 0
        self.dirty = False
        self.indexes = tuple(
            (self.prefix + bytes((number,)), field_needle(field))
            for number, field in enumerate(fields)
        )

    def object_key(self, namespace: str, name: str) -> bytes:
        """Return the key of one of its objects."""
        return self.prefix + f"{namespace}\0{name}".encode()

    def index_key(self, needle: bytes, value: bytes) -> bytes | None:
        """Return the index key of a field's value; None if the field has no index."""
        for prefix, indexed in self.indexes:
            if indexed == needle:
                return prefix + value[:INDEX_VALUE_BYTES_MAX]
        return None


class TypeTable:
    """All resources of a partition; memory's copy of the `types` table."""

    def __init__(self, indexes: Mapping[str, tuple[str, ...]]) -> None:
        self._fields = dict(indexes)
        self._by_resource: dict[str, TypeEntry] = {}
        self._by_prefix: dict[bytes, TypeEntry] = {}

    def __iter__(self) -> Iterator[TypeEntry]:
        return iter(self._by_resource.values())

    def find(self, resource: str) -> TypeEntry | None:
        """Return a resource's entry, None if the log never held one of its objects."""
        return self._by_resource.get(resource)

    def of_key(self, object_key: bytes) -> TypeEntry:
        """Return the entry of the resource that an object key belongs to."""
        return self._by_prefix[object_key[:2]]

    def assign(self, resource: str) -> TypeEntry:
        """Return a resource's entry, giving it the next id if it has none; saved by `save`."""
        entry = self._by_resource.get(resource)
        if entry is None:
            entry = self._add(resource, len(self._by_resource))
            entry.dirty = True
        return entry

    def save(self, tables: Tables, txn: Txn) -> None:
        """Write the changed rows."""
        for entry in self._by_resource.values():
            if entry.dirty:
                row = _ROW.pack(entry.count, entry.changed_revision, 0, entry.plain_bytes)
                txn.put(entry.prefix, row + entry.resource.encode(), db=tables.types)
                entry.dirty = False

    def load(self, tables: Tables, txn: Txn) -> None:
        """Replace memory's copy by the table."""
        self._by_resource.clear()
        self._by_prefix.clear()
        self.refresh(tables, txn)

    def refresh(self, tables: Tables, txn: Txn) -> None:
        """Bring memory's copy up to the table, which another process may have written."""
        known, unpack = self._by_prefix, _ROW.unpack_from
        for key, row in txn.cursor(tables.types):
            entry = known.get(key)
            if row[_OLD_ROW.size]:
                entry = self._add(row[_OLD_ROW.size :].decode(), _ID.unpack(key)[0])
                entry.count, entry.changed_revision = _OLD_ROW.unpack_from(row)
                entry.plain_bytes = _plain_bytes(tables, txn, key)
                entry.dirty = True
                continue
            if entry is None:
                entry = self._add(row[_ROW.size :].decode(), _ID.unpack(key)[0])
            entry.count, entry.changed_revision, _, entry.plain_bytes = unpack(row)

    def declaration(self) -> bytes:
        """Return what the index table's content depends on besides the log."""
        return repr(sorted(self._fields.items())).encode()

    def _add(self, resource: str, type_id: int) -> TypeEntry:
        entry = TypeEntry(resource, type_id, self._fields.get(resource, ()))
        self._by_resource[resource] = self._by_prefix[entry.prefix] = entry
        return entry


def _plain_bytes(tables: Tables, txn: Txn, prefix: bytes) -> int:
    """Add up a type's values: all are plain where the row does not know their bytes."""
    cursor = txn.cursor(tables.objects)
    if not cursor.set_range(prefix):
        return 0
    values = takewhile(lambda item: item[0].startswith(prefix), cursor)
    return sum(len(value) - HEADER_BYTES for _, value in values)
