"""Reviews: who somebody is and what they may do; with real kubectl where kubectl asks."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.api_calls import Json, check_status, named
from tests.integration.cluster import Answer, Cluster
from tests.integration.personas import GROUP, RBAC, grant, made, persona, rule

AUTHORIZATION = "/apis/authorization.k8s.io/v1"
AUTHENTICATION = "/apis/authentication.k8s.io/v1"
INVALID = 'SubjectAccessReview.authorization.k8s.io "" is invalid: '


def _review(cluster: Cluster, spec: Json, kind: str = "subjectaccessreviews") -> Answer:
    return cluster.call("POST", f"{AUTHORIZATION}/{kind}", {"spec": spec})


def _wanted(verb: str, resource: str, **more: Any) -> Json:
    return {"resourceAttributes": {"verb": verb, "resource": resource, **more}}


def test_access_is_explained(cluster: Cluster, namespace: str) -> None:
    user = persona(cluster)
    name = grant(user, namespace, rule("get", "pods"))
    spec = {"user": user.name, **_wanted("get", "pods", namespace=namespace)}
    reason = (
        f'RBAC: allowed by RoleBinding "{name}/{namespace}" of Role "{name}" to User "{user.name}"'
    )
    assert _review(cluster, spec).json["status"] == {"allowed": True, "reason": reason}
    spec["resourceAttributes"]["verb"] = "list"
    assert _review(cluster, spec).json["status"] == {"allowed": False}
    group = {"groups": ["system:authenticated"]}
    path = {"nonResourceAttributes": {"verb": "get", "path": "/version"}}
    reason = (
        'RBAC: allowed by ClusterRoleBinding "system:discovery" of ClusterRole "system:discovery" '
        'to Group "system:authenticated"'
    )
    status = _review(cluster, {**group, **path}).json["status"]
    assert status["allowed"] is True
    assert status["reason"].endswith('to Group "system:authenticated"'), reason


def test_a_review_is_of_oneself_or_of_a_namespace(cluster: Cluster, namespace: str) -> None:
    user = persona(cluster)
    grant(user, namespace, rule("get", "pods"))
    wanted = _wanted("get", "pods", namespace=namespace)
    own = f"{AUTHORIZATION}/selfsubjectaccessreviews"
    assert user.call("POST", own, {"spec": wanted}).json["status"]["allowed"] is True
    local = f"{AUTHORIZATION}/namespaces/{namespace}/localsubjectaccessreviews"
    spec = {"user": user.name, **wanted}
    assert cluster.call("POST", local, {"spec": spec}).json["status"]["allowed"] is True
    assert user.call("POST", local, {"spec": spec}).code == 403
    spec["resourceAttributes"]["namespace"] = "other"
    refused = cluster.call("POST", local, {"spec": spec})
    message = (
        'LocalSubjectAccessReview.authorization.k8s.io "" is invalid: '
        'spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace'
    )
    check_status(refused, 422, "Invalid", message)


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        (
            {"user": "jo"},
            "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes "
            "or resourceAttributes must be specified",
        ),
        (
            _wanted("get", "pods"),
            'spec.user: Invalid value: "": at least one of user or group must be specified',
        ),
        (
            {"user": "jo", **_wanted("list", "pods", fieldSelector={})},
            "spec.resourceAttributes.fieldSelector.requirements: Required value: when "
            "spec.resourceAttributes.fieldSelector is specified, requirements or rawSelector is "
            "required",
        ),
    ],
)
def test_a_review_that_asks_nothing_is_invalid(cluster: Cluster, spec: Json, fault: str) -> None:
    check_status(_review(cluster, spec), 422, "Invalid", INVALID + fault)


def test_a_rules_review_tells_what_holds_in_a_namespace(cluster: Cluster, namespace: str) -> None:
    user = persona(cluster)
    grant(user, namespace, rule("get", "pods", names="a"))
    binding = {
        **named(f"gone-{user.name}"),
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "gone"},
        "subjects": [user.subject()],
    }
    made(cluster, f"{RBAC}/clusterrolebindings", binding)
    path = f"{AUTHORIZATION}/selfsubjectrulesreviews"
    status = user.call("POST", path, {"spec": {"namespace": namespace}}).json["status"]
    assert {**rule("get", "pods", names="a")} in status["resourceRules"]
    assert any("/version" in one["nonResourceURLs"] for one in status["nonResourceRules"])
    assert status["incomplete"] is False
    assert status["evaluationError"] == f'clusterrole.{GROUP} "gone" not found'
    refused = user.call("POST", path, {"spec": {}})
    check_status(refused, 400, "BadRequest", "no namespace on request")


def test_a_token_review_tells_for_whom_a_token_is(cluster: Cluster) -> None:
    path = f"{AUTHENTICATION}/tokenreviews"
    status = cluster.call("POST", path, {"spec": {"token": cluster.token}}).json["status"]
    assert (status["authenticated"], status["user"]["username"]) == (True, "tester")
    assert len(status["audiences"]) == 1
    spec = {"token": cluster.token, "audiences": [*status["audiences"], "other"]}
    assert (
        cluster.call("POST", path, {"spec": spec}).json["status"]["audiences"]
        == (status["audiences"])
    )
    spec["audiences"] = ["other"]
    assert "authenticated" not in cluster.call("POST", path, {"spec": spec}).json["status"]


def test_kubectl_asks_what_it_may_do(cluster: Cluster, namespace: str) -> None:
    user = persona(cluster)
    grant(user, namespace, rule("get list", "pods"), rule("get", "configmaps", names="one"))
    asks = ("-n", namespace, "--as", user.name)
    assert cluster.kubectl("auth", "can-i", "list", "pods", *asks).stdout == "yes\n"
    refused = cluster.kubectl("auth", "can-i", "delete", "pods", *asks, check=False)
    assert (refused.stdout, refused.returncode) == ("no\n", 1)
    assert cluster.kubectl("auth", "can-i", "get", "cm/one", *asks).stdout == "yes\n"
    lines = cluster.kubectl("auth", "can-i", "--list", *asks).stdout.splitlines()
    assert lines[0].split() == ["Resources", "Non-Resource", "URLs", "Resource", "Names", "Verbs"]
    assert any(line.split() == ["pods", "[]", "[]", "[get", "list]"] for line in lines)
    assert any(line.split() == ["configmaps", "[]", "[one]", "[get]"] for line in lines)
    everything = cluster.kubectl("auth", "can-i", "*", "*", "--all-namespaces").stdout
    assert everything == "yes\n"


def test_kubectl_asks_who_it_is_and_makes_a_token(cluster: Cluster, namespace: str) -> None:
    shown = cluster.kubectl("auth", "whoami", "--as", "jo", "--as-group", "g", "-o", "json")
    assert '"username": "jo"' in shown.stdout
    cluster.kubectl("create", "serviceaccount", "robot", "-n", namespace)
    token = cluster.kubectl("create", "token", "robot", "-n", namespace).stdout.strip()
    review = cluster.call(
        "POST",
        f"{AUTHENTICATION}/selfsubjectreviews",
        {},
        headers={"Authorization": f"Bearer {token}"},
    )
    name = f"system:serviceaccount:{namespace}:robot"
    assert review.json["status"]["userInfo"]["username"] == name


def test_kubectl_reconciles_and_grants_roles(cluster: Cluster, namespace: str) -> None:
    user = persona(cluster)
    here = ("-n", namespace)
    cluster.kubectl("create", "role", "r", "--verb=get", "--resource=pods", *here)
    cluster.kubectl("create", "rolebinding", "b", "--role=r", f"--user={user.name}", *here)
    assert user.call("GET", f"/api/v1/namespaces/{namespace}/pods/absent").code == 404
    shown = cluster.kubectl("describe", "role", "r", *here).stdout
    assert "pods" in shown


def test_a_review_is_no_table(cluster: Cluster) -> None:
    path, spec = f"{AUTHORIZATION}/selfsubjectaccessreviews", _wanted("get", "pods")
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    refused = cluster.call("POST", path, {"spec": spec}, headers={"Accept": table})
    assert (refused.code, refused.json["reason"]) == (406, "NotAcceptable")
    accepted = f"{table},application/json"
    answer = cluster.call("POST", path, {"spec": spec}, headers={"Accept": accepted})
    assert (answer.code, answer.json["kind"]) == (201, "SelfSubjectAccessReview")
