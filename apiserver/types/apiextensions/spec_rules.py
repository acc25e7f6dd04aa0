"""What a definition's spec may say: names, versions, schemas, conversion.

The order of errors is upstream's; so are their places, in the spec as `internal` makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from apiserver.types.apiextensions.conversion_rules import conversion_errors
from apiserver.types.apiextensions.embedded import check_embedded
from apiserver.types.apiextensions.internal import internal_spec, shown_versions
from apiserver.types.apiextensions.names import group_errors, name_errors
from apiserver.types.apiextensions.options import Options
from apiserver.types.apiextensions.schema_rules import schema_errors
from apiserver.types.apiextensions.version_rules import (
    column_errors,
    deprecation_errors,
    selectable_errors,
    subresource_errors,
)
from apiserver.types.apiextensions.walking import parts_of
from apiserver.types.formats import is_dns1035_label
from kube.field import FieldError, forbidden, invalid, required
from kube.json_types import JsonObject
from kube.structural.default_rules import DefaultRules, RuleCheck, default_errors
from kube.structural.nodes import (
    EMBEDDED,
    INT_OR_STRING,
    LIST_KEYS,
    LIST_TYPE,
    PRESERVE,
    RULES,
)
from kube.structural.structure import conversion_fault, is_set, structural_errors

CheckRules: TypeAlias = Callable[[JsonObject, str], list[FieldError]]
"""`(schema, path)` -> what is wrong with the CEL rules of a valid schema."""

_EXTENSIONS_AT_ROOT: Final = {"XPreserveUnknownFields": PRESERVE, "XValidations": RULES}
_ALLOWED_AT_ROOT: Final = (
    "Description",
    "Type",
    "Format",
    "Title",
    "Maximum",
    "ExclusiveMaximum",
    "Minimum",
    "ExclusiveMinimum",
    "MaxLength",
    "MinLength",
    "Pattern",
    "MaxItems",
    "MinItems",
    "UniqueItems",
    "MultipleOf",
    "Required",
    "Items",
    "Properties",
    "ExternalDocs",
    "Example",
    *_EXTENSIONS_AT_ROOT,
)
_KEYS_AT_ROOT: Final = frozenset(
    _EXTENSIONS_AT_ROOT.get(name, name[0].lower() + name[1:]) for name in _ALLOWED_AT_ROOT
)
_EXTENSIONS: Final = (EMBEDDED, INT_OR_STRING, LIST_KEYS, LIST_TYPE, RULES)
_WITH_STATUS: Final = "at the root of the schema if the status subresource is enabled"


@dataclass(frozen=True, slots=True)
class RuleChecks:
    """How CEL rules are checked; by default they are not.

    Attributes:
        of_schema: what is wrong with the rules of a schema.
        of_default: what rules say of a default.
    """

    of_schema: CheckRules | None = None
    of_default: RuleCheck | None = None


def spec_errors(spec: JsonObject, options: Options, checks: RuleChecks) -> list[FieldError]:
    """Return what is wrong with a definition's spec.

    Args:
        spec: as stored, with its defaults.
        options: which rules apply.
        checks: how CEL rules are checked.
    """
    return list(_Spec(internal_spec(spec), options, checks).errors())


class _Spec:
    """One spec under validation."""

    def __init__(self, spec: JsonObject, options: Options, checks: RuleChecks) -> None:
        self._spec = spec
        self._options = options
        self._checks = checks
        self._versions: list[JsonObject] = spec["versions"]
        preserves = bool(spec.get("preserveUnknownFields"))
        parts = [part for schema in self._schemas() for part in parts_of(schema)]
        self._has_defaults = any(part.get("default") is not None for part in parts)
        # Pruning, defaults and our extensions mean something in structural schemas only.
        self._require_structural = (
            options.require_structural
            or not preserves
            or self._has_defaults
            or any(_has_extensions(part) for part in parts)
        )

    def _schemas(self) -> Iterator[JsonObject]:
        shared = self._spec.get("validation")
        for validation in (shared, *(version.get("schema") for version in self._versions)):
            if (schema := (validation or {}).get("openAPIV3Schema")) is not None:
                yield schema

    def errors(self) -> Iterator[FieldError]:
        spec, path = self._spec, "spec"
        yield from group_errors(spec, path)
        yield from self._missing_schemas()
        if self._has_defaults and spec.get("preserveUnknownFields"):
            text = "must be false in order to use defaults in the schema"
            yield invalid(f"{path}.preserveUnknownFields", True, text)  # noqa: FBT003
        for index, version in enumerate(self._versions):
            where, name = f"{path}.versions[{index}]", version.get("name") or ""
            if faults := is_dns1035_label(name):
                yield invalid(f"{where}.name", name, ",".join(faults))
            yield from self._version_errors(version, where)
        yield from self._versions_errors()
        names = spec.get("names") or {}
        for key in ("plural", "singular", "kind", "listKind"):
            if not names.get(key):
                yield required(f"{path}.names.{key}")
        yield from name_errors(names, f"{path}.names")
        yield from self._shared_errors()
        if (conversion := spec.get("conversion")) is not None:
            if conversion["strategy"] != "None" and spec.get("preserveUnknownFields"):
                text = "must be None if spec.preserveUnknownFields is true"
                yield invalid(f"{path}.conversion.strategy", conversion["strategy"], text)
            yield from conversion_errors(conversion, f"{path}.conversion", self._options)

    def _missing_schemas(self) -> Iterator[FieldError]:
        if (self._spec.get("validation") or {}).get("openAPIV3Schema") is not None:
            return
        pruned = not self._spec.get("preserveUnknownFields")
        for index, version in enumerate(self._versions):
            where = f"spec.versions[{index}].schema.openAPIV3Schema"
            if (version.get("schema") or {}).get("openAPIV3Schema") is not None:
                continue
            if self._options.require_schema:
                yield required(where)
            elif pruned and version.get("served"):
                yield required(where, "because otherwise all fields are pruned")

    def _version_errors(self, version: JsonObject, path: str) -> Iterator[FieldError]:
        yield from deprecation_errors(version, path)
        shared = self._spec.get("subresources")
        has_status = "status" in (version.get("subresources") or shared or {})
        validation = version.get("schema")
        yield from self._validation_errors(validation, f"{path}.schema", has_status=has_status)
        yield from subresource_errors(version.get("subresources"), f"{path}.subresources")
        for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
            yield from column_errors(column, f"{path}.additionalPrinterColumns[{index}]")
        if fields := version.get("selectableFields"):
            # A schema that all versions share stands at the top, out of upstream's sight here too.
            yield from self._selectable_errors(fields, validation, path, version.get("name") or "")

    def _versions_errors(self) -> Iterator[FieldError]:
        names = [version.get("name") or "" for version in self._versions]
        shown = shown_versions(self._spec)
        if len(set(names)) != len(names):
            yield invalid("spec.versions", shown, "must contain unique version names")
        if sum(bool(version.get("storage")) for version in self._versions) != 1:
            text = "must have exactly one version marked as storage version"
            yield invalid("spec.versions", shown, text)
        name = self._spec.get("version")
        if name and (faults := is_dns1035_label(name)):
            yield invalid("spec.version", name, ",".join(faults))

    def _shared_errors(self) -> Iterator[FieldError]:
        """Check what all versions share."""
        spec = self._spec
        has_status = "status" in (spec.get("subresources") or {}) or any(
            "status" in (version.get("subresources") or {}) for version in self._versions
        )
        validation = spec.get("validation")
        yield from self._validation_errors(validation, "spec.validation", has_status=has_status)
        yield from subresource_errors(spec.get("subresources"), "spec.subresources")
        for index, column in enumerate(spec.get("additionalPrinterColumns") or ()):
            yield from column_errors(column, f"spec.additionalPrinterColumns[{index}]")
        if fields := spec.get("selectableFields"):
            yield from self._selectable_errors(fields, validation, "spec", "")

    def _selectable_errors(
        self, fields: list[JsonObject], validation: JsonObject | None, path: str, version: str
    ) -> Iterator[FieldError]:
        schema = (validation or {}).get("openAPIV3Schema")
        where = f"{path}.selectableFields"
        if schema is None:
            text = (
                "may only be set when `version.schema.openAPIV3Schema` is not included"
                if version
                else "may only be set when validations.schema is included"
            )
            yield invalid(where, "", text)
        elif (fault := conversion_fault(schema)) is not None:
            yield invalid(f"{path}.schema.openAPIV3Schema", "", fault)
        else:
            unlimited = version in self._options.unlimited_selectable
            yield from selectable_errors(fields, schema, where, unlimited=unlimited)

    def _validation_errors(
        self, validation: JsonObject | None, path: str, *, has_status: bool
    ) -> Iterator[FieldError]:
        schema = (validation or {}).get("openAPIV3Schema")
        if schema is None:
            return
        path = f"{path}.openAPIV3Schema"
        errors = list(_root_errors(schema, path, has_status=has_status))
        late: list[FieldError] = []
        structural = self._require_structural
        if structural:
            if (fault := conversion_fault(schema)) is not None:
                late.append(invalid(path, "", fault))
            else:
                errors += self._structure_errors(schema, path)
            structural = not errors and not late
        errors += schema_errors(schema, path, self._options)
        if structural and not errors and self._checks.of_schema is not None:
            errors += self._checks.of_schema(schema, path)
        # What cannot be made structural has, as a rule, been told in better words.
        yield from errors or late

    def _structure_errors(self, schema: JsonObject, path: str) -> list[FieldError]:
        rules = DefaultRules(
            check_embedded=check_embedded,
            check_rules=self._checks.of_default,
            require_pruned=self._options.require_pruned_defaults,
        )
        return structural_errors(schema, path) or default_errors(schema, path, rules)


def _has_extensions(schema: JsonObject) -> bool:
    return schema.get(PRESERVE) is not None or any(schema.get(key) for key in _EXTENSIONS)


def _root_errors(schema: JsonObject, path: str, *, has_status: bool) -> Iterator[FieldError]:
    if has_status:
        yield from _with_status_errors(schema, path)
    if schema.get("nullable"):
        yield forbidden(f"{path}.nullable", "nullable cannot be true at the root")


def _with_status_errors(schema: JsonObject, path: str) -> Iterator[FieldError]:
    """Find what a status write, which is checked by the status' own schema, would get around."""
    named: Any = schema.get("type") or ""
    if named not in {"", "object"}:
        text = f'only "object" is allowed as the type {_WITH_STATUS}'
        yield invalid(f"{path}.type", named, text)
        return
    if any(is_set(value) and key not in _KEYS_AT_ROOT for key, value in schema.items()):
        text = f"only [{' '.join(_ALLOWED_AT_ROOT)}] fields are allowed {_WITH_STATUS}"
        yield invalid(path, schema, text)
