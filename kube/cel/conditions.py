"""Named expressions over an admission request: match conditions, and what policies are made of.

    declarations = Declarations(params=True)
    declarations = declarations.with_variable("team", "object.metadata.labels['team']")
    condition = compile_condition("variables.team != 'x'", declarations, name="not-x")
    condition.evaluate(Activation(object=pod, request=request))

Objects are dynamic, as upstream's are, unless their type is given. A variable is evaluated when it
is first asked for, once for each activation, and may name those declared before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from operator import attrgetter
from typing import Any, Final

from kube.cel.adapting import to_json
from kube.cel.admission_types import JSON_PATCH, NAMESPACE, OBJECT, REQUEST
from kube.cel.builtin_types import builtin_type
from kube.cel.cost import Budget
from kube.cel.environment import Program, WrongResult, compile_expression
from kube.cel.errors import CelError, CompileError, CostExceeded
from kube.cel.library.authorization import (
    AUTHORIZER_TYPE,
    RESOURCE_CHECK_TYPE,
    AccessAnswer,
    AccessQuestion,
    Authorizer,
    ResourceCheck,
)
from kube.cel.types import BOOL, DYN, NULL, STRING, CelType, TypeField, list_of
from kube.json_types import JsonObject
from kube.schema.model import Type

Authorize = Callable[[dict[str, Any]], tuple[bool, str, str]]
_VARIABLES: Final = "variables"
_MESSAGES: Final = {"Object": OBJECT, "Object.*": OBJECT, "JSONPatch": JSON_PATCH}


class Result(Enum):
    """What an expression is to give."""

    BOOL = "bool"
    STRING = "string"
    ANY = "any"
    BOOL_OR_NULL = "bool or null"
    OBJECT = "object"
    PATCHES = "patches"


_WANTED: Final[dict[Result, tuple[CelType, ...]]] = {
    Result.BOOL: (BOOL,),
    Result.STRING: (STRING,),
    Result.ANY: (),
    Result.BOOL_OR_NULL: (BOOL, NULL),
    Result.OBJECT: (OBJECT,),
    Result.PATCHES: (list_of(JSON_PATCH),),
}
"""Which types each result may have; those of upstream's audit annotations are strings or null."""


