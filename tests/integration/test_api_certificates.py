"""Certificate requests: approved by who may, signed by the cluster, good for logging in."""

from __future__ import annotations

import base64
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier

from tests.integration.api_calls import Json, check_status, named
from tests.integration.cluster import Cluster
from tests.integration.personas import GROUP, RBAC, Persona, grant, made, persona, rule

PATH = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
CERTIFICATES = "certificates.k8s.io"
CLIENT = "kubernetes.io/kube-apiserver-client"
CLIENT_USAGES = ["client auth", "digital signature"]
PATIENCE_S = 30.0
Key = ec.EllipticCurvePrivateKey


def _request(
    name: str,
    *,
    organization: str = "",
    signer: str = CLIENT,
    usages: list[str] = CLIENT_USAGES,
    uid: str = "",
    names: tuple[str, ...] = (),
) -> tuple[Json, Key]:
    """Return a CertificateSigningRequest and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if organization:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    if uid:
        parts.append(x509.NameAttribute(ObjectIdentifier("1.3.6.1.4.1.57683.2"), uid))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(parts))
    if names:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(one) for one in names])
        builder = builder.add_extension(alternatives, critical=False)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    spec = {
        "request": base64.b64encode(pem).decode(),
        "signerName": signer,
        "usages": usages,
        "expirationSeconds": 3600,
    }
    return {**named(f"csr-{persona_number()}"), "spec": spec}, key


def persona_number() -> str:
    """Return a text that no other test has."""
    return f"{time.monotonic_ns()}"


def _until(cluster: Cluster, name: str, key: str) -> Any:
    """Return a part of a request's status, as soon as it is there."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        status = cluster.call("GET", f"{PATH}/{name}").json.get("status") or {}
        if key in status:
            return status[key]
        assert time.monotonic() < deadline_s, status


def _approval(obj: Json) -> Json:
    condition = {"type": "Approved", "status": "True", "reason": "Test", "message": "fine"}
    return {**obj, "status": {"conditions": [condition]}}


