"""The schema of one version of a custom resource: what is done with each of its objects.

The steps of a write, as upstream's: `prune` and `default` what the client sent, then `validate` the
result (or `validate_update`, `validate_status`, with the stored object). Root apiVersion, kind and
metadata belong to the caller: they are neither pruned nor decoded here, but where the schema says
something of `metadata.name` it is checked. Objects are changed in place; schemas never.

Invariants: what is made of a schema is made when first needed, and bounded by the schema's size;
a value that fits is never walked for its faults.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final, Protocol

from kube.field import (
    NOT_SUPPORTED,
    REQUIRED,
    TOO_LONG,
    TOO_MANY,
    TYPE_INVALID,
    FieldError,
    invalid,
)
from kube.json_types import JsonObject
from kube.schema.decode import TOO_DEEP, DecodeError
from kube.schema.model import Type
from kube.structural import checking, defaulting, embedded, lists, pruning, scale
from kube.structural.correlation import Correlated
from kube.structural.embedded import Coercion
from kube.structural.explaining import explain, explain_update
from kube.structural.nodes import properties_of
from kube.structural.typed import type_of
from kube.structural.verdict import NOWHERE, errors_of

_BLOCKING: Final = frozenset({NOT_SUPPORTED, REQUIRED, TOO_LONG, TOO_MANY, TYPE_INVALID})
_NOT_CHECKED: Final = (
    "some validation rules were not checked because the object was invalid; correct the existing "
    "errors to complete validation"
)


class Rules(Protocol):
    """The x-kubernetes-validations of a schema, compiled (`kube.cel.rules.Rules`)."""

    def validate(self, new: JsonObject, old: JsonObject | None = None) -> list[FieldError]:
        """Return what the rules say of a new object, or of a change."""


class CustomSchema:
    """One version's schema, made once, used for every object.

    Args of the constructor:
        schema: its openAPIV3Schema; None or empty: anything goes.
        preserve_unknown: the definition's `spec.preserveUnknownFields` (only old ones have it).
        rules: its CEL rules; None: it has none.
        scale: the version's `subresources.scale`: its paths are checked as well.
        check_embedded: `(object, path)` -> what is wrong with the apiVersion, kind and metadata of
            an embedded resource; None: nothing is.
    """

    def __init__(
        self,
        schema: JsonObject | None,
        *,
        preserve_unknown: bool = False,
        rules: Rules | None = None,
        scale: JsonObject | None = None,
        check_embedded: embedded.Check | None = None,
    ) -> None:
        self._schema = schema or {}
        self._preserve_unknown = preserve_unknown
        self._rules = rules
        self._scale = scale
        self._check_embedded = check_embedded
        self._prune = pruning.walk_of(self._schema, is_root=True)
        self._default = defaulting.walk_of(self._schema)
        self._fits = checking.check_of(self._schema)
        self._find_embedded = embedded.walk_of(self._schema)
        self._find_repeated = lists.walk_of(self._schema)

    @cached_property
    def type(self) -> Type:
        """The type of whole objects, for what walks objects by type (server-side apply)."""
        return type_of(self._schema, preserve=self._preserve_unknown, is_root=True)

    def prune(self, obj: JsonObject, *, drop_invalid: bool = False) -> list[str]:
        """Take out unknown fields; return their paths, as they are reported (`spec.a[0].b`).

        Metadata of embedded resources is decoded too: what it lacks a field for is reported.

        Args:
            obj: a whole custom resource.
            drop_invalid: drop what cannot be decoded of such metadata: for objects that were
                stored under another schema.

        Raises:
            DecodeError: an embedded resource has metadata that cannot be decoded, or the object is
                nested too deeply (a 400). It may be half changed.
        """
        try:
            unknown = [] if self._preserve_unknown else sorted(self._prune(obj) or ())
        except RecursionError as error:
            raise DecodeError(TOO_DEEP) from error
        if self._find_embedded is None:
            return unknown
        coercion = Coercion(drop_invalid=drop_invalid)
        if refused := self._find_embedded(obj, "", embedded.checked_by(coercion.check)):
            raise DecodeError(str(refused[0]))
        return unknown + sorted(coercion.unknown)

    def default(self, obj: JsonObject) -> None:
        """Take out nulls that may not be there, and fill in defaults."""
        self._default(obj)

    def validate(self, obj: JsonObject) -> list[FieldError]:
        """Return the faults of a new object, in upstream's order; CEL rules last."""
        errors = [] if self._fits(obj) else errors_of(explain(self._schema, obj))
        errors += self._scale_errors(obj) + self._embedded_errors(obj)
        if self._find_repeated is not None:
            errors += self._find_repeated(obj, "", lists.check)
        return errors + self._rule_errors(errors, obj, None)

    def validate_update(self, new: JsonObject, old: JsonObject) -> list[FieldError]:
        """Return the faults of a changed object; those in what did not change are forgiven."""
        errors: list[FieldError] = []
        if not self._fits(new):
            errors = errors_of(explain_update(self._schema, Correlated(new, old, self._schema)))
        errors += self._scale_errors(new) + self._embedded_errors(new)
        errors += self._newly_repeated(new, old)
        return errors + self._rule_errors(errors, new, old)

    def validate_status(self, new: JsonObject, old: JsonObject) -> list[FieldError]:
        """Return the faults of a status write: only the status is looked at, and CEL rules."""
        errors: list[FieldError] = []
        schema = properties_of(self._schema).get("status")
        if schema is not None and "status" in new:
            correlated = Correlated(new["status"], old.get("status"), schema)
            errors = errors_of(explain_update(schema, correlated), "status")
        if self._scale is not None:
            errors += scale.status_errors(new, self._scale)
        errors += self._newly_repeated(new, old)
        return errors + self._rule_errors(errors, new, old)

    def _scale_errors(self, obj: JsonObject) -> list[FieldError]:
        if self._scale is None:
            return []
        return scale.spec_errors(obj, self._scale) + scale.status_errors(obj, self._scale)

    def _embedded_errors(self, obj: JsonObject) -> list[FieldError]:
        if self._find_embedded is None or self._check_embedded is None:
            return []
        return self._find_embedded(obj, "", embedded.checked_by(self._check_embedded))

    def _newly_repeated(self, new: JsonObject, old: JsonObject) -> list[FieldError]:
        """Return what stands twice, unless something did so before."""
        if self._find_repeated is None:
            return []
        errors = self._find_repeated(new, "", lists.check)
        return [] if errors and self._find_repeated(old, "", lists.check) else errors

    def _rule_errors(
        self, errors: list[FieldError], new: JsonObject, old: JsonObject | None
    ) -> list[FieldError]:
        if self._rules is None:
            return []
        if any(error.kind in _BLOCKING for error in errors):
            return [invalid(NOWHERE, None, _NOT_CHECKED)]
        return self._rules.validate(new, old)
