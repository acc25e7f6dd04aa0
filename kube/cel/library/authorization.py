"""`authorizer.group('apps').resource('deployments').check('get').allowed()`.

Whoever evaluates gives the variable `authorizer` an `Authorizer`, whose callback decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from kube.cel.errors import CelError
from kube.cel.overloads import Declarations
from kube.cel.types import opaque, type_of
from kube.cel.values import Opaque, traversal

CHECK_COST: Final = 350_000
"""Upstream's: two checks are what an expression may afford."""


@dataclass(frozen=True, slots=True)
class AccessQuestion:
    """What is asked: a path, or else a resource.

    Attributes:
        service_account: (namespace, name) of whom it is asked; None: of the request's user.
    """

    verb: str = ""
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""
    service_account: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class AccessAnswer:
    """What was decided, why, and what went wrong."""

    allowed: bool
    reason: str = ""
    error: str = ""


Decide = Callable[[AccessQuestion], AccessAnswer]


@dataclass(frozen=True, slots=True)
class Authorizer(Opaque):
    """Where questions begin."""

    type_name = "kubernetes.authorization.Authorizer"
    decide: Decide
    question: AccessQuestion = AccessQuestion()


class PathCheck(Authorizer):
    """A question about a path."""

    __slots__ = ()
    type_name = "kubernetes.authorization.PathCheck"


class GroupCheck(Authorizer):
    """A question about a group, the resource not yet named."""

    __slots__ = ()
    type_name = "kubernetes.authorization.GroupCheck"


class ResourceCheck(Authorizer):
    """A question about a resource."""

    __slots__ = ()
    type_name = "kubernetes.authorization.ResourceCheck"


@dataclass(frozen=True, slots=True)
class Decision(Opaque):
    """An answer."""

    type_name = "kubernetes.authorization.Decision"
    answer: AccessAnswer


AUTHORIZER_TYPE: Final = opaque(Authorizer.type_name)
RESOURCE_CHECK_TYPE: Final = opaque(ResourceCheck.type_name)


def declare(to: Declarations) -> None:
    """Declare how questions are put and answers read."""
    start, path, group, resource, decision = (
        each.type_name for each in (Authorizer, PathCheck, GroupCheck, ResourceCheck, Decision)
    )
    for name in (start, path, group, resource, decision):
        to.types[name] = type_of(opaque(name))
    to.method("path", "authorizer_path", f"{start}, string -> {path}", _path)
    to.method(
        "group", "authorizer_group", f"{start}, string -> {group}", _step(GroupCheck, "group")
    )
    to.method(
        "serviceAccount",
        "authorizer_serviceaccount",
        f"{start}, string, string -> {start}",
        _service_account,
    )
    to.method("resource", "groupcheck_resource", f"{group}, string -> {resource}", _resource)
    for name in ("subresource", "namespace", "name"):
        to.method(
            name,
            f"resourcecheck_{name}",
            f"{resource}, string -> {resource}",
            _step(ResourceCheck, name),
        )
    for name in ("field", "label"):
        to.method(
            f"{name}Selector",
            f"authorizer_{name}selector",
            f"{resource}, string -> {resource}",
            _step(ResourceCheck, f"{name}_selector"),
            _selector_cost,
        )
    for kind, word in ((path, "pathcheck"), (resource, "resourcecheck")):
        to.method(
            "check", f"{word}_check", f"{kind}, string -> {decision}", _check, lambda *_: CHECK_COST
        )
    to.method("allowed", "decision_allowed", f"{decision} -> bool", lambda a: a.answer.allowed)
    to.method("reason", "decision_reason", f"{decision} -> string", lambda a: a.answer.reason)
    to.method("errored", "decision_errored", f"{decision} -> bool", lambda a: bool(a.answer.error))
    to.method("error", "decision_error", f"{decision} -> string", lambda a: a.answer.error)


def _selector_cost(_: ResourceCheck, text: str) -> int:
    return 10 + traversal(len(text)) + traversal(len(text), 25)


def _step(kind: type[Authorizer], attribute: str) -> Callable[[Authorizer, str], Authorizer]:
    def step(source: Authorizer, value: str) -> Authorizer:
        changed: dict[str, Any] = {attribute: value}
        return kind(source.decide, replace(source.question, **changed))

    return step


def _path(source: Authorizer, value: str) -> Authorizer:
    if not value.strip():
        raise CelError("path must not be empty")
    return PathCheck(source.decide, replace(source.question, path=value))


def _resource(source: Authorizer, value: str) -> Authorizer:
    if not value.strip():
        raise CelError("resource must not be empty")
    return ResourceCheck(source.decide, replace(source.question, resource=value))


def _service_account(source: Authorizer, namespace: str, name: str) -> Authorizer:
    if not name:
        raise CelError("Invalid service account name")
    if not namespace:
        raise CelError("Invalid service account namespace")
    return Authorizer(source.decide, replace(source.question, service_account=(namespace, name)))


def _check(source: Authorizer, verb: str) -> Decision:
    return Decision(source.decide(replace(source.question, verb=verb)))
