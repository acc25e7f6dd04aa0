"""What priority levels and flow schemas may be: the mandatory ones, and hands of queues."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from apiserver.fairness.upkeep import DEFAULTS
from apiserver.types.flowcontrol import GROUP, HOOKS


def _level(name: str, **limited: Any) -> dict[str, Any]:
    response = {"type": "Reject"}
    section = {"nominalConcurrencyShares": 1, "limitResponse": response, **limited}
    return {"metadata": {"name": name}, "spec": {"type": "Limited", "limited": section}}


def _queuing(queues: int, hand_size: int) -> dict[str, Any]:
    queuing = {"queues": queues, "handSize": hand_size, "queueLengthLimit": 1}
    return {"type": "Queue", "queuing": queuing}


def _schema(name: str, precedence: int) -> dict[str, Any]:
    spec = {"matchingPrecedence": precedence, "priorityLevelConfiguration": {"name": "a"}}
    return {"metadata": {"name": name}, "spec": spec}


EXEMPT = {
    "metadata": {"name": "exempt"},
    "spec": {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 7, "lendablePercent": 50}},
}
HAND = "spec.limited.limitResponse.queuing.handSize"


def _faults(plural: str, obj: dict[str, Any]) -> list[tuple[str, str]]:
    faults = HOOKS[f"{GROUP}/{plural}"].validate_create(obj)
    return [(fault.path, fault.body.rpartition(": ")[2]) for fault in faults]


@pytest.mark.parametrize("storage", sorted(DEFAULTS))
def test_default_objects_are_valid_and_hooks_change_nothing_of_them(storage: str) -> None:
    hooks = HOOKS[storage]
    for obj in (one for group in DEFAULTS[storage] for one in group):
        changed = copy.deepcopy(obj)
        hooks.default(changed)
        assert changed == obj
        assert hooks.validate_create(changed) == []


@pytest.mark.parametrize(
    ("obj", "faults"),
    [
        (EXEMPT, []),
        (
            {"metadata": {"name": "a"}, "spec": EXEMPT["spec"]},
            [("spec.type", "type must be 'Exempt' if and only if name is 'exempt'")],
        ),
        (
            _level("catch-all"),
            [("spec", "spec of 'catch-all' must equal the fixed value")],
        ),
        (
            {"metadata": {"name": "exempt"}, "spec": {"type": "Exempt", "limited": {}}},
            [
                (
                    "spec",
                    "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value",
                ),
                ("spec.limited", "must be nil if the type is not Limited"),
            ],
        ),
        (
            {
                "metadata": {"name": "exempt"},
                "spec": {"type": "Exempt", "exempt": {"nominalConcurrencyShares": -1}},
            },
            [("spec.exempt.nominalConcurrencyShares", "must be a non-negative integer")],
        ),
        (
            _level("a", limitResponse=_queuing(512, 8)),
            [
                (
                    HAND,
                    "required entropy bits of deckSize 512 and handSize 8 should not be greater "
                    "than 60",
                )
            ],
        ),
        (_level("a", limitResponse=_queuing(10_000_000, 2)), []),
        (
            _level("a", limitResponse=_queuing(7, 8)),
            [(HAND, "should not be greater than queues (7)")],
        ),
    ],
)
def test_levels_keep_to_upstreams_rules(obj: dict[str, Any], faults: list[tuple[str, str]]) -> None:
    assert _faults("prioritylevelconfigurations", obj) == faults


def test_only_the_exempt_schema_is_asked_first() -> None:
    text = "only the schema named 'exempt' may have matchingPrecedence 1"
    assert _faults("flowschemas", _schema("a", 1)) == [("spec.matchingPrecedence", text)]
    assert _faults("flowschemas", _schema("a", 2)) == []


def test_mandatory_schemas_cannot_be_changed() -> None:
    faults = _faults("flowschemas", _schema("catch-all", 10_000))
    assert faults == [("spec", "spec of 'catch-all' must equal the fixed value")]


def _ruled(**rule: Any) -> dict[str, Any]:
    schema = _schema("a", 2)
    whole = {
        "subjects": [{"kind": "User", "user": {"name": "jo"}}],
        "resourceRules": [_RESOURCES],
        **rule,
    }
    schema["spec"]["rules"] = [whole]
    return schema


_RESOURCES = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["a"]}
_PATHS = {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/api/*", "/"]}
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update")
_LABEL = (
    "each member of this list must be '*' or a DNS-1123 label; a lowercase RFC 1123 label must "
    "consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)


@pytest.mark.parametrize(
    ("key", "value", "where", "text"),
    [
        ("verbs", [], "verbs", "Required value: verbs must contain at least one value"),
        ("verbs", ["*"], "", ""),
        (
            "verbs",
            ["*", "get"],
            "verbs",
            """Invalid value: ["*","get"]: if '*' is present, must not specify other verbs""",
        ),
        (
            "verbs",
            ["get", "post"],
            "verbs",
            'Unsupported value: ["get","post"]: supported values: '
            + ", ".join(f'"{verb}"' for verb in (*_VERBS, "watch")),
        ),
        (
            "apiGroups",
            [],
            "apiGroups",
            "Required value: resource rules must supply at least one api group",
        ),
        (
            "apiGroups",
            ["*", "apps"],
            "apiGroups",
            """Invalid value: ["*","apps"]: if '*' is present, must not specify other api groups""",
        ),
        (
            "resources",
            [],
            "resources",
            "Required value: resource rules must supply at least one resource",
        ),
        ("resources", ["pods/status", "*/scale"], "", ""),
        (
            "namespaces",
            [],
            "namespaces",
            "Required value: resource rules that are not cluster scoped must supply at least one "
            "namespace",
        ),
        ("namespaces", ["a", "B"], "namespaces[1]", f'Invalid value: "B": {_LABEL}'),
    ],
)
def test_resource_rules_name_what_there_can_be(
    key: str, value: list[str], where: str, text: str
) -> None:
    schema = _ruled(resourceRules=[{**_RESOURCES, key: value}])
    faults = HOOKS[f"{GROUP}/flowschemas"].validate_create(schema)
    path = f"spec.rules[0].resourceRules[0].{where}"
    assert [(fault.path, fault.body) for fault in faults] == ([(path, text)] if where else [])


def test_a_rule_of_the_cluster_needs_no_namespace() -> None:
    rule = {**_RESOURCES, "clusterScope": True, "namespaces": []}
    assert _faults("flowschemas", _ruled(resourceRules=[rule])) == []


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("", "must not be empty"),
        ("healthz", "must start with slash"),
        ("/a b", "must not contain white-space"),
        ("/a//b", "must not contain double slash"),
        ("/a*", "wildcard can only do suffix matching"),
        ("/*/*", "wildcard can only do suffix matching"),
    ],
)
def test_paths_of_rules_are_paths(url: str, text: str) -> None:
    assert _faults("flowschemas", _ruled(resourceRules=[], nonResourceRules=[_PATHS])) == []
    rule = {**_PATHS, "nonResourceURLs": ["/livez", url]}
    faults = _faults("flowschemas", _ruled(nonResourceRules=[rule]))
    assert faults == [("spec.rules[0].nonResourceRules[0].nonResourceURLs[1]", text)]


@pytest.mark.parametrize(
    ("subject", "faults"),
    [
        ({"kind": "User", "user": {"name": ""}}, [("user.name", "Required value")]),
        ({"kind": "Group", "group": {}}, [("group.name", "Required value")]),
        (
            {"kind": "ServiceAccount", "serviceAccount": {"name": "*", "namespace": ""}},
            [("serviceAccount.namespace", "must specify namespace for service account")],
        ),
        ({"kind": "ServiceAccount", "serviceAccount": {"name": "*", "namespace": "a"}}, []),
        (
            {"kind": "User", "user": {"name": "a"}, "group": {"name": "b"}},
            [("group", "group is forbidden when subject kind is not 'Group'")],
        ),
    ],
)
def test_subjects_are_named(subject: dict[str, Any], faults: list[tuple[str, str]]) -> None:
    found = _faults("flowschemas", _ruled(subjects=[subject]))
    assert found == [(f"spec.rules[0].subjects[0].{path}", text) for path, text in faults]


def test_conditions_have_types_that_differ() -> None:
    check = HOOKS[f"{GROUP}/flowschemas"].validate_status
    conditions = [{"type": "A"}, {"type": "A"}, {"type": ""}]
    faults = check({"status": {"conditions": conditions}}, {})
    assert [(fault.path, fault.body) for fault in faults] == [
        ("status.conditions[1].type", 'Duplicate value: "A"'),
        ("status.conditions[2].type", "Required value: must not be empty"),
    ]


@pytest.mark.parametrize("plural", ["flowschemas", "prioritylevelconfigurations"])
def test_writes_of_a_status_change_no_metadata(plural: str) -> None:
    old = {"metadata": {"name": "a", "labels": {"a": "b"}}}
    new = {"metadata": {"name": "a", "annotations": {"patched": "true"}}, "status": {}}
    HOOKS[f"{GROUP}/{plural}"].prepare_status(new, old)
    assert new["metadata"] == old["metadata"]
