"""The seam between the generic verbs and a type's own rules.

A `TypeHooks` holds what upstream spreads over a type's defaults, validation and strategy. The
verbs call the hooks in upstream's order:

    create: decode, default, (metadata filled in), prepare_create, validate_create
    update: decode, default, prepare_update(new, old), validate_update(new, old)
    status: decode, default, prepare_status(new, old), validate_status(new, old)

Hooks change objects in place and are plain synchronous functions: they see decoded dicts of the
type's storage version and do no I/O. Object metadata (names, labels, annotations, finalizers, owner
references, immutability of uid and so on) is checked by the verbs, for all types alike; a type says
only how its names are formed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from kube.field import FieldError
from kube.json_types import JsonObject

Change: TypeAlias = Callable[[JsonObject], None]
Check: TypeAlias = Callable[[JsonObject], list[FieldError]]
Compare: TypeAlias = Callable[[JsonObject, JsonObject], list[FieldError]]
Prepare: TypeAlias = Callable[[JsonObject, JsonObject], None]
NameCheck: TypeAlias = Callable[[str, bool], list[str]]


def leave(_obj: JsonObject) -> None:
    """Change nothing."""


def _accept(_obj: JsonObject) -> list[FieldError]:
    """Find no fault."""
    return []


def leave_both(_new: JsonObject, _old: JsonObject) -> None:
    """Change nothing."""


def _accept_both(_new: JsonObject, _old: JsonObject) -> list[FieldError]:
    """Find no fault."""
    return []


_METADATA_KEPT: Final = (
    "annotations",
    "deletionTimestamp",
    "finalizers",
    "generation",
    "labels",
    "ownerReferences",
)


def keep_metadata(new: JsonObject, old: JsonObject) -> None:
    """Be the `prepare_status` of a type whose status writes change no metadata at all."""
    for key in _METADATA_KEPT:
        if key in old["metadata"]:
            new["metadata"][key] = old["metadata"][key]
        else:
            new["metadata"].pop(key, None)


def no_warnings(_new: JsonObject, _old: JsonObject | None) -> list[str]:
    """Have nothing to warn of."""
    return []


_UNCOUNTED: Final = frozenset({"metadata", "status", "kind", "apiVersion"})


@dataclass(frozen=True, slots=True)
class TwinRules:
    """What a new object's completion depends on besides its spec, for types made by the thousand.

    Attributes:
        depends_on: `(spec, metadata)`, both as the client sent them -> what else counts, as plain
            data; None: this object's completion depends on more than can be told.
        name_warnings: the warnings that its name alone gives.
    """

    depends_on: Callable[[JsonObject, JsonObject], list[object] | None]
    name_warnings: Callable[[str], list[str]]


@dataclass(frozen=True, slots=True)
class TypeHooks:
    """One built-in type's rules; every default means "upstream has no rule of its own here".

    Attributes:
        default: fill in defaults, in place (also applied to what a patch yields).
        default_status: what of that the status of a stored object may lack, and nothing else: the
            rest is shared with others; None: that cannot be told apart.
        prepare_create: before a create: drop status, set what the server owns.
        validate_create: faults of a new object, beyond metadata.
        prepare_update: `(new, old)` before an update: keep the old status and so on.
        validate_update: `(new, old)` faults of the change, the new object's own included.
        prepare_status: `(new, old)` before a status update, spec kept and metadata seen to.
        stamp_status: `(new, old, now)` after that: the times that the client left out.
        validate_status: `(new, old)` faults of a status change.
        warnings: `(new, old or None)` texts for Warning headers.
        name_check: `(name, prefix)` -> reasons why `name` cannot name such an object, worded as
            upstream's; `prefix` is True for a generateName. None: DNS-1123 subdomain.
        fields: the field-selector fields beyond metadata.name and metadata.namespace:
            name -> function of the object giving the string value.
        indexed: names of `fields` that storage keeps an index of.
        generation: whether metadata.generation counts spec changes (1 at create).
        spec_keys: top-level keys whose change raises the generation; None: everything but
            `uncounted`.
        uncounted: top-level keys whose change does not raise it.
        has_status: whether there is a status that main-resource writes must not touch.
        allow_create_on_update: PUT of an absent name creates it.
        allow_unconditional_update: PUT without a resourceVersion is taken.
        grace_period: `(obj, asked) -> seconds` grace of a delete for which so many seconds are
            asked, or None; None: deletes are immediate.
        twin: rules by which what a spec became may be used again, None: each is worked out anew.
        ttl_s: objects vanish this long after the last write (Events), None: never.
    """

    default: Change = leave
    default_status: Change | None = None
    prepare_create: Change = leave
    validate_create: Check = _accept
    prepare_update: Prepare = leave_both
    validate_update: Compare = _accept_both
    prepare_status: Prepare = leave_both
    stamp_status: Callable[[JsonObject, JsonObject, str], None] | None = None
    validate_status: Compare = _accept_both
    warnings: Callable[[JsonObject, JsonObject | None], list[str]] = no_warnings
    name_check: NameCheck | None = None
    fields: dict[str, Callable[[JsonObject], str]] = field(default_factory=dict)
    indexed: tuple[str, ...] = ()
    generation: bool = False
    spec_keys: tuple[str, ...] | None = None
    uncounted: frozenset[str] = _UNCOUNTED
    has_status: bool = False
    allow_create_on_update: bool = False
    allow_unconditional_update: bool = True
    grace_period: Callable[[JsonObject, int | None], int] | None = None
    ttl_s: int | None = None
    twin: TwinRules | None = None
