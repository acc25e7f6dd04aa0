"""Decoding: from parsed JSON to what upstream's typed decoding and encoding would leave of it.

Unknown fields go, nulls and empty optional values go, values become canonical, and what upstream
always writes is there: the object handed on, validated, stored and shown is the same everywhere.
The object is changed in place. apiVersion and kind are plain fields here: the caller minds them.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

from kube.json_types import JsonObject
from kube.schema.compile import builtin_schemas
from kube.schema.model import Struct
from kube.schema.normalize import UNKNOWN, Normalizer
from kube.schema.report import STRICT_ERRORS_MAX, Report
from kube.schema.values import Mismatch

TOO_DEEP: Final = "exceeded max depth"


class DecodeError(Exception):
    """An object does not fit its type at all; nothing of it may be used.

    The message is that of upstream's decoder; `refusal` words the whole answer.
    """


class Decoded(NamedTuple):
    """What decoding found besides the object itself.

    Attributes:
        unknown: upstream's messages `unknown field "spec.foo"`, usually none.
        key_count: keys of all objects within, or -1 when that was not counted because of unknown
            fields; `kube.schema.duplicates` takes it.
    """

    unknown: tuple[str, ...]
    key_count: int


class Decoder:
    """Decodes objects of one struct; made once, used for every request."""

    __slots__ = ("_struct", "_walk")

    def __init__(self, struct: Struct, normalizer: Normalizer) -> None:
        self._struct = struct
        self._walk = normalizer.walk_of(struct)

    @property
    def struct(self) -> Struct:
        """The struct this decodes."""
        return self._struct

    def decode(self, obj: Any) -> Decoded:
        """Normalize `obj` in place.

        Raises:
            DecodeError: it does not fit; it may be half changed and must be thrown away.
        """
        try:
            if obj.__class__ is not dict:
                raise Mismatch
            count = self._walk(obj)
        except Mismatch as mismatch:
            report = Report(self._struct, obj)
            assert report.error, f"no reason found why {self._struct.name} does not fit"
            raise DecodeError(report.error) from mismatch
        except RecursionError as error:
            raise DecodeError(TOO_DEEP) from error
        if count < UNKNOWN:
            return Decoded((), count)
        paths = list(Report(self._struct, obj).unknown)[:STRICT_ERRORS_MAX]
        return Decoded(tuple(f'unknown field "{path}"' for path in paths), -1)


_NORMALIZER: Final = Normalizer()


@cache
def builtin_decoder(schema_name: str) -> Decoder:
    """Return the decoder of a built-in definition.

    Raises:
        KeyError: no such definition.
    """
    return Decoder(builtin_schemas().struct(schema_name), _NORMALIZER)


def decode(schema_name: str, obj: JsonObject) -> Decoded:
    """Normalize an object of a built-in definition in place.

    Raises:
        DecodeError: it does not fit.
        KeyError: no such definition.
    """
    return builtin_decoder(schema_name).decode(obj)


def refusal(kind: str, version: str, error: object) -> str:
    """Return upstream's message of the 400 for an object that cannot be decoded."""
    return f'{kind} in version "{version}" cannot be handled as a {kind}: {error}'


def strict_refusal(kind: str, version: str, errors: tuple[str, ...] | list[str]) -> str:
    """Return upstream's message of the 400 for unknown or duplicate fields under strict checks."""
    return refusal(kind, version, f"strict decoding error: {', '.join(errors)}")
