"""Impersonate headers: who may act as somebody else asks as that one."""

from __future__ import annotations

from tests.integration.api_calls import check_status, named
from tests.integration.cluster import Cluster
from tests.integration.personas import grant, made, persona, rule

REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
ACCESS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def test_the_impersonated_user_is_who_asks(cluster: Cluster) -> None:
    headers = {"Impersonate-User": "jane", "Impersonate-Group": "system:masters"}
    answer = cluster.call("POST", REVIEW, {}, headers=headers)
    assert answer.json["status"]["userInfo"] == {
        "username": "jane",
        "groups": ["system:masters", "system:authenticated"],
    }


def test_the_impersonated_user_has_its_own_permissions_only(cluster: Cluster) -> None:
    wanted = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    headers = {"Impersonate-User": "jane"}
    refused = cluster.call("GET", "/api/v1/pods", headers=headers)
    assert (refused.code, refused.json["reason"]) == (403, "Forbidden")
    assert 'User "jane" cannot list resource "pods"' in refused.json["message"]
    # system:basic-user: everybody may ask what they may.
    assert cluster.call("POST", ACCESS, wanted, headers=headers).json["status"]["allowed"] is False


def test_impersonated_groups_need_a_user(cluster: Cluster) -> None:
    answer = cluster.call("GET", "/api/v1/pods", headers={"Impersonate-Group": "g"})
    assert answer.code == 400


def _groups_of(cluster: Cluster, headers: dict[str, str]) -> list[str]:
    answer = cluster.call("POST", REVIEW, {}, headers=headers)
    groups: list[str] = answer.json["status"]["userInfo"]["groups"]
    return groups


def test_an_impersonated_service_account_has_its_groups_unless_others_are_named(
    cluster: Cluster,
) -> None:
    account = {"Impersonate-User": "system:serviceaccount:ns1:sa1"}
    own = ["system:serviceaccounts", "system:serviceaccounts:ns1", "system:authenticated"]
    assert _groups_of(cluster, account) == own
    named = _groups_of(cluster, {**account, "Impersonate-Group": "g"})
    assert named == ["g", "system:authenticated"]


def test_who_is_impersonated_as_unauthenticated_is_not_authenticated(cluster: Cluster) -> None:
    headers = {"Impersonate-User": "jane", "Impersonate-Group": "system:unauthenticated"}
    assert cluster.call("GET", "/version", headers=headers).code == 200
    # What everybody authenticated may, system:basic-user, is not for such a one.
    assert cluster.call("POST", REVIEW, {}, headers=headers).code == 403


def test_one_who_may_do_something_in_the_name_of_another_can_do_just_that(
    cluster: Cluster, namespace: str
) -> None:
    actor = persona(cluster, f"system:serviceaccount:{namespace}:constrained")
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    made(cluster, accounts, named("constrained"))
    token = made(cluster, f"{accounts}/constrained/token", {"spec": {}})["status"]["token"]
    grant(
        actor,
        "",
        rule("impersonate:user-info", "users", "authentication.k8s.io", "jane"),
        rule("impersonate-on:user-info:list", "pods"),
    )
    grant(persona(cluster, "jane"), "", rule("list", "pods services"))
    asked = {"Authorization": f"Bearer {token}", "Impersonate-User": "jane"}
    where = f"/api/v1/namespaces/{namespace}"
    assert cluster.call("GET", f"{where}/pods", headers=asked).code == 200
    refused = cluster.call("GET", f"{where}/services", headers=asked)
    check_status(
        refused,
        403,
        "Forbidden",
        f'services is forbidden: User "{actor.name}" cannot impersonate-on:user-info:list resource '
        f'"services" in API group "" in the namespace "{namespace}"',
    )