@dataclass(slots=True)
class Activation:
    """The values of one request. Objects are plain JSON; None is CEL's null.

    Attributes:
        authorize: answers `authorizer...check(...)`: what is asked, by names of `AccessQuestion`,
            to (allowed, reason, error). Keys without a value are left out.
        budget: what all expressions of the request may cost together.
        variables: the values, or errors, of the variables evaluated so far.
    """

    object: JsonObject | None = None
    old_object: JsonObject | None = None
    request: JsonObject | None = None
    params: JsonObject | None = None
    namespace_object: JsonObject | None = None
    authorize: Authorize | None = None
    budget: Budget = field(default_factory=Budget)
    variables: dict[Variable, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Declarations:
    """Which variables expressions may name, and their types.

    Attributes:
        object_type: of `object` and `oldObject`; None: dynamic, as upstream evaluates them.
        params: there is `params`.
        authorizer: there are `authorizer` and `authorizer.requestResource`.
        namespace_object: there is `namespaceObject`.
        mutation: expressions may make `Object{}` and `JSONPatch{}`.
        variables: the composed ones, in order; add them by `with_variable`.
    """

    object_type: Type | None = None
    params: bool = False
    authorizer: bool = True
    namespace_object: bool = True
    mutation: bool = False
    variables: tuple[Variable, ...] = ()

    def with_variable(self, name: str, expression: str) -> Declarations:
        """Return these with one more variable, `variables.<name>`.

        One that does not compile is declared too, as upstream does it: what names it fails when it
        is evaluated. Its error is in `variables[-1].error`.
        """
        try:
            program: Program | None = _compile(expression, self, Result.ANY)
            error = ""
        except CompileError as exc:
            program, error = None, str(exc)
        return replace(self, variables=(*self.variables, Variable(name, program, error)))

    def types(self) -> dict[str, CelType]:
        """Return the types of all variables, by name."""
        object_type = DYN if self.object_type is None else builtin_type(self.object_type)
        found = {"object": object_type, "oldObject": object_type, "request": REQUEST}
        if self.namespace_object:
            found["namespaceObject"] = NAMESPACE
        if self.params:
            found["params"] = DYN
        if self.authorizer:
            found["authorizer"] = AUTHORIZER_TYPE
            found["authorizer.requestResource"] = RESOURCE_CHECK_TYPE
        composed = {each.name: TypeField(each.name, each.type) for each in self.variables}
        found[_VARIABLES] = CelType("object", "kubernetes.variables", fields=composed)
        return found


@dataclass(frozen=True, slots=True)
class Variable:
    """A composed variable; without a program it failed to compile, by `error`."""

    name: str
    program: Program | None
    error: str

    @property
    def type(self) -> CelType:
        """What it gives, as far as it is known."""
        return DYN if self.program is None else self.program.result


class _Variables:
    """What `variables` is while an expression runs: each is evaluated when it is asked for."""

    __slots__ = ("_activation", "_declared", "_values")

    def __init__(
        self, declared: tuple[Variable, ...], activation: Activation, values: list[Any]
    ) -> None:
        self._declared = declared
        self._activation = activation
        self._values = values

    def get(self, name: str) -> Any:
        """Return a variable's value.

        Raises:
            CelError: it failed now, or when it was first asked for.
        """
        # The last of a name is what stands: upstream's later declarations replace earlier ones.
        variable = next(each for each in reversed(self._declared) if each.name == name)
        known = self._activation.variables
        if variable not in known:
            known[variable] = CelError(f'composited variable "{name}" refers to itself')
            known[variable] = self._evaluate(variable, name)
        if isinstance(known[variable], CelError):
            raise known[variable]
        return known[variable]

    def _evaluate(self, variable: Variable, name: str) -> Any:
        if variable.program is None:
            return CelError(f'composited variable "{name}" fails to compile: {variable.error}')
        try:
            return variable.program.evaluate(self._values, self._activation.budget)
        except CostExceeded as exc:
            if self._activation.budget.remaining < 0:
                raise
            return CelError(f'composited variable "{name}" fails to evaluate: {exc}')
        except CelError as exc:
            return CelError(f'composited variable "{name}" fails to evaluate: {exc}')


class Condition:
    """A compiled expression with a name. Threads may share it."""

    __slots__ = ("_getters", "_is_json", "_program", "_variables", "expression", "name")

    def __init__(
        self, name: str, expression: str, compiled: tuple[Program, Declarations], result: Result
    ) -> None:
        self.expression = expression
        self.name = name
        self._program, declarations = compiled
        self._is_json = result in (Result.OBJECT, Result.PATCHES)
        self._variables = declarations.variables if _VARIABLES in self._program.used else ()
        used = set(self._program.used)
        for variable in self._variables:
            used |= variable.program.used if variable.program is not None else set()
        self._getters = [
            _GETTERS.get(each) if each in used else None for each in self._program.names
        ]

    def evaluate(self, activation: Activation) -> Any:
        """Return the value: a bool for Result.BOOL, JSON for objects and patches.

        Values that JSON lacks stay CEL's for the other results.

        Raises:
            CostExceeded: this expression, or all together (then the budget is below zero), cost
                too much.
            CelError: the evaluation failed; the message is upstream's, without the expression.
        """
        values = [None if get is None else get(activation) for get in self._getters]
        if self._variables:
            values[-1] = _Variables(self._variables, activation, values)
        value = self._program.evaluate(values, activation.budget)
        if activation.budget.remaining < 0:
            raise CostExceeded("operation cancelled: actual cost limit exceeded")
        return to_json(value) if self._is_json else value


def _authorizer(activation: Activation) -> Authorizer | None:
    authorize = activation.authorize
    if authorize is None:
        return None

    def decide(question: AccessQuestion) -> AccessAnswer:
        asked = {key: value for key, value in asdict(question).items() if value}
        return AccessAnswer(*authorize(asked))

    return Authorizer(decide)


def _request_resource(activation: Activation) -> ResourceCheck | None:
    """Return the question about the very resource that the request is for."""
    source = _authorizer(activation)
    if source is None:
        return None
    request = activation.request or {}
    resource = request.get("resource") or {}
    question = AccessQuestion(
        group=resource.get("group", ""),
        resource=resource.get("resource", ""),
        subresource=request.get("subResource", ""),
        namespace=request.get("namespace", ""),
        name=request.get("name", ""),
    )
    return ResourceCheck(source.decide, question)


_GETTERS: Final[dict[str, Callable[[Activation], Any]]] = {
    "object": attrgetter("object"),
    "oldObject": attrgetter("old_object"),
    "request": attrgetter("request"),
    "params": attrgetter("params"),
    "namespaceObject": attrgetter("namespace_object"),
    "authorizer": _authorizer,
    "authorizer.requestResource": _request_resource,
}


def _compile(expression: str, declarations: Declarations, result: Result) -> Program:
    wanted = _WANTED[result]
    try:
        return compile_expression(
            expression,
            declarations.types(),
            wanted=wanted,
            messages=_MESSAGES if declarations.mutation else None,
            lazy=frozenset({_VARIABLES}),
        )
    except WrongResult as exc:
        raise CompileError(str(exc)) from None
    except CompileError as exc:
        raise CompileError(f"compilation failed: {exc}") from None


def compile_condition(
    expression: str,
    declarations: Declarations,
    *,
    name: str = "",
    result: Result = Result.BOOL,
) -> Condition:
    """Compile one expression.

    Raises:
        CompileError: with upstream's message.
    """
    program = _compile(expression, declarations, result)
    return Condition(name, expression, (program, declarations), result)
