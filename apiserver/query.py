"""The query of a request, read as Go reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, TypeAlias
from urllib.parse import parse_qs

from kube import status as st

Query: TypeAlias = Mapping[str, Sequence[str]]
_KNOWN_BYTES_MAX: Final = 1024
_BYTES_MAX: Final = 65_536
_BROKEN_ESCAPE: Final = re.compile("%(?![0-9A-Fa-f]{2})")


def parse_query(raw: bytes) -> Query:
    """Return the query's values by name; short ones are shared by requests with the same query.

    As in Go, parts with a semicolon or a broken escape are passed over, and bytes that are no
    UTF-8 are read as U+FFFD.

    Raises:
        StatusError: 400, it is too long.
    """
    # Queries come from anybody: long ones kept by the thousand would take half a GiB.
    return _parse_known(raw) if len(raw) <= _KNOWN_BYTES_MAX else _parse(raw)


def _parse(raw: bytes) -> Query:
    if len(raw) > _BYTES_MAX:
        raise st.bad_request(f"the query string is longer than {_BYTES_MAX} bytes")
    text = raw.decode(errors="replace")
    if ";" in text or _BROKEN_ESCAPE.search(text):
        parts = [part for part in text.split("&") if ";" not in part]
        text = "&".join(part for part in parts if not _BROKEN_ESCAPE.search(part))
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=256, errors="replace")
    except ValueError as error:
        raise st.bad_request(f"the query string cannot be parsed: {error}") from error


_parse_known: Final = lru_cache(maxsize=4096)(_parse)
