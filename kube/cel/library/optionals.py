"""Values that may be absent: `optional.of`, `orValue`, `?.` and `[?]`."""

from __future__ import annotations

from typing import Any

from kube.cel.errors import CelError
from kube.cel.library.arithmetic import index_optional, optional_index
from kube.cel.overloads import Declarations
from kube.cel.values import NONE, Duration, Optional


def declare(to: Declarations) -> None:
    """Declare the functions of optional values."""
    to.function("optional.of", "optional_of", "V -> optional_type(V)", Optional)
    to.function(
        "optional.ofNonZeroValue", "optional_ofNonZeroValue", "V -> optional_type(V)", _non_zero
    )
    to.function("optional.none", "optional_none", "-> optional_type(V)", lambda: NONE)
    to.method("value", "optional_value", "optional_type(V) -> V", _value)
    to.method("hasValue", "optional_hasValue", "optional_type(V) -> bool", lambda a: a is not NONE)
    to.method(
        "or",
        "optional_or_optional",
        "optional_type(V), optional_type(V) -> optional_type(V)",
        lambda a, b: b if a is NONE else a,
    )
    to.method(
        "orValue",
        "optional_orValue_value",
        "optional_type(V), V -> V",
        lambda a, b: b if a is NONE else a.value,
    )
    name = "_[?_]"
    to.function(
        name, "list_optindex_optional_int", "list(V), int -> optional_type(V)", index_optional
    )
    to.function(
        name, "map_optindex_optional_value", "map(K, V), K -> optional_type(V)", index_optional
    )
    to.function(
        name,
        "optional_list_optindex_optional_int",
        "optional_type(list(V)), int -> optional_type(V)",
        optional_index,
    )
    to.function(
        name,
        "optional_map_optindex_optional_value",
        "optional_type(map(K, V)), K -> optional_type(V)",
        optional_index,
    )


def _value(holder: Optional) -> Any:
    if holder is NONE:
        raise CelError("optional.none() dereference")
    return holder.value


def _non_zero(value: Any) -> Optional:
    zero = value is None or value in (False, 0, "", b"") or value in ([], {})
    if isinstance(value, Duration):
        zero = value.nanos == 0
    return NONE if zero else Optional(value)