def _who(cluster: Cluster, certificate: bytes, key: Key, directory: Path) -> Any:
    """Ask who one is, with a client certificate."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    authority = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"])
    context = ssl.create_default_context(cadata=authority.decode())
    (directory / "c.pem").write_bytes(
        certificate
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context.load_cert_chain(directory / "c.pem")
    request = urllib.request.Request(
        f"{cluster.url}/apis/authentication.k8s.io/v1/selfsubjectreviews",
        data=b"{}",
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    with opener.open(request, timeout=20) as answer:
        return orjson.loads(answer.read())["status"]["userInfo"]


def test_kubectl_approves_and_the_certificate_logs_in(cluster: Cluster, tmp_path: Path) -> None:
    obj, key = _request("jane", organization="devs", uid="u-1")
    made(cluster, PATH, obj)
    name = obj["metadata"]["name"]
    assert "approved" in cluster.kubectl("certificate", "approve", name).stdout
    certificate = base64.b64decode(_until(cluster, name, "certificate"))
    parsed = x509.load_pem_x509_certificate(certificate)
    lasts_s = (parsed.not_valid_after_utc - parsed.not_valid_before_utc).total_seconds()
    assert lasts_s == 3600 + 300
    found = _who(cluster, certificate, key, tmp_path)
    assert (found["username"], found["uid"]) == ("jane", "u-1")
    assert found["groups"] == ["devs", "system:authenticated"]
    digest = parsed.fingerprint(hashes.SHA256()).hex()
    assert found["extra"] == {
        "authentication.kubernetes.io/credential-id": [f"X509SHA256={digest}"]
    }


def test_a_denied_request_is_not_signed(cluster: Cluster) -> None:
    obj, _ = _request("jane")
    made(cluster, PATH, obj)
    name = obj["metadata"]["name"]
    cluster.kubectl("certificate", "deny", name)
    shown = cluster.kubectl("get", "csr", name).stdout
    assert "Denied" in shown
    assert "certificate" not in cluster.call("GET", f"{PATH}/{name}").json["status"]


@pytest.fixture
def approver(cluster: Cluster) -> Persona:
    """One who may write approvals and status, but of no signer."""
    user = persona(cluster)
    parts = "certificatesigningrequests/approval certificatesigningrequests/status"
    grant(user, "", rule("get update patch", parts, CERTIFICATES))
    return user


def test_approving_and_signing_is_asked_for_each_signer(
    cluster: Cluster, approver: Persona
) -> None:
    obj, _ = _request("jane", signer="example.com/mine")
    stored = made(cluster, PATH, obj)
    name = obj["metadata"]["name"]
    refused = approver.call("PUT", f"{PATH}/{name}/approval", _approval(stored))
    message = (
        f'certificatesigningrequests.{CERTIFICATES} "{name}" is forbidden: user not permitted to '
        'approve requests with signerName "example.com/mine"'
    )
    check_status(refused, 403, "Forbidden", message)
    grant(approver, "", rule("approve", "signers", CERTIFICATES, names="example.com/*"))
    approved = approver.call("PUT", f"{PATH}/{name}/approval", _approval(stored))
    assert approved.code == 200
    failed = {"type": "Failed", "status": "True", "reason": "Test", "message": "x"}
    status = {**approved.json["status"]}
    status["conditions"] = [*status["conditions"], failed]
    whole = {**approved.json, "status": status}
    refused = approver.call("PUT", f"{PATH}/{name}/status", whole)
    message = message.replace("to approve", "to sign")
    check_status(refused, 403, "Forbidden", message)
    grant(approver, "", rule("sign", "signers", CERTIFICATES, names="example.com/mine"))
    assert approver.call("PUT", f"{PATH}/{name}/status", whole).code == 200


def test_nobody_requests_a_certificate_of_masters(cluster: Cluster) -> None:
    obj, _ = _request("jane", organization="system:masters")
    message = (
        f'certificatesigningrequests.{CERTIFICATES} "{obj["metadata"]["name"]}" is forbidden: use '
        f"of {CLIENT} signer with system:masters group is not allowed"
    )
    check_status(cluster.call("POST", PATH, obj), 403, "Forbidden", message)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"usages": ["server auth"]}, "usages did not match"),
        ({"signer": f"{CLIENT}-kubelet"}, "subject organization is not system:nodes"),
        (
            {"signer": "kubernetes.io/kubelet-serving", "usages": ["server auth"]},
            "common name and username do not match",
        ),
    ],
)
def test_what_a_signer_does_not_sign_fails(cluster: Cluster, changes: Json, why: str) -> None:
    obj, _ = _request("jane", **changes)
    stored = made(cluster, PATH, obj)
    name = obj["metadata"]["name"]
    assert cluster.call("PUT", f"{PATH}/{name}/approval", _approval(stored)).code == 200
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        status = cluster.call("GET", f"{PATH}/{name}").json["status"]
        failed = [one for one in status["conditions"] if one["type"] == "Failed"]
        if failed:
            break
        assert time.monotonic() < deadline_s, status
    assert failed[0]["reason"] == "SignerValidationFailure"
    assert why in failed[0]["message"]
    assert "certificate" not in status


def test_a_joining_node_is_approved_by_itself_and_so_is_its_renewal(
    cluster: Cluster, tmp_path: Path
) -> None:
    for role in ("node-bootstrapper", "nodeclient", "selfnodeclient"):
        whole = f"system:certificates.k8s.io:certificatesigningrequests:{role}"
        whole = f"system:{role}" if role == "node-bootstrapper" else whole
        group = "system:nodes" if role == "selfnodeclient" else "system:bootstrappers"
        binding = {
            **named(f"join-{role}"),
            "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": whole},
            "subjects": [{"apiGroup": GROUP, "kind": "Group", "name": group}],
        }
        made(cluster, f"{RBAC}/clusterrolebindings", binding)
    node = f"system:node:{persona(cluster).name}"
    obj, key = _request(node, organization="system:nodes", signer=f"{CLIENT}-kubelet")
    joining = {"Impersonate-User": "system:bootstrap:abcdef"}
    joining["Impersonate-Group"] = "system:bootstrappers"
    answer = cluster.call("POST", PATH, obj, headers=joining)
    assert answer.code == 201, answer.body
    certificate = base64.b64decode(_until(cluster, obj["metadata"]["name"], "certificate"))
    found = _who(cluster, certificate, key, tmp_path)
    assert (found["username"], found["groups"][0]) == (node, "system:nodes")
    renewal, _ = _request(node, organization="system:nodes", signer=f"{CLIENT}-kubelet")
    itself = {"Impersonate-User": node, "Impersonate-Group": "system:nodes"}
    answer = cluster.call("POST", PATH, renewal, headers=itself)
    assert answer.code == 201, answer.body
    name = renewal["metadata"]["name"]
    _until(cluster, name, "certificate")
    conditions = cluster.call("GET", f"{PATH}/{name}").json["status"]["conditions"]
    assert conditions[0]["reason"] == "AutoApproved"
    assert "self kubelet client certificate" in conditions[0]["message"]
