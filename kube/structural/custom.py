"""The schema of one version of a custom resource: what is done with each of its objects.

The steps of a write, as upstream's: `prune` and `default` what the client sent, then `validate` the
result (or `validate_update`, `validate_status`, with the stored object). Root apiVersion, kind and
metadata belong to the caller: they are neither pruned nor decoded here, but where the schema says
something of `metadata.name` it is checked. Objects are changed in place; schemas never.
"""

from __future__ import annotations

from typing import Protocol

from kube.field import FieldError
from kube.json_types import JsonObject
from kube.schema.model import Type
from kube.structural import defaulting, pruning


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
    """

    def __init__(
        self,
        schema: JsonObject | None,
        *,
        preserve_unknown: bool = False,
        rules: Rules | None = None,
        scale: JsonObject | None = None,
    ) -> None:
        self._schema = schema or {}
        self._preserve_unknown = preserve_unknown
        self._rules = rules
        self._scale = scale
        self._prune = pruning.walk_of(self._schema, is_root=True)
        self._default = defaulting.walk_of(self._schema)

    @property
    def type(self) -> Type:
        """The type of whole objects, for what walks objects by type (server-side apply)."""
        raise NotImplementedError

    def prune(self, obj: JsonObject) -> list[str]:
        """Take out unknown fields; return their paths, as they are reported (`spec.a[0].b`).

        Metadata of embedded resources is decoded too: what it lacks a field for is reported.

        Raises:
            MetadataError: an embedded resource has metadata that cannot be decoded (a 400).
        """
        return [] if self._preserve_unknown else sorted(self._prune(obj) or ())

    def default(self, obj: JsonObject) -> None:
        """Take out nulls that may not be there, and fill in defaults."""
        self._default(obj)

    def validate(self, obj: JsonObject) -> list[FieldError]:
        """Return the faults of a new object, in upstream's order; CEL rules last."""
        return [] if self._rules is None else self._rules.validate(obj)

    def validate_update(self, new: JsonObject, old: JsonObject) -> list[FieldError]:
        """Return the faults of a changed object; those in what did not change are forgiven."""
        return [] if self._rules is None else self._rules.validate(new, old)

    def validate_status(self, new: JsonObject, old: JsonObject) -> list[FieldError]:
        """Return the faults of a status write: only the status is looked at, and CEL rules."""
        return [] if self._rules is None else self._rules.validate(new, old)
