"""A webhook is asked what roles do not allow, and only that; what it says is remembered."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.api_calls import check_status, named
from tests.integration.authorization_server import Webhook, run_webhook, write_kubeconfig
from tests.integration.cluster import Cluster, run_cluster
from tests.integration.personas import GROUP, grant, made, persona, rule

ACCESS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


@pytest.fixture(scope="module")
def webhook() -> Webhook:
    """What answers."""
    return Webhook()


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory, webhook: Webhook) -> Iterator[Cluster]:
    """A cluster that asks it."""
    directory = tmp_path_factory.mktemp("asking")
    with run_webhook(webhook) as url:
        write_kubeconfig(directory / "webhook.yaml", url)
        auth = {"authorization_webhook_config_file": str(directory / "webhook.yaml")}
        with run_cluster(directory, {"auth": auth}) as running:
            yield running


def test_who_no_role_allows_is_allowed_by_the_webhook_and_asked_for_once(
    asking: Cluster, webhook: Webhook
) -> None:
    friend = persona(asking, "friend-1")
    path = "/api/v1/namespaces/default/pods?labelSelector=a%3Db"
    for _ in range(3):
        assert friend.call("GET", path).code == 200
    asked = [spec for spec in webhook.asked if spec["user"] == "friend-1"]
    assert asked == [
        {
            "user": "friend-1",
            "groups": ["system:authenticated"],
            "resourceAttributes": {
                "verb": "list",
                "version": "v1",
                "resource": "pods",
                "namespace": "default",
                "labelSelector": {
                    "requirements": [{"key": "a", "operator": "In", "values": ["b"]}]
                },
            },
        }
    ]
    assert friend.call("GET", "/metrics").code == 200
    assert webhook.asked[-1]["nonResourceAttributes"] == {"verb": "get", "path": "/metrics"}


def test_a_refusal_has_the_webhooks_reason(asking: Cluster) -> None:
    user = persona(asking)
    message = (
        f'pods is forbidden: User "{user.name}" cannot list resource "pods" in API group "" at '
        "the cluster scope: no friend"
    )
    for _ in range(2):
        check_status(user.call("GET", "/api/v1/pods"), 403, "Forbidden", message)


def test_what_a_role_allows_is_not_asked(asking: Cluster, webhook: Webhook) -> None:
    user = persona(asking)
    grant(user, "", rule("list", "pods"))
    assert user.call("GET", "/api/v1/pods").code == 200
    assert all(spec["user"] != user.name for spec in webhook.asked)


def test_reviews_ask_the_webhook_too(asking: Cluster) -> None:
    wanted = {"verb": "get", "resource": "nodes"}
    spec = {"user": "friend-2", "resourceAttributes": wanted}
    status = asking.call("POST", ACCESS, {"spec": spec}).json["status"]
    assert status == {"allowed": True, "reason": "a friend"}


def test_while_the_webhook_does_not_answer_nobody_else_is_let_in(
    asking: Cluster, webhook: Webhook
) -> None:
    webhook.is_broken = True
    assert persona(asking, "friend-3").call("GET", "/api/v1/pods").code == 403
    webhook.is_broken = False
    assert persona(asking, "friend-3").call("GET", "/api/v1/pods").code == 200


def test_rules_reviews_say_that_the_webhooks_part_is_missing(asking: Cluster) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    status = persona(asking).call("POST", path, {"spec": {"namespace": "default"}}).json["status"]
    assert status["incomplete"]
    assert status["evaluationError"] == "webhook authorizer does not support user rule resolution"


def test_who_the_webhook_lets_escalate_and_bind_may_do_so(
    asking: Cluster, webhook: Webhook
) -> None:
    friend, other = persona(asking, "friend-4"), persona(asking)
    roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles"
    bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
    grant(other, "default", rule("create update", "roles rolebindings", GROUP))
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    made = {"metadata": {"name": "escalated"}, "rules": rules}
    refused = other.call("POST", roles, made)
    assert refused.code == 403
    assert "is attempting to grant RBAC permissions not currently held" in refused.json["message"]
    assert friend.call("POST", roles, made).code == 201
    rules[0]["verbs"].append("delete")
    assert friend.call("PUT", f"{roles}/escalated", made).code == 200
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "escalated"}
    binding = {"metadata": {"name": "bound"}, "roleRef": reference, "subjects": []}
    assert other.call("POST", bindings, binding).code == 403
    assert friend.call("POST", bindings, binding).code == 201
    asked = {
        one.get("resourceAttributes", {}).get("verb")
        for one in webhook.asked
        if one["user"] == friend.name
    }
    assert {"escalate", "bind"} <= asked


def test_as_whom_somebody_may_act_the_webhook_is_asked_mode_by_mode(
    asking: Cluster, webhook: Webhook
) -> None:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    made(asking, accounts, named("actor"))
    token = made(asking, f"{accounts}/actor/token", {})["status"]["token"]
    account = persona(asking, "system:serviceaccount:default:actor")
    headers = {"Authorization": f"Bearer {token}", "Impersonate-User": "friend-5"}
    message = (
        f'pods is forbidden: User "{account.name}" cannot impersonate-on:user-info:list resource '
        '"pods" in API group "" at the cluster scope: no friend'
    )
    refused = asking.call("GET", "/api/v1/pods", headers=headers)
    check_status(refused, 403, "Forbidden", message)
    asked = [spec["resourceAttributes"] for spec in webhook.asked if spec["user"] == account.name]
    verbs = [one["verb"] for one in asked]
    assert verbs[-2:] == ["impersonate-on:user-info:list", "impersonate"]
    grant(account, "", rule("impersonate", "users"))
    assert asking.call("GET", "/api/v1/pods", headers=headers).code == 200
