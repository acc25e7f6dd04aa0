"""Content negotiation: which encoding and which shape of an answer an Accept header asks for.

Rules are those of upstream's `negotiation` package and its Accept parser. Clauses are tried in
order of preference; one that cannot be served (protobuf, an unknown `as`, an unknown stream) is
passed over for the next. Invariant: equal headers give the same object, and hot callers pay one
cache lookup. Asking for a shape says nothing of whether an endpoint makes it: callers treat a
`kind` they do not make as none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from kube import status as st

SERVED: Final = ("application/json", "application/yaml", "application/cbor")
SERVED_STREAMS: Final = ("application/json;stream=watch", "application/cbor-seq")

_ENCODINGS: Final = ("json", "yaml", "cbor")
_ALIASES: Final = {"cbor-seq": "cbor"}
_META_KINDS: Final = frozenset({"Table", "PartialObjectMetadata", "PartialObjectMetadataList"})
_META_VERSIONS: Final = frozenset({"v1", "v1beta1"})
_CACHED_LENGTH_MAX: Final = 1024
_INSERTION_SORT_MAX: Final = 12


@dataclass(frozen=True, slots=True)
class MediaType:
    """What was negotiated.

    Attributes:
        encoding: json, yaml or cbor.
        kind: the shape asked for: empty for the object itself, else Table,
            PartialObjectMetadata, PartialObjectMetadataList or APIGroupDiscoveryList.
        group: of the shape.
        version: of the shape.
        pretty: the media type itself asks for indentation.
        is_bare: a watch in JSON whose objects may come without managedFields: a parameter of our
            own, `managedFields=omit`, which other servers pass over as one that they don't know.
        is_plain_json: JSON of the object itself, not indented: what the store holds.
        is_plain_cbor: CBOR of the object itself.
    """

    encoding: str
    kind: str = ""
    group: str = ""
    version: str = ""
    pretty: bool = False
    is_bare: bool = False
    is_plain_json: bool = field(init=False)
    is_plain_cbor: bool = field(init=False)

    def __post_init__(self) -> None:
        plain = self.encoding == "json" and not self.kind and not self.pretty
        object.__setattr__(self, "is_plain_json", plain)
        object.__setattr__(self, "is_plain_cbor", self.encoding == "cbor" and not self.kind)


PLAIN_JSON: Final = MediaType("json")
_BARE_JSON: Final = MediaType("json", is_bare=True)


@dataclass(frozen=True, slots=True)
class _Clause:
    """One media range of an Accept header."""

    type: str
    subtype: str
    quality: float
    parameters: dict[str, str]

    def goes_before(self, other: _Clause) -> bool:
        """Upstream's order; it is not transitive, so the way of sorting matters too."""
        if self.quality > other.quality:
            return True
        if self.type != "*" and other.type == "*":
            return True
        return self.subtype != "*" and other.subtype == "*"


def negotiate(accept: bytes, *, stream: bool = False) -> MediaType:
    """Return what an Accept header asks for; an empty header asks for JSON.

    Args:
        accept: the raw header.
        stream: the answer is a watch, which has no YAML form.

    Raises:
        StatusError: 406, nothing it accepts is served.
    """
    if len(accept) > _CACHED_LENGTH_MAX:
        # Strangers must not fill the cache with large keys.
        return _negotiate(accept, stream)
    return _cached(accept, stream)


def _negotiate(accept: bytes, stream: bool) -> MediaType:  # noqa: FBT001 - one place calls it
    text = accept.decode("latin-1").strip()
    if not text:
        return PLAIN_JSON
    for clause in _sorted([c for c in map(_parse_clause, text.split(",")) if c is not None]):
        for encoding in _ENCODINGS:
            if _covers(clause, encoding):
                media = _served(clause.parameters, encoding)
                if media is not None:
                    if stream and media is PLAIN_JSON and _is_bare(clause):
                        return _BARE_JSON
                    if stream and media.encoding == "yaml":
                        raise st.not_acceptable(SERVED_STREAMS)
                    return media
    raise st.not_acceptable(SERVED_STREAMS if stream else SERVED)


_cached: Final = lru_cache(maxsize=512)(_negotiate)


def _parse_clause(text: str) -> _Clause | None:
    """Return a clause, None if it is no media range (upstream ignores those)."""
    media_range, _, rest = text.strip(" ").partition(";")
    type_, _, subtype = media_range.partition("/")
    type_ = type_.strip(" ")
    if not subtype and type_ == "*":
        subtype = "*"
    subtype = subtype.removesuffix("/").strip(" ")
    if not subtype or "/" in subtype:
        return None
    quality = 1.0
    parameters: dict[str, str] = {}
    for parameter in rest.split(";") if rest else ():
        name, _, value = parameter.partition("=")
        name = name.strip(" ")
        if not value or "=" in value:
            continue
        if name == "q":
            quality = _quality(value)
        else:
            parameters[name] = value.strip(" ")
    return _Clause(type_, subtype, quality, parameters)


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0  # upstream takes a malformed quality for the lowest, not for an error
    return quality if math.isfinite(quality) else 0.0


def _sorted(clauses: list[_Clause]) -> list[_Clause]:
    """Sort as Go's sort does: by insertion while there are few."""
    if len(clauses) > _INSERTION_SORT_MAX:
        return sorted(clauses, key=lambda c: (-c.quality, c.type == "*", c.subtype == "*"))
    for i in range(1, len(clauses)):
        j = i
        while j > 0 and clauses[j].goes_before(clauses[j - 1]):
            clauses[j], clauses[j - 1] = clauses[j - 1], clauses[j]
            j -= 1
    return clauses


def _covers(clause: _Clause, encoding: str) -> bool:
    if clause.type == "application":
        subtype = clause.subtype
        return subtype == "*" or _ALIASES.get(subtype, subtype) == encoding
    return clause.type == "*" and clause.subtype == "*"


def _served(parameters: dict[str, str], encoding: str) -> MediaType | None:
    """Return the media type for a clause's parameters, None if they cannot be honoured."""
    if not parameters:
        return _plain(encoding)
    stream = parameters.get("stream")
    if stream and (stream != "watch" or encoding == "yaml"):
        return None
    if parameters.get("sv", "v1") not in ("", "v1"):
        return None
    pretty = parameters.get("pretty") == "1"
    if not parameters.keys() & {"as", "g", "v"}:
        return _plain(encoding, pretty=pretty)
    kind = parameters.get("as", "")
    group = parameters.get("g", "")
    version = parameters.get("v", "")
    if not _is_shape(kind, group, version) or (kind == "Table" and encoding == "cbor"):
        return None
    return MediaType(encoding, kind, group, version, pretty)


def _plain(encoding: str, *, pretty: bool = False) -> MediaType:
    return PLAIN_JSON if encoding == "json" and not pretty else MediaType(encoding, pretty=pretty)


def _is_bare(clause: _Clause) -> bool:
    return clause.parameters.get("managedFields") == "omit"


def _is_shape(kind: str, group: str, version: str) -> bool:
    match group:
        case "meta.k8s.io":
            return kind in _META_KINDS and version in _META_VERSIONS
        case "apidiscovery.k8s.io":
            return kind == "APIGroupDiscoveryList" and version == "v2"
        case _:
            return False
