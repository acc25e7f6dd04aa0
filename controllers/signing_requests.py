"""What a certificate request asks for, and whether one of the cluster's own signers may sign it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from typing import Any, Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from kube.json_types import JsonObject

CLIENT: Final = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT: Final = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING: Final = "kubernetes.io/kubelet-serving"
SIGNERS: Final = frozenset({CLIENT, KUBELET_CLIENT, KUBELET_SERVING})
_NODE: Final = "system:node:"
_NODES: Final = ["system:nodes"]
_BASE: Final = frozenset({"digital signature", "key encipherment"})


def parse_request(csr: JsonObject) -> x509.CertificateSigningRequest | None:
    """Return the request inside, None if it cannot be read."""
    try:
        return x509.load_pem_x509_csr(base64.b64decode(csr["spec"].get("request") or ""))
    except (ValueError, TypeError, binascii.Error):
        return None


def condition_of(csr: JsonObject, kind: str) -> JsonObject | None:
    """Return a condition of a request that is true."""
    conditions = (csr.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one.get("type") == kind), None)


def names_of(request: x509.CertificateSigningRequest) -> tuple[str, list[str]]:
    """Return the common name and the organizations of a request's subject."""
    subject = request.subject
    commons = [str(one.value) for one in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = [str(one.value) for one in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    return (commons[-1] if commons else ""), groups


def alternatives_of(request: x509.CertificateSigningRequest) -> list[Any]:
    """Return a request's alternative names."""
    try:
        return list(request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except (x509.ExtensionNotFound, ValueError):
        return []


def is_of_a_kubelet(csr: JsonObject, request: x509.CertificateSigningRequest) -> bool:
    """Tell whether this is a kubelet's request for a client certificate."""
    return csr["spec"].get("signerName") == KUBELET_CLIENT and not refusal(csr, request)


def refusal(csr: JsonObject, request: x509.CertificateSigningRequest) -> str:
    """Return why a request's signer cannot sign it, "" if it can."""
    spec = csr["spec"]
    usages = frozenset(spec.get("usages") or ())
    name, groups = names_of(request)
    alternatives = alternatives_of(request)
    match spec.get("signerName"):
        case "kubernetes.io/kube-apiserver-client":
            return _usages(usages, "client auth")
        case "kubernetes.io/kube-apiserver-client-kubelet":
            if alternatives:
                return "subject alternative names are not allowed"
            return _kubelet(name, groups) or _usages(usages, "client auth")
        case "kubernetes.io/kubelet-serving":
            if name != spec.get("username"):
                return "common name and username do not match"
            kinds = (x509.DNSName, x509.IPAddress)
            if not alternatives or not all(isinstance(one, kinds) for one in alternatives):
                return "DNS or IP subjectAltName is required, and no other is allowed"
            return _kubelet(name, groups) or _usages(usages, "server auth")
        case _:
            return "no such signer"


def _kubelet(name: str, groups: list[str]) -> str:
    if groups != _NODES:
        return "subject organization is not system:nodes"
    if not name.startswith(_NODE):
        return "subject common name does not begin with system:node:"
    return ""


def _usages(usages: Collection[str], wanted: str) -> str:
    """Kubelets leave key encipherment out where their key can't do that."""
    if wanted not in usages or not frozenset(usages) <= _BASE | {wanted}:
        return "usages did not match those of this signer"
    return ""
