"""Which schema and level a request belongs to, and what becomes of a changed configuration."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apiserver.authn import ANONYMOUS, User
from apiserver.authz import Attributes
from apiserver.fairness import flows as flows_module
from apiserver.fairness.flows import Flows
from apiserver.fairness.model import (
    LEVELS,
    SCHEMAS,
    LevelSpec,
    Malformed,
    Queuing,
    SchemaSpec,
    parse_level,
    parse_schema,
)
from apiserver.fairness.requests import ONE_SEAT, Request
from apiserver.fairness.upkeep import DEFAULTS

ROOT = Path(__file__).parents[4]
REFERENCE = (
    Path(os.environ.get("ULTRAPLANE_REFERENCE", ROOT.parent / "shared" / "reference"))
    / "bootstrap-objects.json"
)


def _defaults() -> tuple[list[LevelSpec], list[SchemaSpec]]:
    levels = [parse_level(obj) for group in DEFAULTS[LEVELS] for obj in group]
    return levels, [parse_schema(obj) for group in DEFAULTS[SCHEMAS] for obj in group]


def _flows() -> Flows:
    flows = Flows(600, 0.0)
    flows.configure(*_defaults(), 0.0)
    return flows


def _user(name: str, *groups: str) -> User:
    return User(name, (*groups, "system:authenticated"))


def _resource(verb: str, resource: str, group: str = "", namespace: str = "a") -> Attributes:
    return Attributes(verb, group, "v1", resource, "", namespace, "", f"/x/{resource}")


NODE = _user("system:node:n", "system:nodes")
ACCOUNT = _user("system:serviceaccount:a:b", "system:serviceaccounts")
SYSTEM_ACCOUNT = _user("system:serviceaccount:kube-system:b", "system:serviceaccounts")
MANAGER = _user("system:kube-controller-manager")
LEASES = "coordination.k8s.io"


@pytest.mark.parametrize(
    ("user", "request_", "schema", "level", "distinguisher"),
    [
        (_user("root", "system:masters"), _resource("list", "pods"), "exempt", "exempt", ""),
        (ANONYMOUS, Attributes("get", path="/livez"), "probes", "exempt", ""),
        (ANONYMOUS, Attributes("get", path="/livez/ping"), "probes", "exempt", ""),
        (
            ANONYMOUS,
            Attributes("get", path="/livezz"),
            "global-default",
            "global-default",
            "system:anonymous",
        ),
        (
            NODE,
            _resource("update", "leases", LEASES),
            "system-node-high",
            "node-high",
            NODE.name,
        ),
        (NODE, _resource("get", "secrets"), "system-nodes", "system", NODE.name),
        (NODE, _resource("get", "nodes", "", ""), "system-node-high", "node-high", NODE.name),
        (
            MANAGER,
            _resource("update", "leases", LEASES),
            "system-leader-election",
            "leader-election",
            MANAGER.name,
        ),
        (MANAGER, _resource("list", "pods"), "kube-controller-manager", "workload-high", "a"),
        (
            SYSTEM_ACCOUNT,
            _resource("list", "pods"),
            "kube-system-service-accounts",
            "workload-high",
            "a",
        ),
        (ACCOUNT, _resource("list", "pods"), "service-accounts", "workload-low", ACCOUNT.name),
        (_user("jo"), _resource("list", "pods"), "global-default", "global-default", "jo"),
        (User("x", ("odd",)), _resource("get", "pods"), "catch-all", "catch-all", ""),
    ],
)
def test_default_schemas_sort_requests_as_upstreams(
    user: User, request_: Attributes, schema: str, level: str, distinguisher: str
) -> None:
    flow = _flows().find(user, request_)
    found = (flow.schema.name, flow.level.spec.name, flow.distinguisher)
    assert found == (schema, level, distinguisher)


@pytest.mark.skipif(not REFERENCE.exists(), reason="no reference data")
@pytest.mark.parametrize("kind", ["FlowSchema", "PriorityLevelConfiguration"])
def test_default_objects_are_upstreams(kind: str) -> None:
    storage = SCHEMAS if kind == "FlowSchema" else LEVELS
    items: list[dict[str, Any]] = json.loads(REFERENCE.read_bytes())["items"]
    theirs = {item["metadata"]["name"]: item for item in items if item["kind"] == kind}
    ours = {obj["metadata"]["name"]: obj for group in DEFAULTS[storage] for obj in group}
    assert ours.keys() == theirs.keys()
    for name, obj in ours.items():
        assert obj["spec"] == theirs[name]["spec"], name
        assert obj["metadata"]["annotations"] == theirs[name]["metadata"]["annotations"]


def _schema(name: str, precedence: int, level: str, user: str = "jo") -> SchemaSpec:
    rules = [
        {
            "subjects": [{"kind": "User", "user": {"name": user}}],
            "resourceRules": [
                {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["a"]}
            ],
        }
    ]
    spec = {
        "matchingPrecedence": precedence,
        "priorityLevelConfiguration": {"name": level},
        "rules": rules,
    }
    return parse_schema({"metadata": {"name": name}, "spec": spec})


def test_the_schema_of_lower_precedence_wins_and_of_equals_the_first_by_name() -> None:
    flows = _flows()
    levels, schemas = _defaults()
    more = [_schema("b", 5000, "system"), _schema("a", 5000, "node-high"), _schema("c", 6000, "x")]
    flows.configure(levels, [*schemas, *more], 0.0)
    assert flows.find(_user("jo"), _resource("get", "pods")).schema.name == "a"
    for other in (
        _resource("list", "pods"),
        _resource("get", "pods", namespace="b"),
        _resource("get", "pods", namespace=""),
        _resource("get", "secrets"),
        _resource("get", "pods", "apps"),
    ):
        assert flows.find(_user("jo"), other).schema.name == "global-default"


def test_a_schema_of_a_missing_level_is_left_out() -> None:
    flows = _flows()
    levels, schemas = _defaults()
    flows.configure(levels, [*schemas, _schema("a", 10, "missing")], 0.0)
    assert flows.find(_user("jo"), _resource("get", "pods")).schema.name == "global-default"


def test_without_any_object_the_mandatory_ones_hold() -> None:
    flows = Flows(600, 0.0)
    assert flows.find(_user("jo"), _resource("get", "pods")).schema.name == "catch-all"
    root = _user("root", "system:masters")
    assert flows.find(root, _resource("get", "pods")).level.queues.limit is None


def test_flows_are_known_until_the_configuration_changes() -> None:
    flows = _flows()
    first = flows.find(_user("jo"), _resource("get", "pods"))
    assert flows.find(_user("jo"), _resource("get", "pods")) is first
    flows.configure(*_defaults(), 1.0)
    again = flows.find(_user("jo"), _resource("get", "pods"))
    assert again is not first
    assert again.tally is first.tally


def test_so_many_flows_are_known_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows_module, "KNOWN_MAX", 5)
    flows = _flows()
    for number in range(20):
        flows.find(_user("jo"), _resource("get", "pods", namespace=f"n{number}"))
        flows.find(_user("jo"), Attributes("get", path="/" + "x" * 500 + str(number)))
        assert sum(map(len, flows._known.values())) == flows._known_count <= 5


def test_a_level_that_is_deleted_lets_its_requests_end() -> None:
    flows = _flows()
    levels, schemas = _defaults()
    flows.configure([*levels, replace(levels[0], name="a")], [*schemas, _schema("a", 10, "a")], 0.0)
    flow = flows.find(_user("jo"), _resource("get", "pods"))
    request = Request(flow.tally, flow.hand, ONE_SEAT, 0.0)
    assert flow.level.queues.arrive(request, 0.0)
    flows.configure(levels, schemas, 1.0)
    assert flows.levels["a"].is_leaving
    assert flows.find(_user("jo"), _resource("get", "pods")).schema.name == "global-default"
    flow.level.queues.finish(request, 2.0)
    assert flows.has_left()
    flows.configure(levels, schemas, 3.0)
    assert "a" not in flows.levels


def test_malformed_levels_are_told_from_good_ones() -> None:
    for spec in (
        {"type": "Exempt", "exempt": {}},
        {"type": "Limited"},
        {"type": "Limited", "limited": {"limitResponse": {"type": "Queue"}}},
        {
            "type": "Limited",
            "limited": {
                "limitResponse": {"type": "Queue", "queuing": {"queues": 1024, "handSize": 8}}
            },
        },
    ):
        with pytest.raises(Malformed):
            parse_level({"metadata": {"name": "a"}, "spec": spec})


def test_answers_name_schema_and_level_by_uid() -> None:
    flows = _flows()
    levels, schemas = _defaults()
    flows.configure(
        [replace(level, uid=f"L-{level.name}") for level in levels],
        [replace(schema, uid=f"S-{schema.name}") for schema in schemas],
        0.0,
    )
    assert flows.find(_user("jo"), _resource("get", "pods")).head == (
        b"x-kubernetes-pf-flowschema-uid: S-global-default\r\n"
        b"x-kubernetes-pf-prioritylevel-uid: L-global-default\r\n"
    )


def test_a_level_may_change_how_it_queues_while_requests_wait() -> None:
    flows = _flows()
    levels, schemas = _defaults()
    level = next(spec for spec in levels if spec.name == "global-default")
    others = [spec for spec in levels if spec is not level]
    flows.configure([*others, replace(level, queuing=Queuing(1, 1, 5))], schemas, 0.0)
    assert flows.find(_user("jo"), _resource("get", "pods")).hand == (0,)
    flows.configure([*others, replace(level, queuing=None)], schemas, 0.0)
    assert flows.find(_user("jo"), _resource("get", "pods")).hand == ()
