"""What rules others hold, and how it is told what is missing."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.rbac.coverage import PARTS_MAX, describe, missing_parts
from apiserver.rbac.rules import compile_rules

Json = dict[str, Any]


def rule(verbs: str, groups: str, resources: str, names: str = "") -> Json:
    """Return a rule; a "-" is the group without a name."""
    made: Json = {
        "verbs": verbs.split(),
        "apiGroups": ["" if group == "-" else group for group in groups.split()],
        "resources": resources.split(),
    }
    if names:
        made["resourceNames"] = names.split()
    return made


def urls(verbs: str, *paths: str) -> Json:
    """Return a rule of paths."""
    return {"verbs": verbs.split(), "nonResourceURLs": list(paths)}


def _missing(held: list[Json], wanted: list[Json]) -> list[str]:
    return describe(missing_parts(compile_rules(held), wanted))


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        (rule("*", "*", "*"), rule("get", "apps", "deployments/scale", "a")),
        (rule("get list", "-", "pods"), rule("get", "-", "pods", "a b")),
        (rule("get", "*", "*/scale"), rule("get", "apps", "deployments/scale")),
        (urls("*", "*"), urls("get", "/a", "/b/*")),
        (urls("get", "/a/*"), urls("get", "/a/b/*")),
    ],
)
def test_what_is_held_is_not_missing(held: Json, wanted: Json) -> None:
    assert _missing([held], [wanted]) == []


@pytest.mark.parametrize(
    ("held", "wanted", "told"),
    [
        (
            rule("get", "-", "pods"),
            rule("get list create", "-", "pods"),
            '{APIGroups:[""], Resources:["pods"], Verbs:["list" "create"]}',
        ),
        (
            rule("get", "-", "pods", "a"),
            rule("get", "-", "pods"),
            '{APIGroups:[""], Resources:["pods"], Verbs:["get"]}',
        ),
        (
            rule("get", "-", "pods", "a"),
            rule("get", "-", "pods", "a b"),
            '{APIGroups:[""], Resources:["pods"], ResourceNames:["b"], Verbs:["get"]}',
        ),
        (
            rule("get", "-", "*"),
            rule("*", "-", "pods"),
            '{APIGroups:[""], Resources:["pods"], Verbs:["*"]}',
        ),
        (urls("get", "/a"), urls("get", "/a*"), '{NonResourceURLs:["/a*"], Verbs:["get"]}'),
    ],
)
def test_what_is_not_held_is_told_in_upstreams_words(held: Json, wanted: Json, told: str) -> None:
    assert _missing([held], [wanted]) == [told]


def test_each_smallest_rule_may_be_held_by_another_rule() -> None:
    held = [rule("get", "-", "pods"), rule("list", "-", "pods"), rule("get list", "-", "nodes")]
    assert _missing(held, [rule("get list", "-", "pods nodes")]) == []


def test_missing_verbs_of_one_resource_are_told_together_and_sorted() -> None:
    wanted = [rule("get", "-", "pods"), rule("list", "apps", "x"), rule("list", "-", "pods")]
    assert _missing([], wanted) == [
        '{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}',
        '{APIGroups:["apps"], Resources:["x"], Verbs:["list"]}',
    ]


def test_rules_of_too_many_parts_are_taken_for_missing() -> None:
    many = [str(number) for number in range(400)]
    wanted = {"verbs": many, "apiGroups": many, "resources": many}
    held = compile_rules([rule("*", "*", "*")])
    # 64 million parts: to look at all of them would take a minute.
    assert len(missing_parts(held, [wanted])) == 1
    few = {**wanted, "verbs": ["get"], "apiGroups": many[: PARTS_MAX // 400]}
    assert missing_parts(held, [few]) == []
