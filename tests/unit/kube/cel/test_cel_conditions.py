"""Conditions over admission requests: variables, types, authorizer, mutation, budgets."""

from __future__ import annotations

from typing import Any

import pytest

from kube.cel.conditions import Activation, Declarations, Result, compile_condition
from kube.cel.cost import Budget
from kube.cel.errors import CelError, CompileError, CostExceeded
from kube.schema.compile import builtin_schemas
from kube.schema.model import Kind, Type

REQUEST = {
    "operation": "CREATE",
    "name": "web",
    "namespace": "ns",
    "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
    "userInfo": {"username": "alice", "groups": ["dev"]},
}
OBJECT = {"metadata": {"name": "web", "labels": {"team": "a"}}, "spec": {"replicas": 5}}


def activation(**more: Any) -> Activation:
    return Activation(**{"object": OBJECT, "request": REQUEST, **more})


@pytest.mark.parametrize(
    "text",
    [
        "object.spec.replicas <= 5",
        "oldObject == null",
        "has(object.metadata.labels) && object.metadata.labels['team'] == 'a'",
        "request.operation in ['CREATE', 'UPDATE'] && request.resource.group == 'apps'",
        "!('system:nodes' in request.userInfo.groups)",
        "request.userInfo.username == 'alice' && !has(request.dryRun)",
        "namespaceObject.metadata.name == 'ns'",
        "params.max > 3",
        "object.spec.?paused.orValue(false) == false",
    ],
)
def test_the_variables_of_admission_are_there(text: str) -> None:
    declared = Declarations(params=True)
    given = activation(params={"max": 9}, namespace_object={"metadata": {"name": "ns"}})
    assert compile_condition(text, declared).evaluate(given) is True


@pytest.mark.parametrize(
    ("text", "result", "message"),
    [
        ("object.spec.paused", Result.BOOL, "must evaluate to bool but got dyn"),
        ("'a'", Result.BOOL, "must evaluate to bool but got string"),
        ("1", Result.BOOL_OR_NULL, "must evaluate to one of [bool null_type] but got int"),
        ("1", Result.STRING_OR_NULL, "must evaluate to one of [string null_type] but got int"),
        (
            "params.x == 1",
            Result.BOOL,
            "compilation failed: ERROR: <input>:1:1: undeclared reference",
        ),
        (
            "request.nope == 1",
            Result.BOOL,
            "compilation failed: ERROR: <input>:1:8: undefined field 'nope'",
        ),
        (
            "variables.nope == 1",
            Result.BOOL,
            "compilation failed: ERROR: <input>:1:10: undefined field",
        ),
        ("Object{} == Object{}", Result.BOOL, "compilation failed: ERROR: <input>:1:1: undeclared"),
    ],
)
def test_what_does_not_compile_is_told_as_upstream_tells_it(
    text: str, result: Result, message: str
) -> None:
    with pytest.raises(CompileError) as caught:
        compile_condition(text, Declarations(), result=result)
    assert str(caught.value).startswith(message)


def test_objects_of_a_known_type_are_checked_against_it() -> None:
    pod = Type(Kind.STRUCT, struct=builtin_schemas().struct("io.k8s.api.core.v1.Pod"))
    declared = Declarations(object_type=pod)
    condition = compile_condition("object.spec.containers.all(c, c.image != '')", declared)
    assert condition.evaluate(Activation(object={"spec": {"containers": [{"image": "i"}]}})) is True
    with pytest.raises(CompileError, match="undefined field 'nope'"):
        compile_condition("object.spec.nope == 1", declared)


def test_variables_are_evaluated_once_and_only_when_asked_for() -> None:
    declared = (
        Declarations()
        .with_variable("team", "object.metadata.labels['team']")
        .with_variable("named", "'team-' + variables.team")
        .with_variable("broken", "object.nope")
    )
    given = activation()
    assert compile_condition("true", declared).evaluate(given) is True
    assert given.variables == {}
    assert compile_condition("variables.named == 'team-a'", declared).evaluate(given) is True
    spent = given.budget.remaining
    compile_condition("variables.named == 'team-a'", declared).evaluate(given)
    assert spent - given.budget.remaining == 3
    with pytest.raises(
        CelError, match=r'^composited variable "broken" fails to evaluate: no such key'
    ):
        compile_condition("variables.broken == 1", declared).evaluate(given)


