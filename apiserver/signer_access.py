"""Who may approve and sign certificate requests: that is asked for each signer by name.

The verbs `approve` and `sign` on `signers`, with the signer's name or its domain and `/*`; and
nobody requests a certificate of a master, whoever might approve it by mistake.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from apiserver.authn import MASTERS, User
from apiserver.authz import Attributes, Authorizer
from kube import status as st
from kube.field import quote
from kube.json_types import JsonObject

_GROUP: Final = "certificates.k8s.io"
_PLURAL: Final = "certificatesigningrequests"
SIGNING_REQUESTS: Final = f"{_GROUP}/{_PLURAL}"
CLIENT_SIGNER: Final = "kubernetes.io/kube-apiserver-client"


class SigningRequestGuard:
    """Looks at writes of CertificateSigningRequests; a Guard."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def check(self, user: User, new: JsonObject, old: JsonObject | None, part: str) -> None:
        """See Guard."""
        if old is None:
            _check_subject(new)
        elif part == "approval":
            self._check_signer(user, "approve", old)
        elif part == "status" and _signs(new, old):
            self._check_signer(user, "sign", old)

    def _check_signer(self, user: User, verb: str, request: JsonObject) -> None:
        signer = str((request.get("spec") or {}).get("signerName", ""))
        for name in (signer, f"{signer.partition('/')[0]}/*"):
            asked = Attributes(verb, _GROUP, "*", "signers", "", "", name)
            if self._authorizer.allows(user, asked):
                return
        why = f"user not permitted to {verb} requests with signerName {quote(signer)}"
        raise st.forbidden(_GROUP, _PLURAL, request["metadata"]["name"], why)


def _signs(new: JsonObject, old: JsonObject) -> bool:
    """Tell whether a status says something about the certificate that it did not before."""
    after, before = new.get("status") or {}, old.get("status") or {}
    return any(after.get(key) != before.get(key) for key in ("certificate", "conditions"))


def _check_subject(request: JsonObject) -> None:
    spec = request.get("spec") or {}
    if spec.get("signerName") != CLIENT_SIGNER:
        return
    try:
        parsed = x509.load_pem_x509_csr(base64.b64decode(spec.get("request") or ""))
        groups = parsed.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    except (ValueError, TypeError, binascii.Error):
        return  # validation will say so
    if any(group.value == MASTERS for group in groups):
        why = f"use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed"
        raise st.forbidden(_GROUP, _PLURAL, request["metadata"].get("name", ""), why)
