"""Stored objects without their managedFields, cut out before anything is parsed.

They are a third of a small object's values, and a patch of the rest has no use for them: what has
them parsed once need not do so again.

    {"kind":..,"apiVersion":..,"metadata":{.. ,"managedFields":[{..}] .. },"spec":..}
                                             ^--------- cut -------^

Where they end is told without looking at what is in between: nothing in an entry is a list, so the
first "}]" outside of strings ends them, and one that is followed by the beginning of a key, or the
end of the whole, is outside: a quote inside of a string is escaped, one that ends it is followed by
a colon, comma or brace.
"""

from __future__ import annotations

import re
from typing import Final

import orjson

_START: Final = b',"managedFields":[{'
_NAME_BYTES: Final = len(b',"managedFields":')
_is_end: Final = re.compile(rb'\}\](?:\}?,"[a-zA-Z]|\}\}$)').match


_last: tuple[bytes, bytes, bytes] = b"", b"", b""


def cut(body: bytes, prefix: bytes) -> tuple[bytes, bytes]:
    """Return a stored object whose metadata has managedFields without them, and them.

    Args:
        body: as the server has encoded it.
            What follows its managedFields has a name that begins with a letter.
        prefix: how it has to begin for its metadata to be the first that may have the word in it.

    Returns:
        `body` itself and b"" where that is not certain; all that looks at it may be parsed anyway.
    """
    global _last  # noqa: PLW0603 (a patch asks for the same again)
    known, bare, raw = _last
    if known is not body:
        bare, raw = _cut(body, prefix)
        _last = body, bare, raw
    return bare, raw


def _cut(body: bytes, prefix: bytes) -> tuple[bytes, bytes]:
    if not body.startswith(prefix):
        return body, b""
    start = body.find(_START, len(prefix))
    if start < 0:
        return body, b""
    end = body.find(b"]", start + len(_START))
    while end >= 0 and _is_end(body, end - 1) is None:
        end = body.find(b"]", end + 1)
    if end < 0:
        return body, b""
    end += 1
    return body[:start] + body[end:], body[start + _NAME_BYTES : end]


def without_own_entries(body: bytes, prefix: bytes) -> bytes:
    """Return a stored object without its managedFields, if it has some; arguments as above.

    Entries that stand deeper, as in a template's metadata, are left.
    """
    rest, entries = cut(body, prefix)
    if not entries:
        return body
    start = body.find(_START, len(prefix))
    try:
        # What comes before them is an object with a brace: so they stand in the metadata itself.
        orjson.loads(body[prefix.rindex(b"{") : start] + b"}")
    except orjson.JSONDecodeError:
        return body
    return rest
