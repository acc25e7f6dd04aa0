"""Mutations: what apply configurations and JSON patches of expressions do to an object."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.policies.patching import Mutation, MutationFailed
from kube.cel.conditions import Activation, Declarations
from kube.managed.atoms import root_type
from kube.schema.compile import builtin_schemas

POD = root_type(builtin_schemas().struct("io.k8s.api.core.v1.Pod"))
Json = dict[str, Any]


def _pod() -> Json:
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "p", "labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i", "args": ["x"]}]},
    }


def _mutate(obj: Json, expression: str, *, applies: bool) -> Json:
    spec = (
        {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}
        if applies
        else {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}
    )
    mutation = Mutation(spec, Declarations(mutation=True))
    return mutation.apply(obj, Activation(object=obj), POD)


def test_an_apply_configuration_is_merged_by_keys_and_leaves_the_object_as_it_was() -> None:
    obj = _pod()
    expression = (
        'Object{spec: Object.spec{containers: [Object.spec.containers{name: "c", image: "new"}, '
        'Object.spec.containers{name: "d", image: "i"}]}}'
    )
    made = _mutate(obj, expression, applies=True)
    assert made["spec"]["containers"] == [
        {"name": "c", "image": "new", "args": ["x"]},
        {"name": "d", "image": "i"},
    ]
    assert made["metadata"] == obj["metadata"]
    assert obj == _pod()


@pytest.mark.parametrize(
    ("value", "made"),
    [
        ("1", 1),
        ("true", True),
        ("null", None),
        ('"x"', "x"),
        ('duration("90s")', "90s"),
        ('timestamp("2026-01-02T03:04:05Z")', "2026-01-02T03:04:05Z"),
        ('b"x"', "eA=="),
        ('{"a": ["b"]}', {"a": ["b"]}),
    ],
)
def test_every_value_that_json_can_hold_is_taken(value: str, made: object) -> None:
    expression = f'[JSONPatch{{op: "add", path: "/x", value: {value}}}]'
    assert _mutate(_pod(), expression, applies=False)["x"] == made


def test_a_patch_moves_and_copies() -> None:
    expression = (
        '[JSONPatch{op: "copy", from: "/metadata/labels/a", path: "/metadata/labels/b"}, '
        'JSONPatch{op: "move", from: "/metadata/labels/a", path: "/metadata/labels/c"}]'
    )
    made = _mutate(_pod(), expression, applies=False)
    assert made["metadata"]["labels"] == {"b": "b", "c": "b"}


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("[JSONPatch{op: 'add', path: '/x/y/z', value: 1}]", "doc is missing path"),
        ("[JSONPatch{op: 'odd', path: '/x'}]", "Unexpected kind: odd"),
        ("[JSONPatch{op: 'replace', path: '', value: ['x']}]", "the object has become none"),
        ("[JSONPatch{op: object.absent, path: '/x'}]", "no such key: absent"),
        ("object", "must evaluate to list(JSONPatch)"),
    ],
)
def test_a_patch_that_does_not_fit_fails_and_changes_nothing(expression: str, text: str) -> None:
    obj = _pod()
    with pytest.raises(MutationFailed) as failed:
        _mutate(obj, expression, applies=False)
    assert text in str(failed.value)
    assert obj == _pod()
