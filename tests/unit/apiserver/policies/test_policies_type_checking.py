"""What a policy's status tells of expressions that its types do not fit."""

from __future__ import annotations

from typing import Any

from controllers.admission_policies import TYPES_MAX, expression_warnings

Json = dict[str, Any]


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
    [warning] = expression_warnings(policy)
    assert warning["fieldRef"] == "spec.validations[0].expression"
    kinds = [line.partition(": ")[0] for line in warning["warning"].splitlines() if "ERROR" in line]
    assert kinds == ["apps/v1, Kind=ControllerRevision", "apps/v1, Kind=DaemonSet"]


def test_what_fits_all_types_is_not_warned_of() -> None:
    assert expression_warnings(_policy("object.spec.replicas > 1", ["deployments"])) == []


def test_messages_and_variables_are_checked_too() -> None:
    policy = _policy("variables.n > 1", ["deployments"])
    policy["spec"]["variables"] = [{"name": "n", "expression": "object.spec.replicas"}]
    policy["spec"]["validations"][0]["messageExpression"] = "object.spec.wrong"
    [warning] = expression_warnings(policy)
    assert warning["fieldRef"] == "spec.validations[0].messageExpression"


def test_wildcards_subresources_and_unknown_types_are_left_out() -> None:
    wrong = "object.wrong == 1"
    assert expression_warnings(_policy(wrong, ["*", "deployments/scale", "gadgets"])) == []
    assert expression_warnings(_policy(wrong, ["deployments"], apiGroups=["*"])) == []


def test_no_more_types_are_checked_than_upstream_checks() -> None:
    core = ["pods", "services", "secrets", "nodes", "events", "endpoints", "namespaces"]
    core += ["configmaps", "limitranges", "podtemplates", "resourcequotas", "serviceaccounts"]
    [warning] = expression_warnings(_policy("object.wrong == 1", core, apiGroups=[""]))
    assert warning["warning"].count("undefined field 'wrong'") == TYPES_MAX
