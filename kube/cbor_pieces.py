"""Pieces of objects that were written in CBOR before: found by their JSON.

Objects of one type have much in common: what managers manage is the same for all of one shape, and
members of specs come from templates. Such a piece is looked for by its JSON, which orjson makes in
a tenth of the time that writing it in CBOR takes (a walk in Python).

    {metadata: {.. managedFields: [{manager, time, fieldsV1: ···}]}, spec: {a: ···, b: ···}, status}

Invariants: pieces are limited in bytes, each and together, and the oldest goes first. Equal JSON is
equal CBOR. What JSON has not (binary data, as `bytes`) is never looked for.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from kube.cbor_items import Ready, encode_item
from kube.json_types import JsonObject

PIECES_BYTES_MAX: Final = 8 << 20
PIECE_BYTES_MAX: Final = 16 << 10
_ENTRY_BYTES: Final = 300
_MEMBERS_MIN: Final = 2
"""Of less, the look costs what the writing does."""
_CONTAINERS: Final = (dict, list)


class Pieces:
    """Pieces of objects, by their JSON.

    Attributes:
        held_bytes: what they take now.
    """

    def __init__(self, bytes_max: int = PIECES_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._known: dict[bytes, Ready] = {}
        self.held_bytes = 0

    def put_into(self, obj: JsonObject) -> None:
        """Put what is ready to be written into an object, in place.

        Args:
            obj: to be written; used up.
        """
        for entry in (obj.get("metadata") or {}).get("managedFields") or ():
            if fields := entry.get("fieldsV1"):
                entry["fieldsV1"] = self._of(fields)
        spec = obj.get("spec")
        if spec.__class__ is dict:
            for name, value in spec.items():
                if isinstance(value, _CONTAINERS) and len(value) >= _MEMBERS_MIN:
                    spec[name] = self._of(value)

    def _of(self, value: Any) -> Any:
        """Return a container as it is to be written; itself if it has binary data."""
        try:
            text = orjson.dumps(value)
        except TypeError:
            return value
        known = self._known.get(text)
        if known is None:
            known = Ready(encode_item(value))
            if len(text) <= PIECE_BYTES_MAX:
                self._keep(text, known)
        return known

    def _keep(self, text: bytes, made: Ready) -> None:
        self.held_bytes += len(text) + len(made) + _ENTRY_BYTES
        self._known[text] = made
        while self.held_bytes > self._bytes_max:
            oldest = next(iter(self._known))
            self.held_bytes -= len(oldest) + len(self._known.pop(oldest)) + _ENTRY_BYTES
