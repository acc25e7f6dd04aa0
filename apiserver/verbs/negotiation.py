"""What an answer is to look like: the Accept header, and the older ways to ask for indentation.

The query parameter `pretty` decides where it is given; without it, clients that people use by hand
get indented JSON, as upstream. Only JSON is ever indented.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import Final

from apiserver.exchange import Exchange
from kube import status as st
from kube.media import PLAIN_JSON, SERVED, MediaType, negotiate

_BY_HAND: Final = (b"curl", b"Wget", b"Mozilla/5.0")
_TABLE: Final = re.compile(rb";\s*as=Table\s*(;|$)")
_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})


def media_of(exchange: Exchange) -> MediaType:
    """Return in which encoding and shape a request is to be answered.

    Raises:
        StatusError: 406, nothing it accepts is served.
    """
    media = exchange.media or negotiate(exchange.accept)
    by_hand = exchange.user_agent.startswith(_BY_HAND)
    if not by_hand and b"pretty" not in exchange.scope["query_string"]:
        return media
    wanted = exchange.parameter("pretty")
    pretty = wanted in _TRUE if wanted else by_hand
    return _indented(media) if pretty and media.encoding == "json" else media


def media_without_tables(exchange: Exchange) -> MediaType:
    """Return how to answer with a document that nothing prints: upstream's reviews.

    Raises:
        StatusError: 406, only a Table is accepted, or nothing that is served.
    """
    media = media_of(exchange)
    if media.kind != "Table":
        return media
    clauses = exchange.accept.split(b",")
    rest = [clause for clause in clauses if not _TABLE.search(clause)]
    if not rest:
        raise st.not_acceptable(SERVED)
    return negotiate(b",".join(rest))


def media_of_error(exchange: Exchange) -> MediaType:
    """Return how to tell a client of a failure: in JSON, where it wants what cannot be had."""
    try:
        return media_of(exchange)
    except st.StatusError:
        return PLAIN_JSON


@lru_cache(maxsize=64)
def _indented(media: MediaType) -> MediaType:
    return replace(media, pretty=True)
