"""Tokens of service accounts, and the approval of certificate signing requests."""

from __future__ import annotations

import base64
import time
from functools import cache
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.integration.api_calls import (
    UNKNOWN_UID,
    Collection,
    Json,
    check_status,
    collection,
    named,
    pod,
)
from tests.integration.cluster import Answer, Cluster

REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


@pytest.fixture
def accounts(cluster: Cluster, namespace: str) -> Collection:
    """Service accounts of a new namespace; it has one named "a"."""
    found = collection(cluster, namespace, "serviceaccounts")
    found.made(named("a"))
    return found


def _request(accounts: Collection, body: Json, name: str = "a", query: str = "") -> Answer:
    return accounts.cluster.call("POST", f"{accounts.path}/{name}/token{query}", body)


def _claims(answer: Answer) -> Any:
    assert answer.code == 201, answer.body
    return jwt.decode(answer.json["status"]["token"], options={"verify_signature": False})


def test_a_token_is_for_the_account_and_can_be_used(
    cluster: Cluster, namespace: str, accounts: Collection
) -> None:
    uid = accounts.get("a").json["metadata"]["uid"]
    before_s = int(time.time())
    answer = _request(accounts, {})
    made = answer.json
    assert (made["kind"], made["apiVersion"]) == ("TokenRequest", "authentication.k8s.io/v1")
    metadata = made["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("a", namespace)
    assert made["spec"]["expirationSeconds"] == 3600
    claims = _claims(answer)
    assert claims["aud"] == made["spec"]["audiences"]
    assert claims["exp"] - claims["iat"] == 3600
    assert claims["iat"] >= before_s
    assert claims["sub"] == f"system:serviceaccount:{namespace}:a"
    assert claims["kubernetes.io"] == {
        "namespace": namespace,
        "serviceaccount": {"name": "a", "uid": uid},
    }
    headers = {"Authorization": f"Bearer {made['status']['token']}"}
    review = cluster.call("POST", REVIEWS, {}, headers=headers).json["status"]["userInfo"]
    assert (review["username"], review["uid"]) == (claims["sub"], uid)
    assert review["groups"] == [
        "system:serviceaccounts",
        f"system:serviceaccounts:{namespace}",
        "system:authenticated",
    ]


def test_a_token_takes_audiences_and_a_lifetime(cluster: Cluster, accounts: Collection) -> None:
    spec = {"audiences": ["vault"], "expirationSeconds": 600}
    answer = _request(accounts, {"spec": spec})
    assert answer.json["spec"] == spec
    claims = _claims(answer)
    assert (claims["aud"], claims["exp"] - claims["iat"]) == (["vault"], 600)
    # It is for others, not for this server.
    headers = {"Authorization": f"Bearer {answer.json['status']['token']}"}
    check_status(
        cluster.call("POST", REVIEWS, {}, headers=headers), 401, "Unauthorized", "Unauthorized"
    )


@pytest.mark.parametrize(
    ("lifetime_s", "fault"),
    [
        (599, "may not specify a duration less than 10 minutes"),
        (2**32 + 1, "may not specify a duration larger than 2^32 seconds"),
    ],
)
def test_a_lifetime_out_of_bounds_is_invalid(
    accounts: Collection, lifetime_s: int, fault: str
) -> None:
    answer = _request(accounts, {"spec": {"expirationSeconds": lifetime_s}})
    message = (
        'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: '
        f"Invalid value: {lifetime_s}: {fault}"
    )
    check_status(answer, 422, "Invalid", message)


def test_a_token_request_for_another_name_is_refused(accounts: Collection) -> None:
    message = (
        'TokenRequest.authentication.k8s.io "a" is invalid: metadata.name: Invalid value: "b": '
        "must match the service account name if specified"
    )
    check_status(_request(accounts, named("b")), 422, "Invalid", message)
    absent = _request(accounts, {}, name="absent")
    check_status(absent, 404, "NotFound", 'serviceaccounts "absent" not found')


def test_a_token_bound_to_a_pod_ends_with_it(
    cluster: Cluster, namespace: str, accounts: Collection
) -> None:
    pods = collection(cluster, namespace, "pods")
    body = pod("p")
    body["spec"]["serviceAccountName"] = "a"
    uid = pods.made(body)["metadata"]["uid"]
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": uid}
    answer = _request(accounts, {"spec": {"boundObjectRef": reference}})
    assert _claims(answer)["kubernetes.io"]["pod"] == {"name": "p", "uid": uid}
    headers = {"Authorization": f"Bearer {answer.json['status']['token']}"}
    info = cluster.call("POST", REVIEWS, {}, headers=headers).json["status"]["userInfo"]
    assert info["extra"]["authentication.kubernetes.io/pod-name"] == ["p"]
    pods.delete("p", {"gracePeriodSeconds": 0})
    assert cluster.call("POST", REVIEWS, {}, headers=headers).code == 401


def test_a_token_is_not_bound_to_what_does_not_fit(
    cluster: Cluster, namespace: str, accounts: Collection
) -> None:
    collection(cluster, namespace, "pods").made(pod("p"))
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "p"}
    others = _request(accounts, {"spec": {"boundObjectRef": reference}})
    message = (
        'cannot bind token for serviceaccount "a" to pod running with different serviceaccount '
        "name."
    )
    check_status(others, 400, "BadRequest", message)
    gone = _request(accounts, {"spec": {"boundObjectRef": {**reference, "name": "x"}}})
    check_status(gone, 404, "NotFound", 'pods "x" not found')
    kind = {"kind": "ConfigMap", "apiVersion": "v1", "name": "x"}
    wrong = _request(accounts, {"spec": {"boundObjectRef": kind}})
    message = "cannot bind token to object of type /v1, Kind=ConfigMap"
    check_status(wrong, 400, "BadRequest", message)


