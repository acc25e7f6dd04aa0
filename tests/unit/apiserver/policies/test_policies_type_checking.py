"""What a policy's status tells of expressions that its types do not fit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controllers.admission_policies import expression_warnings
from controllers.policy_types import TYPES_MAX, types_of
from kube.status import StatusError

Json = dict[str, Any]


class _Client:
    """Answers with documents by path, and otherwise that there is nothing."""

    def __init__(self, documents: dict[str, Json]) -> None:
        self.documents = documents
        self.asked: list[str] = []

    async def request(self, _method: str, path: str) -> Json:
        self.asked.append(path)
        if path not in self.documents:
            raise StatusError(404, "NotFound", "there is nothing")
        return self.documents[path]


def _warnings(policy: Json, client: Any = None) -> list[Json]:
    types = asyncio.run(types_of(client or _Client({}), policy["spec"]))
    return expression_warnings(policy, types)


def _policy(expression: str, resources: list[str], **rule: list[str]) -> Json:
    rules = [{"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": resources, **rule}]
    return {
        "spec": {
            "matchConstraints": {"resourceRules": rules},
            "validations": [{"expression": expression}],
        }
    }


def test_each_type_is_told_by_its_name_in_order() -> None:
    policy = _policy(
        "object.spec.replicas > 1", ["daemonsets", "deployments", "controllerrevisions"]
    )
    [warning] = _warnings(policy)
    assert warning["fieldRef"] == "spec.validations[0].expression"
    kinds = [line.partition(": ")[0] for line in warning["warning"].splitlines() if "ERROR" in line]
    assert kinds == ["apps/v1, Kind=ControllerRevision", "apps/v1, Kind=DaemonSet"]


def test_what_fits_all_types_is_not_warned_of() -> None:
    assert _warnings(_policy("object.spec.replicas > 1", ["deployments"])) == []


def test_messages_and_variables_are_checked_too() -> None:
    policy = _policy("variables.n > 1", ["deployments"])
    policy["spec"]["variables"] = [{"name": "n", "expression": "object.spec.replicas"}]
    policy["spec"]["validations"][0]["messageExpression"] = "object.spec.wrong"
    [warning] = _warnings(policy)
    assert warning["fieldRef"] == "spec.validations[0].messageExpression"


def test_wildcards_subresources_and_unknown_types_are_left_out() -> None:
    wrong = "object.wrong == 1"
    assert _warnings(_policy(wrong, ["*", "deployments/scale", "gadgets"])) == []
    assert _warnings(_policy(wrong, ["deployments"], apiGroups=["*"])) == []


def test_no_more_types_are_checked_than_upstream_checks() -> None:
    core = ["pods", "services", "secrets", "nodes", "events", "endpoints", "namespaces"]
    core += ["configmaps", "limitranges", "podtemplates", "resourcequotas", "serviceaccounts"]
    [warning] = _warnings(_policy("object.wrong == 1", core, apiGroups=[""]))
    assert warning["warning"].count("undefined field 'wrong'") == TYPES_MAX


def _published(schema: Json) -> _Client:
    identity = [{"group": "x.io", "version": "v1", "kind": "Knob"}]
    own = {"apiVersion": {"type": "string"}, "metadata": {"allOf": [{"$ref": "#/elsewhere"}]}}
    schema = {**schema, "properties": {**schema.get("properties", {}), **own}}
    schemas = {"io.x.v1.Knob": {**schema, "x-kubernetes-group-version-kind": identity}}
    return _Client(
        {
            "/apis/x.io/v1": {"resources": [{"name": "knobs", "kind": "Knob"}]},
            "/openapi/v3/apis/x.io/v1": {"components": {"schemas": schemas}},
        }
    )


def test_custom_types_are_checked_by_the_schema_that_is_published() -> None:
    spec = {"type": "object", "properties": {"size": {"type": "integer"}}}
    client = _published({"type": "object", "properties": {"spec": spec}})
    fits = _policy("object.spec.size > 1 && object.metadata.name != ''", ["knobs"])
    fits["spec"]["matchConstraints"]["resourceRules"][0]["apiGroups"] = ["x.io"]
    assert _warnings(fits, client) == []
    [warning] = _warnings(_policy("object.spec.colour == 1", ["knobs"], apiGroups=["x.io"]), client)
    assert warning["warning"].startswith("x.io/v1, Kind=Knob: ERROR: ")


def test_fields_that_are_merely_preserved_are_not_known_as_upstream() -> None:
    client = _published({"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    [warning] = _warnings(_policy("object.spec == 1", ["knobs"], apiGroups=["x.io"]), client)
    assert "undefined field 'spec'" in warning["warning"]


def test_the_server_is_not_asked_without_end_for_types_that_are_not_there() -> None:
    client = _Client({})
    many = [f"gadgets{number}" for number in range(1000)]
    assert _warnings(_policy("object.a == 1", many, apiGroups=["x.io"]), client) == []
    assert len(client.asked) < 100


@pytest.mark.parametrize(
    "document",
    [{"components": 1}, {"components": {"schemas": {"a": None}}}, {"components": {"schemas": []}}],
)
def test_what_another_server_publishes_amiss_is_left_out(document: Json) -> None:
    client = _published({"type": "object"})
    client.documents["/openapi/v3/apis/x.io/v1"] = document
    assert _warnings(_policy("object.a == 1", ["knobs"], apiGroups=["x.io"]), client) == []
