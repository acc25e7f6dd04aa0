"""Tokens of all kinds over HTTP: files, bootstrap secrets, rotated keys, issuers' documents."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.integration.api_calls import MERGE, Json, named, pod
from tests.integration.cluster import Cluster, run_cluster
from tests.integration.personas import made
from tests.integration.token_issuer import CLIENT, TokenIssuer, run_issuer

WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
SECRETS = "/api/v1/namespaces/kube-system/secrets"
_PEM = serialization.Encoding.PEM


@pytest.fixture(scope="module")
def old_key() -> rsa.RSAPrivateKey:
    """A key that once signed service account tokens."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenIssuer]:
    """An OpenID issuer that the cluster trusts."""
    with run_issuer(tmp_path_factory.mktemp("issuer")) as running:
        yield running


@pytest.fixture(scope="module")
def trusting(
    tmp_path_factory: pytest.TempPathFactory, old_key: rsa.RSAPrivateKey, issuer: TokenIssuer
) -> Iterator[Cluster]:
    """A cluster that takes tokens of the old key and of the issuer."""
    directory = tmp_path_factory.mktemp("trusting")
    public = old_key.public_key().public_bytes(
        _PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (directory / "old.pem").write_bytes(public)
    auth = {
        "service_account_key_files": [str(directory / "old.pem")],
        "oidc_issuer_url": issuer.url,
        "oidc_client_id": CLIENT,
        "oidc_ca_file": str(issuer.authority),
        "oidc_username_claim": "email",
        "oidc_groups_claim": "groups",
        "oidc_groups_prefix": "oidc:",
        "oidc_required_claims": {"team": "red"},
    }
    with run_cluster(directory, {"auth": auth}) as running:
        yield running


def _who(cluster: Cluster, token: str) -> Any:
    headers = {"Authorization": f"Bearer {token}"}
    answer = cluster.call("POST", WHO, {}, headers=headers)
    return answer.json["status"]["userInfo"] if answer.code == 201 else answer.code


def _bootstrap_secret(identity: str, **more: str) -> Json:
    data = {
        "token-id": identity,
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
        **more,
    }
    return {
        **named(f"bootstrap-token-{identity}"),
        "type": "bootstrap.kubernetes.io/token",
        "stringData": data,
    }


def test_a_bootstrap_token_is_good_while_its_secret_says_so(cluster: Cluster) -> None:
    groups = "system:bootstrappers:z,system:bootstrappers:kubeadm:a"
    made(cluster, SECRETS, _bootstrap_secret("abcdef", **{"auth-extra-groups": groups}))
    token = "abcdef.0123456789abcdef"
    assert _who(cluster, token) == {
        "username": "system:bootstrap:abcdef",
        "groups": [
            "system:bootstrappers",
            "system:bootstrappers:kubeadm:a",
            "system:bootstrappers:z",
            "system:authenticated",
        ],
    }
    assert _who(cluster, "abcdef.0123456789abcdee") == 401
    off = {"stringData": {"usage-bootstrap-authentication": "false"}}
    secret = f"{SECRETS}/bootstrap-token-abcdef"
    assert cluster.call("PATCH", secret, off, content_type=MERGE).code == 200
    assert _who(cluster, token) == 401


@pytest.mark.parametrize(
    "more",
    [
        {"expiration": "2020-01-01T00:00:00Z"},
        {"expiration": "tomorrow"},
        {"auth-extra-groups": "system:masters"},
        {"token-id": "other1"},
    ],
)
def test_a_bootstrap_token_that_is_not_right_lets_nobody_in(
    cluster: Cluster, more: dict[str, str]
) -> None:
    identity = f"{abs(hash(str(more))) % 10**6:06d}"
    made(cluster, SECRETS, _bootstrap_secret(identity, **more))
    assert _who(cluster, f"{identity}.0123456789abcdef") == 401


def test_the_issuers_documents_are_for_service_accounts(cluster: Cluster, namespace: str) -> None:
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    made(cluster, accounts, named("reader"))
    token = made(cluster, f"{accounts}/reader/token", {})["status"]["token"]
    headers = {"Authorization": f"Bearer {token}"}
    found = cluster.call("GET", "/.well-known/openid-configuration", headers=headers)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert found.json["issuer"] == claims["iss"]
    assert found.json["id_token_signing_alg_values_supported"] == ["ES256"]
    keys = cluster.call("GET", "/openid/v1/jwks", headers=headers)
    assert keys.headers["content-type"] == "application/jwk-set+json"
    key = jwt.PyJWKSet.from_dict(keys.json)[jwt.get_unverified_header(token)["kid"]]
    jwt.decode(token, key.key, algorithms=["ES256"], audience=claims["aud"])
    nobody = {"Authorization": ""}
    assert cluster.call("GET", "/openid/v1/jwks", headers=nobody).code == 403


def test_a_token_of_a_pod_tells_of_its_node(cluster: Cluster, namespace: str) -> None:
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    made(cluster, accounts, named("a"))
    node = made(cluster, "/api/v1/nodes", named(f"node-{namespace}"))
    obj = pod("p", node["metadata"]["name"])
    obj["spec"]["serviceAccountName"] = "a"
    made(cluster, f"/api/v1/namespaces/{namespace}/pods", obj)
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "p"}
    spec = {"boundObjectRef": reference, "expirationSeconds": 3607}
    answer = made(cluster, f"{accounts}/a/token", {"spec": spec})
    claims = jwt.decode(answer["status"]["token"], options={"verify_signature": False})
    private = claims["kubernetes.io"]
    assert private["node"] == {
        "name": node["metadata"]["name"],
        "uid": node["metadata"]["uid"],
    }
    # Clients that never read a token again get a year, and are told of only by the warning time.
    assert private["warnafter"] - claims["iat"] == 3607
    assert claims["exp"] - claims["iat"] == 365 * 24 * 3600
    extra = _who(cluster, answer["status"]["token"])["extra"]
    assert extra["authentication.kubernetes.io/node-name"] == [node["metadata"]["name"]]


