"""The schema of a version, with all that its objects are checked for."""

from __future__ import annotations

from apiserver.types.apiextensions.embedded import check_embedded
from kube.cel.rules import compile_rules
from kube.json_types import JsonObject
from kube.structural.custom import CustomSchema


def custom_schema(
    schema: JsonObject | None, *, preserve_unknown: bool = False, scale: JsonObject | None = None
) -> CustomSchema:
    """Return how the objects of one version are pruned, completed and validated.

    Args:
        schema: the version's openAPIV3Schema, None if it has none.
        preserve_unknown: the definition's `spec.preserveUnknownFields`.
        scale: the version's scale subresource, None if it has none.
    """
    return CustomSchema(
        schema,
        preserve_unknown=preserve_unknown,
        rules=compile_rules(schema) if schema is not None else None,
        scale=scale,
        check_embedded=check_embedded,
    )
