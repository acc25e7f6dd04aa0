"""How the JSON of a list is put together from stored bodies, chunk by chunk: compact, or indented.

A chunk is a list of stored bodies without the kind and apiVersion they begin with, so that an item
is `{` and its body. A list is: head, for each chunk `between` (before the first one `before`) and
`items`, then `after`; without any item it is head and `nothing`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import orjson

from apiserver.resources import Resource
from kube.json_types import JsonObject


class Layout(NamedTuple):
    """One way to write a list; see the module's head."""

    head: Callable[[Resource, JsonObject], bytes]
    items: Callable[[Sequence[bytes]], bytes]
    before: bytes
    between: bytes
    after: bytes
    nothing: bytes

    def whole(self, head: bytes, bodies: Sequence[bytes]) -> bytes:
        """Return a list of one chunk."""
        if not bodies:
            return head + self.nothing
        return b"".join((head, self.before, self.items(bodies), self.after))


def _compact_head(resource: Resource, meta: JsonObject) -> bytes:
    return resource.list_head + b',"metadata":' + orjson.dumps(meta) + b',"items":['


def _compact_items(bodies: Sequence[bytes]) -> bytes:
    return b"{" + b",{".join(bodies)


def _indented_head(resource: Resource, meta: JsonObject) -> bytes:
    document = orjson.loads(resource.list_head + b"}")
    whole = orjson.dumps({**document, "metadata": meta}, option=orjson.OPT_INDENT_2)
    return whole.removesuffix(b"\n}") + b',\n  "items": ['


def _indented_items(bodies: Sequence[bytes]) -> bytes:
    # No string of JSON holds a line break as it is: each one is the layout's.
    texts = [orjson.dumps(orjson.loads(b"{" + b), option=orjson.OPT_INDENT_2) for b in bodies]
    return b",\n".join(texts).replace(b"\n", b"\n    ")


COMPACT: Final = Layout(_compact_head, _compact_items, b"", b",", b"]}\n", b"]}\n")
INDENTED: Final = Layout(
    _indented_head, _indented_items, b"\n    ", b",\n    ", b"\n  ]\n}", b"]\n}"
)