def test_a_token_is_not_bound_to_another_object_of_the_name(
    cluster: Cluster, namespace: str, accounts: Collection
) -> None:
    collection(cluster, namespace, "secrets").made(named("s"))
    reference = {"kind": "Secret", "apiVersion": "v1", "name": "s", "uid": UNKNOWN_UID}
    answer = _request(accounts, {"spec": {"boundObjectRef": reference}})
    details = check_status(
        answer,
        409,
        "Conflict",
        'Operation cannot be fulfilled on Secret "s": the UID in the bound object reference '
        f"({UNKNOWN_UID}) does not match the UID in record. The object might have been deleted "
        "and then recreated",
    )
    assert details == {"name": "s", "kind": "Secret"}


@cache
def _signing_request() -> str:
    """Return a certificate signing request as the API takes it."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jane")])
    key = ec.generate_private_key(ec.SECP256R1())
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


@pytest.fixture
def requests(cluster: Cluster) -> Any:
    """Certificate signing requests; there is one named "csr", which is removed in the end."""
    found = collection(cluster, "", "certificatesigningrequests", "certificates.k8s.io/v1")
    spec = {
        "request": _signing_request(),
        "signerName": "example.com/signer",
        "usages": ["client auth"],
        "username": "somebody else",
    }
    found.made(named("csr", spec=spec, status={"conditions": [_decision("Approved")]}))
    yield found
    found.delete("csr")


def _decision(kind: str, **more: str) -> Json:
    return {"type": kind, "status": "True", "reason": "Test", **more}


def _decide(requests: Collection, *conditions: Json, part: str = "approval") -> Answer:
    current = requests.get("csr").json
    current["status"]["conditions"] = list(conditions)
    return requests.put(f"csr/{part}", current)


def test_a_signing_request_names_its_author_and_starts_undecided(requests: Collection) -> None:
    made = requests.get("csr").json
    assert (made["spec"]["username"], made["status"]) == ("tester", {})


def test_approval_sets_conditions_and_their_times_alone(requests: Collection) -> None:
    current = requests.get("csr").json
    current["spec"]["usages"] = ["server auth"]
    current["status"] = {"conditions": [_decision("Approved")]}
    answer = requests.put("csr/approval", current)
    assert answer.code == 200, answer.body
    approved = answer.json
    assert approved["spec"]["usages"] == ["client auth"]
    (condition,) = approved["status"]["conditions"]
    assert {"lastUpdateTime", "lastTransitionTime"} <= condition.keys()
    assert requests.get("csr/approval").json == requests.get("csr").json == approved


def test_a_decision_is_made_by_approval_only(requests: Collection) -> None:
    forbidden = (
        'CertificateSigningRequest.certificates.k8s.io "csr" is invalid: status.conditions: '
        'Forbidden: updates may not add a condition of type "Approved"'
    )
    answer = _decide(requests, _decision("Approved"), part="status")
    check_status(answer, 422, "Invalid", forbidden)
    patch = {"status": {"conditions": [_decision("Approved")]}}
    patched = requests.patch("csr/approval", patch)
    assert patched.json["status"]["conditions"][0]["type"] == "Approved"


def test_a_decision_stays(requests: Collection) -> None:
    (first,) = _decide(requests, _decision("Denied")).json["status"]["conditions"]
    answer = _decide(requests)
    assert answer.code == 422
    assert 'updates may not remove a condition of type "Denied"' in answer.json["message"]
    both = _decide(requests, _decision("Denied"), _decision("Approved"))
    assert "Approved and Denied conditions are mutually exclusive" in both.json["message"]
    # A status update takes the decision from what is stored.
    again = _decide(requests, _decision("Denied", message="other"), part="status")
    assert again.json["status"]["conditions"] == [first]


def test_a_certificate_is_issued_by_status_only(requests: Collection) -> None:
    patch = {"status": {"certificate": base64.b64encode(b"nothing").decode()}}
    answer = requests.patch("csr/status", patch)
    assert answer.code == 422
    assert "status.certificate" in answer.json["message"]
    answer = requests.patch("csr/approval", patch)
    # The approval subresource looks at conditions alone.
    assert (answer.code, "certificate" in answer.json["status"]) == (200, False)
