"""AuthorizationConfiguration: what is understood, and that faults are told in upstream's words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from apiserver.authorization.config import parse_configuration
from apiserver.config_reader import ConfigurationUseless

Json = dict[str, Any]


def _document(*authorizers: Any, **more: Any) -> Json:
    return {
        "kind": "AuthorizationConfiguration",
        "apiVersion": "apiserver.config.k8s.io/v1",
        "authorizers": list(authorizers),
        **more,
    }


def _webhook(tmp_path: Path, **changes: Any) -> Json:
    file = tmp_path / "webhook.kubeconfig"
    file.touch()
    spec = {
        "timeout": "3s",
        "subjectAccessReviewVersion": "v1",
        "failurePolicy": "Deny",
        "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": str(file)},
        **changes,
    }
    spec = {key: value for key, value in spec.items() if value is not None}
    return {"type": "Webhook", "name": "far", "webhook": spec}


def test_a_chain_is_understood_in_its_order(tmp_path: Path) -> None:
    more = {
        "authorizedTTL": "1m",
        "cacheUnauthorizedRequests": False,
        "matchConditionSubjectAccessReviewVersion": "v1",
        "matchConditions": [{"expression": "request.user != 'x'"}],
    }
    document = _document(_webhook(tmp_path, **more), {"type": "RBAC", "name": "roles"})
    far, roles = parse_configuration(document)
    assert [far.type, roles.type, roles.webhook] == ["Webhook", "RBAC", None]
    spec = far.webhook
    assert spec is not None
    assert (spec.timeout_s, spec.allowed_s, spec.refused_s) == (3.0, 60.0, 0.0)
    assert spec.denies_at_failure
    assert [one.text for one in spec.conditions] == ["request.user != 'x'"]


def test_answers_are_kept_for_five_minutes_and_half_a_minute_unless_said_otherwise(
    tmp_path: Path,
) -> None:
    ((far),) = parse_configuration(_document(_webhook(tmp_path)))
    assert far.webhook is not None
    assert (far.webhook.allowed_s, far.webhook.refused_s) == (300.0, 30.0)


NODE = {"type": "Node", "name": "n"}


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ([], "must be an object"),
        ({"kind": "Other"}, "must be of kind"),
        (_document(), "authorizers: Required value: at least one authorization mode must be"),
        (_document({"name": "a"}), "authorizers[0].type: Required value"),
        (
            _document({"type": "ABAC", "name": "a"}),
            'authorizers[0].type: Unsupported value: "ABAC": supported values: "AlwaysAllow", '
            '"AlwaysDeny", "Node", "RBAC", "Webhook"',
        ),
        (_document(NODE, {**NODE, "name": "o"}), 'authorizers[1].type: Duplicate value: "Node"'),
        (
            _document(NODE, {"type": "RBAC", "name": "n"}),
            'authorizers[1].name: Duplicate value: "n"',
        ),
        (_document({"type": "RBAC"}), "authorizers[0].name: Required value"),
        (
            _document({"type": "RBAC", "name": "A"}),
            'authorizers[0].name: Invalid value: "A": authorizer name is invalid: a lowercase RFC',
        ),
        (
            _document({**NODE, "webhook": {}}),
            'authorizers[0].webhook: Invalid value: "non-null": may only be specified when',
        ),
        (
            _document({"type": "Webhook", "name": "w"}),
            "authorizers[0].webhook: Required value: required when type=Webhook",
        ),
        (_document(NODE, other=1), "other: unknown field"),
        (_document(7), "authorizers[0]: must be of type object"),
    ],
)
def test_a_wrong_chain_is_refused(document: Any, why: str) -> None:
    with pytest.raises(ConfigurationUseless, match=re.escape(why)):
        parse_configuration(document)


CONDITION = {"expression": "true"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"timeout": None}, "authorizers[0].timeout: Required value"),
        ({"timeout": "31s"}, 'timeout: Invalid value: "31s": must be > 0s and <= 30s'),
        ({"timeout": "-1s"}, "must be > 0s and <= 30s"),
        ({"timeout": "soon"}, 'time: invalid duration "soon"'),
        ({"authorizedTTL": "-1s"}, 'authorizedTTL: Invalid value: "-1s": must be > 0s'),
        ({"unauthorizedTTL": "-1s"}, "authorizers[0].unauthorizedTTL: Invalid value"),
        ({"subjectAccessReviewVersion": None}, "subjectAccessReviewVersion: Required value"),
        (
            {"subjectAccessReviewVersion": "v2"},
            'Unsupported value: "v2": supported values: "v1", "v1beta1"',
        ),
        ({"failurePolicy": None}, "authorizers[0].failurePolicy: Required value"),
        ({"failurePolicy": "Ignore"}, 'supported values: "NoOpinion", "Deny"'),
        ({"connectionInfo": {}}, "connectionInfo.type: Required value"),
        ({"connectionInfo": {"type": "InClusterConfig"}}, "connectionInfo.type: Unsupported value"),
        ({"connectionInfo": {"type": "KubeConfigFile"}}, "kubeConfigFile: Required value"),
        (
            {"connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": "a"}},
            'kubeConfigFile: Invalid value: "a": must be an absolute path',
        ),
        (
            {"connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": "/none/there"}},
            "error loading file: stat /none/there: no such file or directory",
        ),
        (
            {"connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": "/dev"}},
            "must be a regular file",
        ),
        (
            {"matchConditions": [CONDITION]},
            "matchConditionSubjectAccessReviewVersion: Required value: required if match",
        ),
        ({"matchConditions": [CONDITION, CONDITION]}, "[1].expression: Duplicate value"),
        ({"matchConditions": [{"expression": " "}]}, "[0].expression: Required value"),
        (
            {"matchConditions": [{"expression": "request.user"}]},
            'authorizers[0].matchConditions[0].expression: Invalid value: "request.user": must '
            "evaluate to bool but got string",
        ),
        (
            {"matchConditions": [{"expression": "request.none"}]},
            "compilation failed: ERROR: <input>:1:8: undefined field 'none'",
        ),
        (
            {"matchConditions": [{"expression": f"{number} > 0"} for number in range(65)]},
            "matchConditions: Too many: 65: must have at most 64 items",
        ),
    ],
)
def test_a_wrong_webhook_is_refused(tmp_path: Path, changes: Json, why: str) -> None:
    with pytest.raises(ConfigurationUseless, match=re.escape(why)):
        parse_configuration(_document(_webhook(tmp_path, **changes)))
