"""JSON bodies in, as Go's decoder takes them.

What is no Unicode inside a string, invalid UTF-8 or half a surrogate pair, becomes U+FFFD there
and is refused by our parser; so what the parser refuses is mended and parsed again.
"""

from __future__ import annotations

import codecs
import re
from typing import Any, Final

import orjson

from kube.go_syntax import go_fault

_EXPLAINED_BYTES_MAX: Final = 65_536
"""Finding Go's words takes a hundred times as long as parsing does."""
_ESCAPE: Final = re.compile(
    r"\\(?:u(?P<pair>[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|u(?P<half>[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_ONE_EACH: Final = "kube.codec_json.one_each"


def _replace_each(error: UnicodeError) -> tuple[str, int]:
    """Replace each byte, as Go does; Python's own handler replaces runs of them."""
    assert isinstance(error, UnicodeDecodeError)
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error(_ONE_EACH, _replace_each)


def decode(body: bytes) -> Any:
    """Return a body as plain data.

    Raises:
        ValueError: it is not well formed; worded for the client.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        fault = error
    mended = mend(body)
    if mended != body:
        try:
            return orjson.loads(mended)
        except orjson.JSONDecodeError as error:
            fault = error
    raise ValueError(_explain(body, fault)) from fault


def mend(body: bytes) -> bytes:
    """Return a text with U+FFFD for what is no Unicode in it."""
    text = body.decode("utf-8", _ONE_EACH)
    if "\\ud" in text or "\\uD" in text:
        text = _ESCAPE.sub(lambda found: "\ufffd" if found["half"] else found[0], text)
    return text.encode()


def _explain(body: bytes, error: orjson.JSONDecodeError) -> str:
    """Word an error as Go does, for large texts as far as the place tells."""
    said = go_fault(body) if len(body) <= _EXPLAINED_BYTES_MAX else ""
    if said:
        return said
    if error.pos >= len(error.doc.rstrip()):
        return "unexpected end of JSON input"
    char = error.doc[error.pos]
    return f"invalid character {char!a} at offset {error.pos}: {error.msg}"
