"""One rule of `x-kubernetes-validations`, compiled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from kube.cel.environment import Program, WrongResult, compile_expression
from kube.cel.errors import CompileError
from kube.cel.field_paths import normalize_field_path
from kube.cel.types import BOOL, STRING, CelType, optional_of
from kube.json_types import JsonObject

SELF: Final = "self"
OLD_SELF: Final = "oldSelf"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule and what came of compiling it.

    Attributes:
        program: None if it did not compile, or is empty.
        error: why it did not compile, "" if it did.
        message_program: of its messageExpression, if there is one that compiles.
        message_error: why that does not compile.
        uses_old: it is a transition rule.
        optional_old: oldSelf is an optional value, so that the rule also judges what is new.
        field_path: normalized, "" for the place of the rule.
    """

    text: str
    message: str
    message_text: str
    reason: str
    program: Program | None
    error: str
    message_program: Program | None
    message_error: str
    uses_old: bool
    optional_old: bool
    field_path: str

    @property
    def shown(self) -> str:
        """What errors call the rule: its message, or else its text."""
        return self.message.strip() or self.text.strip()

    @property
    def default_message(self) -> str:
        """What a violation says if no messageExpression does."""
        return self.message.strip() or f"failed rule: {self.text.strip()}"


def compile_rule(spec: JsonObject, type_: CelType, schema: JsonObject) -> Rule:
    """Compile a rule for values of a type and schema. Faults are kept in what is returned."""
    text = _text(spec, "rule")
    optional = spec.get("optionalOldSelf") is True
    variables = {SELF: type_, OLD_SELF: optional_of(type_) if optional else type_}
    program, error = _compile(text, variables, BOOL, "")
    message_text = _text(spec, "messageExpression")
    message_program, message_error = None, ""
    if program is not None and message_text.strip():
        message_program, message_error = _compile(
            message_text, variables, STRING, "messageExpression "
        )
    field_path = ""
    if _text(spec, "fieldPath"):
        try:
            field_path = normalize_field_path(_text(spec, "fieldPath"), schema)
        except ValueError:
            field_path = ""
    return Rule(
        text,
        _text(spec, "message"),
        message_text,
        _text(spec, "reason"),
        program,
        error,
        message_program,
        message_error,
        program is not None and OLD_SELF in program.used,
        optional,
        field_path,
    )


def _text(spec: JsonObject, key: str) -> str:
    value: Any = spec.get(key)
    return value if isinstance(value, str) else ""


def _compile(
    text: str, variables: dict[str, CelType], wanted: CelType, word: str
) -> tuple[Program | None, str]:
    if not text.strip():
        return None, ""
    try:
        return compile_expression(text, variables, wanted=(wanted,)), ""
    except WrongResult:
        if wanted is STRING:
            return None, "messageExpression must evaluate to a string"
        return None, "cel expression must evaluate to a bool"
    except CompileError as exc:
        return None, f"{word}compilation failed: {exc}"
