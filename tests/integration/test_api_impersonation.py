"""Impersonate headers: a master asks as somebody else, and nobody else may."""

from __future__ import annotations

from tests.integration.cluster import Cluster

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
