"""Constrained impersonation: who may act as somebody else for some requests only (KEP-5284)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.integration.api_calls import Json, check_status, named
from tests.integration.cluster import Answer, Cluster
from tests.integration.personas import Persona, grant, made, persona, rule

GROUP = "authentication.k8s.io"
REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
ACCESS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass(frozen=True)
class Actor:
    """A service account that acts as others."""

    account: Persona
    token: str

    def call(self, method: str, path: str, wanted: str, body: Json | None = None) -> Answer:
        """Send a request as somebody else."""
        headers = {"Authorization": f"Bearer {self.token}", "Impersonate-User": wanted}
        return self.account.cluster.call(method, path, body, headers=headers)


def _actor(cluster: Cluster, namespace: str, bound: Json | None = None) -> Actor:
    """Return a service account whose token is bound to an object."""
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    if not bound:
        made(cluster, accounts, named("actor"))
    spec = {"spec": {"audiences": [], "boundObjectRef": bound}} if bound else {}
    token = made(cluster, f"{accounts}/actor/token", spec)["status"]["token"]
    return Actor(persona(cluster, f"system:serviceaccount:{namespace}:actor"), token)


def _allow(actor: Actor, namespace: str, mode: str, verbs: str, resources: str) -> None:
    on = " ".join(f"impersonate-on:{mode}:{verb}" for verb in verbs.split())
    grant(actor.account, namespace, rule(on, resources))


@pytest.fixture
def actor(cluster: Cluster, namespace: str) -> Actor:
    """A new service account."""
    return _actor(cluster, namespace)


def test_who_may_act_as_a_user_may_do_so_for_what_is_named_only(
    cluster: Cluster, namespace: str, actor: Actor
) -> None:
    jane = persona(cluster)
    grant(jane, namespace, rule("get list create", "configmaps secrets"))
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    who = f'User "{actor.account.name}" cannot'
    refused = actor.call("GET", maps, jane.name)
    message = (
        f"configmaps is forbidden: {who} impersonate-on:user-info:list resource "
        f'"configmaps" in API group "" in the namespace "{namespace}"'
    )
    check_status(refused, 403, "Forbidden", message)
    _allow(actor, namespace, "user-info", "list", "configmaps")
    refused = actor.call("GET", maps, jane.name)
    message = (
        f'users.{GROUP} "{jane.name}" is forbidden: {who} impersonate:user-info resource "users" '
        f'in API group "{GROUP}" at the cluster scope'
    )
    check_status(refused, 403, "Forbidden", message)
    grant(actor.account, "", rule("impersonate:user-info", "users", GROUP, jane.name))
    assert actor.call("GET", maps, jane.name).code == 200
    message = (
        f"configmaps is forbidden: {who} impersonate-on:user-info:create resource "
        f'"configmaps" in API group "" in the namespace "{namespace}"'
    )
    refused = actor.call("POST", maps, jane.name, named("a"))
    check_status(refused, 403, "Forbidden", message)
    assert actor.call("GET", maps.replace("configmaps", "secrets"), jane.name).code == 403
    assert actor.call("GET", maps.replace(namespace, "default"), jane.name).code == 403
    assert actor.call("GET", maps, persona(cluster).name).code == 403


def test_who_acts_as_a_user_may_do_no_more_than_that_one(
    cluster: Cluster, namespace: str, actor: Actor
) -> None:
    jane = persona(cluster)
    _allow(actor, namespace, "user-info", "list", "configmaps")
    grant(actor.account, namespace, rule("list", "configmaps"))
    grant(actor.account, "", rule("impersonate:user-info", "users", GROUP))
    refused = actor.call("GET", f"/api/v1/namespaces/{namespace}/configmaps", jane.name)
    message = (
        f'configmaps is forbidden: User "{jane.name}" cannot list resource "configmaps" in API '
        f'group "" in the namespace "{namespace}"'
    )
    check_status(refused, 403, "Forbidden", message)


def test_a_service_account_is_acted_as_where_it_is(
    cluster: Cluster, namespace: str, actor: Actor
) -> None:
    _allow(actor, "", "serviceaccount", "create", "selfsubjectreviews")
    grant(actor.account, namespace, rule("impersonate:serviceaccount", "serviceaccounts", GROUP))
    grant(
        actor.account, "", rule("impersonate-on:serviceaccount:create", "selfsubjectreviews", GROUP)
    )
    answer = actor.call("POST", REVIEW, f"system:serviceaccount:{namespace}:other", {})
    assert answer.json["status"]["userInfo"] == {
        "username": f"system:serviceaccount:{namespace}:other",
        "groups": [
            "system:serviceaccounts",
            f"system:serviceaccounts:{namespace}",
            "system:authenticated",
        ],
    }
    refused = actor.call("POST", REVIEW, "system:serviceaccount:default:other", {})
    message = (
        f'serviceaccounts.{GROUP} "other" is forbidden: User "{actor.account.name}" cannot '
        f'impersonate:serviceaccount resource "serviceaccounts" in API group "{GROUP}" in the '
        'namespace "default"'
    )
    check_status(refused, 403, "Forbidden", message)


def test_an_agent_acts_as_the_node_that_its_pod_is_on_and_as_no_other(
    cluster: Cluster, namespace: str, actor: Actor
) -> None:
    nodes = [f"{name}-{namespace}" for name in ("mine", "other")]
    for node in nodes:
        made(cluster, "/api/v1/nodes", named(node))
        container = {"name": "c", "image": "i"}
        spec = {"nodeName": node, "serviceAccountName": "actor", "containers": [container]}
        made(cluster, f"/api/v1/namespaces/{namespace}/pods", {**named(f"p-{node}"), "spec": spec})
    _allow(actor, "", "associated-node", "list", "pods")
    grant(actor.account, "", rule("impersonate:associated-node", "nodes", GROUP))
    bound = {"kind": "Pod", "apiVersion": "v1", "name": f"p-{nodes[0]}"}
    agent = _actor(cluster, namespace, bound)
    pods = "/api/v1/pods?fieldSelector=spec.nodeName%3D"
    found = agent.call("GET", pods + nodes[0], f"system:node:{nodes[0]}")
    assert [one["metadata"]["name"] for one in found.json["items"]] == [f"p-{nodes[0]}"]
    # As its node it sees what that node may.
    assert agent.call("GET", pods + nodes[1], f"system:node:{nodes[0]}").code == 403
    refused = agent.call("GET", pods + nodes[1], f"system:node:{nodes[1]}")
    assert "cannot impersonate-on:arbitrary-node:list resource" in refused.json["message"]
    # A token that is bound to no pod tells of no node.
    assert actor.call("GET", pods + nodes[0], f"system:node:{nodes[0]}").code == 403


def test_paths_are_asked_for_by_the_verb_of_their_mode(cluster: Cluster, actor: Actor) -> None:
    jane = persona(cluster)
    grant(actor.account, "", rule("impersonate:user-info", "users", GROUP))
    refused = actor.call("GET", "/version", jane.name)
    message = (
        f'forbidden: User "{actor.account.name}" cannot impersonate-on:user-info:get path '
        '"/version"'
    )
    check_status(refused, 403, "Forbidden", message)
    paths = {"verbs": ["impersonate-on:user-info:get"], "nonResourceURLs": ["/version"]}
    grant(actor.account, "", paths)
    assert actor.call("GET", "/version", jane.name).code == 200


def test_access_reviews_tell_who_may_act_as_whom_and_what_that_one_may(
    cluster: Cluster, namespace: str, actor: Actor
) -> None:
    jane = persona(cluster)
    grant(actor.account, "", rule("impersonate:user-info", "users", GROUP, jane.name))
    review = rule(
        "impersonate-on:user-info:create", "selfsubjectaccessreviews", "authorization.k8s.io"
    )
    grant(actor.account, "", review)
    wanted = {"verb": "impersonate:user-info", "group": GROUP, "resource": "users"}
    for name, is_allowed in ((jane.name, True), ("another", False)):
        spec = {"spec": {"resourceAttributes": {**wanted, "name": name}}}
        status = actor.account.call("POST", ACCESS, spec).json["status"]
        assert status["allowed"] is is_allowed
    # As jane the account is told what jane may.
    spec = {"spec": {"resourceAttributes": {**wanted, "name": jane.name}}}
    assert actor.call("POST", ACCESS, jane.name, spec).json["status"]["allowed"] is False


def test_requests_made_as_others_are_counted_by_mode(cluster: Cluster, actor: Actor) -> None:
    grant(actor.account, "", rule("impersonate", "users", names="jane"))
    assert actor.call("POST", REVIEW, "jane", {}).code == 201
    assert actor.call("POST", REVIEW, "joe", {}).code == 403
    text = cluster.call("GET", "/metrics").body.decode()
    attempts, questions = ("apiserver_impersonation_" + one for one in ("", "authorization_"))
    for line in (
        f'{attempts}attempts_total{{decision="allowed",mode="legacy"}}',
        f'{attempts}attempts_total{{decision="denied",mode=""}}',
        f'{attempts}attempts_duration_seconds_bucket{{decision="allowed",le="0.001",mode="legacy"}}',
        f'{questions}attempts_total{{decision="denied",mode="user-info"}}',
        f'{questions}attempts_duration_seconds_count{{decision="allowed",mode="legacy"}}',
    ):
        assert any(found.startswith(line) for found in text.splitlines()), line