def test_variables_of_the_same_name_in_other_declarations_are_others() -> None:
    given = activation()
    for value in ("1", "2"):
        declared = Declarations().with_variable("x", value)
        assert compile_condition(f"variables.x == {value}", declared).evaluate(given) is True


def test_a_variable_that_does_not_compile_fails_who_asks_for_it() -> None:
    declared = Declarations().with_variable("bad", "nope").with_variable("good", "1")
    assert declared.variables[0].error.startswith("compilation failed: ")
    assert compile_condition("variables.good == 1", declared).evaluate(activation()) is True
    with pytest.raises(CelError, match=r'^composited variable "bad" fails to compile: '):
        compile_condition("variables.bad == 1", declared).evaluate(activation())


def test_a_variable_that_names_itself_is_an_error() -> None:
    declared = Declarations().with_variable("x", "1").with_variable("x", "variables.x + 1")
    with pytest.raises(CelError, match="refers to itself"):
        compile_condition("variables.x == 2", declared).evaluate(activation())


def test_the_authorizer_is_asked_by_its_callback() -> None:
    asked: list[dict[str, Any]] = []

    def authorize(question: dict[str, Any]) -> tuple[bool, str, str]:
        asked.append(question)
        return question.get("verb") == "get", "because", ""

    given = activation(authorize=authorize)
    checks = (
        "authorizer.group('apps').resource('deployments').subresource('scale')"
        ".namespace('n').name('x')"
    )
    for text in (
        f"{checks}.check('get').allowed()",
        "!authorizer.path('/healthz').check('post').allowed()",
        "authorizer.serviceAccount('ns', 'sa').path('/x').check('get').reason() == 'because'",
        "!authorizer.requestResource.check('create').errored()",
    ):
        assert compile_condition(text, Declarations()).evaluate(given) is True
    assert asked[0] == {
        "verb": "get",
        "group": "apps",
        "resource": "deployments",
        "subresource": "scale",
        "namespace": "n",
        "name": "x",
    }
    assert asked[1] == {"verb": "post", "path": "/healthz"}
    assert asked[2]["service_account"] == ("ns", "sa")
    assert asked[3] == {
        "verb": "create",
        "group": "apps",
        "resource": "deployments",
        "namespace": "ns",
        "name": "web",
    }


def test_more_than_two_checks_in_one_expression_cost_too_much() -> None:
    given = activation(authorize=lambda _: (True, "", ""))
    check = "authorizer.path('/x').check('get').allowed()"
    assert compile_condition(f"{check} && {check}", Declarations()).evaluate(given) is True
    with pytest.raises(CostExceeded):
        compile_condition(f"{check} && {check} && {check}", Declarations()).evaluate(given)


def test_mutations_are_made_as_json() -> None:
    declared = Declarations(mutation=True)
    made = compile_condition(
        "Object{spec: Object.spec{replicas: object.spec.replicas + 1, paused: true}}",
        declared,
        result=Result.OBJECT,
    )
    assert made.evaluate(activation()) == {"spec": {"replicas": 6, "paused": True}}
    patches = compile_condition(
        "[JSONPatch{op: 'add', path: '/a/' + jsonpatch.escapeKey('b/c'), value: duration('1s')}]",
        declared,
        result=Result.PATCHES,
    )
    assert patches.evaluate(activation()) == [{"op": "add", "path": "/a/b~1c", "value": "1s"}]


def test_a_spent_budget_is_told_from_a_dear_expression() -> None:
    given = activation(budget=Budget(5))
    condition = compile_condition("object.metadata.name == 'web'", Declarations())
    assert condition.evaluate(given) is True
    with pytest.raises(CostExceeded):
        condition.evaluate(given)
    assert given.budget.remaining < 0
