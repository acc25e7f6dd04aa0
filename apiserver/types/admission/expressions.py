"""Expressions as users write them: what of them does not compile, and what they may not be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from apiserver.types.formats import is_qualified_name
from apiserver.types.meta import check_string
from kube.cel.conditions import Declarations, Result, compile_condition
from kube.cel.errors import CompileError
from kube.field import FieldError, duplicate, invalid, not_supported, required, too_many
from kube.json_types import JsonObject

CONDITIONS_MAX: Final = 64
ANNOTATIONS_MAX: Final = 20
ANNOTATION_EXPRESSION_BYTES_MAX: Final = 5 * 1024
REASONS: Final = ("Forbidden", "Invalid", "RequestEntityTooLarge")
PATCH_TYPES: Final = ("ApplyConfiguration", "JSONPatch")
_IDENTIFIER: Final = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*\Z")
_RESERVED: Final = frozenset(
    {"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function"}
    | {"if", "import", "let", "loop", "package", "namespace", "return", "var", "void", "while"}
)
_LINE_BREAK: Final = re.compile(r"[\n\r]")


def expression_errors(
    expression: str, declarations: Declarations, path: str, result: Result = Result.BOOL
) -> list[FieldError]:
    """Check that an expression compiles, and to what it should give."""
    try:
        compile_condition(expression, declarations, result=result)
    except CompileError as error:
        return [invalid(path, expression, str(error))]
    return []


def condition_errors(
    conditions: Sequence[JsonObject] | None, declarations: Declarations, path: str
) -> list[FieldError]:
    """Check matchConditions."""
    conditions = conditions or ()
    errors: list[FieldError] = []
    if len(conditions) > CONDITIONS_MAX:
        errors.append(too_many(path, len(conditions), CONDITIONS_MAX))
    names: set[str] = set()
    for index, condition in enumerate(conditions[: 2 * CONDITIONS_MAX]):
        where = f"{path}[{index}]"
        expression = condition.get("expression", "").strip()
        if expression:
            errors += expression_errors(expression, declarations, f"{where}.expression")
        else:
            errors.append(required(f"{where}.expression"))
        name = condition.get("name", "")
        if not name:
            errors.append(required(f"{where}.name"))
            continue
        errors += check_string(name, f"{where}.name", is_qualified_name)
        if name in names:
            errors.append(duplicate(f"{where}.name", name))
        names.add(name)
    return errors


class PolicyScope:
    """What the expressions of one policy may name, as its variables are checked one by one."""

    def __init__(self, *, has_params: bool) -> None:
        self.plain = Declarations(params=has_params)
        self.silent = Declarations(params=has_params, authorizer=False)
        self.mutating = Declarations(params=has_params, mutation=True)

    def variable_errors(self, variable: JsonObject, path: str) -> list[FieldError]:
        """Check a variable, and let those after it name it."""
        errors: list[FieldError] = []
        name, expression = variable.get("name", ""), variable.get("expression", "")
        if not name.strip():
            errors.append(required(f"{path}.name", "name is not specified"))
        elif not _IDENTIFIER.match(name) or name in _RESERVED:
            text = "name is not a valid CEL identifier"
            errors.append(invalid(f"{path}.name", name, text))
        if not expression.strip():
            errors.append(required(f"{path}.expression", "expression is not specified"))
            return errors
        self.plain = self.plain.with_variable(name, expression)
        self.silent = self.silent.with_variable(name, expression)
        self.mutating = self.mutating.with_variable(name, expression)
        fault = self.plain.variables[-1].error
        if fault:
            errors.append(invalid(f"{path}.expression", expression, fault))
        return errors

    def validation_errors(self, validation: JsonObject, path: str) -> list[FieldError]:
        """Check one of a policy's validations."""
        errors: list[FieldError] = []
        expression = validation.get("expression", "")
        if expression.strip():
            errors += expression_errors(expression, self.plain, f"{path}.expression")
        else:
            errors.append(required(f"{path}.expression", "expression is not specified"))
        message = validation.get("messageExpression") or ""
        where = f"{path}.messageExpression"
        if message and not message.strip():
            errors.append(invalid(where, message, "must be non-empty if specified"))
        elif message:
            errors += expression_errors(message, self.silent, where, Result.STRING)
        text = validation.get("message") or ""
        if text and not text.strip():
            errors.append(
                invalid(f"{path}.message", text, "message must be non-empty if specified")
            )
        elif _LINE_BREAK.search(text.strip()):
            errors.append(invalid(f"{path}.message", text, "message must not contain line breaks"))
        reason = validation.get("reason")
        if reason is not None and reason not in REASONS:
            errors.append(not_supported(f"{path}.reason", reason, REASONS))
        return errors

    def annotation_errors(self, policy: str, annotation: JsonObject, path: str) -> list[FieldError]:
        """Check an audit annotation of the policy of that name."""
        key, where = annotation.get("key", ""), f"{path}.valueExpression"
        if policy:
            errors = check_string(f"{policy}/{key}", f"{path}.key", is_qualified_name)
        else:
            errors = [invalid(f"{path}.key", key, "requires metadata.name be non-empty")]
        expression = annotation.get("valueExpression", "")
        trimmed = expression.strip()
        if not trimmed:
            errors.append(required(where, "valueExpression is not specified"))
        elif len(trimmed.encode()) > ANNOTATION_EXPRESSION_BYTES_MAX:
            text = f"must not exceed {ANNOTATION_EXPRESSION_BYTES_MAX} bytes in length"
            errors.append(required(where, text))
        else:
            errors += expression_errors(trimmed, self.plain, where, Result.STRING_OR_NULL)
        return errors

    def mutation_errors(self, mutation: JsonObject, path: str) -> list[FieldError]:
        """Check one of a policy's mutations."""
        kind = mutation.get("patchType") or ""
        if not kind:
            return [required(f"{path}.patchType")]
        if kind not in PATCH_TYPES:
            return [not_supported(f"{path}.patchType", kind, PATCH_TYPES)]
        parts = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
        wanted = parts.pop(kind)
        [other] = parts.values()
        errors: list[FieldError] = []
        part = mutation.get(wanted)
        if part is None:
            text = f"must be specified when patchType is {kind}"
            errors.append(required(f"{path}.{wanted}", text))
        else:
            result = Result.OBJECT if kind == "ApplyConfiguration" else Result.PATCHES
            where = f"{path}.{wanted}.expression"
            expression = (part.get("expression") or "").strip()
            if expression:
                errors += expression_errors(expression, self.mutating, where, result)
            else:
                errors.append(required(where))
        if mutation.get(other) is not None:
            text = f"must not be specified when patchType is {kind}"
            errors.append(invalid(f"{path}.{other}", f"{{{other}}}", text))
        return errors