def _account_claims(cluster: Cluster, key: Any, name: str, **changes: Any) -> str:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    found = cluster.call("GET", f"{accounts}/{name}")
    account = found.json if found.code == 200 else made(cluster, accounts, named(name))
    token = made(cluster, f"{accounts}/{name}/token", {})["status"]["token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["kubernetes.io"]["serviceaccount"]["uid"] == account["metadata"]["uid"]
    algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    return jwt.encode({**claims, **changes}, key, algorithm)


def test_tokens_of_an_earlier_key_are_taken_and_of_no_other(
    trusting: Cluster, old_key: rsa.RSAPrivateKey
) -> None:
    token = _account_claims(trusting, old_key, "rotated")
    assert _who(trusting, token)["username"] == "system:serviceaccount:default:rotated"
    stranger = ec.generate_private_key(ec.SECP256R1())
    assert _who(trusting, _account_claims(trusting, stranger, "rotated")) == 401
    expired = _account_claims(trusting, old_key, "rotated", exp=int(time.time()) - 1)
    assert _who(trusting, expired) == 401
    early = _account_claims(trusting, old_key, "rotated", nbf=int(time.time()) + 3600)
    assert _who(trusting, early) == 401
    odd = _account_claims(trusting, old_key, "rotated", sub="system:serviceaccount:default:x")
    assert _who(trusting, odd) == 401


def test_a_token_kept_in_a_secret_is_good_as_long_as_the_secret_holds_it(
    trusting: Cluster, old_key: rsa.RSAPrivateKey
) -> None:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    account = made(trusting, accounts, named("legacy"))
    flat = "kubernetes.io/serviceaccount"
    claims = {
        "iss": "kubernetes/serviceaccount",
        f"{flat}/namespace": "default",
        f"{flat}/secret.name": "legacy-token",
        f"{flat}/service-account.name": "legacy",
        f"{flat}/service-account.uid": account["metadata"]["uid"],
        "sub": "system:serviceaccount:default:legacy",
    }
    token = jwt.encode(claims, old_key, "RS256")
    assert _who(trusting, token) == 401
    secret = {
        **named("legacy-token"),
        "data": {"token": base64.b64encode(token.encode()).decode()},
    }
    secrets = "/api/v1/namespaces/default/secrets"
    made(trusting, secrets, secret)
    assert _who(trusting, token)["username"] == "system:serviceaccount:default:legacy"
    assert trusting.call("DELETE", f"{secrets}/legacy-token").code == 200
    assert _who(trusting, token) == 401


def test_a_token_of_the_issuer_names_a_user(trusting: Cluster, issuer: TokenIssuer) -> None:
    token = issuer.token(email="jo@example.com", groups=["dev"], team="red")
    found = _who(trusting, token)
    assert (found["username"], found["groups"]) == (
        "jo@example.com",
        ["oidc:dev", "system:authenticated"],
    )


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "jo@example.com"},
        {"email": "jo@example.com", "team": "blue"},
        {"email": "jo@example.com", "team": "red", "aud": "others"},
        {"email": "jo@example.com", "team": "red", "email_verified": False},
        {"email": "jo@example.com", "team": "red", "groups": [1]},
        {"email": 7, "team": "red"},
        {"team": "red"},
        {"email": "jo@example.com", "team": "red", "exp": 1},
        {"email": "jo@example.com", "team": "red", "iss": "https://example.com"},
    ],
)
def test_a_token_of_the_issuer_with_wrong_claims_names_nobody(
    trusting: Cluster, issuer: TokenIssuer, claims: Json
) -> None:
    assert _who(trusting, issuer.token(**claims)) == 401


def test_a_new_key_of_the_issuer_is_fetched_when_it_is_first_seen(
    trusting: Cluster, issuer: TokenIssuer
) -> None:
    claims = {"email": "jo@example.com", "team": "red"}
    before = issuer.token(**claims)
    assert _who(trusting, before)["username"] == "jo@example.com"
    # It is not asked more often than every ten seconds.
    issuer.rotate()
    deadline_s = time.monotonic() + 30
    while _who(trusting, issuer.token(**claims)) == 401:
        assert time.monotonic() < deadline_s
    assert _who(trusting, issuer.forged(**claims)) == 401


def test_kubectl_logs_in_with_a_token_of_the_issuer(
    trusting: Cluster, issuer: TokenIssuer, tmp_path: Path
) -> None:
    token = issuer.token(email="jo@example.com", team="red")
    shown = trusting.kubectl(
        "--kubeconfig", str(_without_user(trusting, tmp_path)), "--token", token, "auth", "whoami"
    )
    assert "jo@example.com" in shown.stdout


def _without_user(cluster: Cluster, directory: Path) -> Path:
    path = directory / "kubeconfig"
    path.write_text(cluster.kubeconfig.read_text())
    cluster.kubectl("--kubeconfig", str(path), "config", "set-credentials", "none")
    cluster.kubectl("--kubeconfig", str(path), "config", "set-context", "--current", "--user=none")
    return path
