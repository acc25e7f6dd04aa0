"""Certificates: who may approve, sign and attest, asked for each signer by name.

The verbs `approve`, `sign` and `attest` on `signers`, with the signer's name or its domain and
`/*`; and nobody requests a certificate of a master, whoever might approve it by mistake.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from apiserver.admission.attributes import CREATE, UPDATE, Attributes
from apiserver.admission.chain import Plugin
from apiserver.admission.requesters import SIGNING_REQUESTS
from apiserver.authn import MASTERS
from apiserver.authz import Attributes as Asked
from apiserver.authz import Authorizer
from apiserver.resources import Resource
from kube.field import quote
from kube.json_types import JsonObject

_GROUP: Final = "certificates.k8s.io"
_BUNDLES: Final = f"{_GROUP}/clustertrustbundles"
CLIENT_SIGNER: Final = "kubernetes.io/kube-apiserver-client"
_GC_KEYS: Final = frozenset({"finalizers", "managedFields", "ownerReferences", "resourceVersion"})


class _OfSigners(Plugin):
    """What the three plugins that ask about signers have in common."""

    validates = True

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def _check(
        self, attributes: Attributes, verb: str, signer: str, why: str
    ) -> Awaitable[None] | None:
        """Refuse a user who does not have the verb; None: that user has.

        Raises:
            StatusError: 403.
        """
        if any(self._authorizer.allows(attributes.user, asked) for asked in _asked(verb, signer)):
            return None
        return self._check_later(attributes, verb, signer, why)

    async def _check_later(self, attributes: Attributes, verb: str, signer: str, why: str) -> None:
        for asked in _asked(verb, signer):
            decision = await self._authorizer.decide_at_last(attributes.user, asked)
            if decision.allowed:
                return
        raise attributes.forbidden(f"user not permitted to {why} {quote(signer)}")


def _asked(verb: str, signer: str) -> tuple[Asked, Asked]:
    domain = f"{signer.partition('/')[0]}/*"
    one, other = (Asked(verb, _GROUP, "*", "signers", "", "", name) for name in (signer, domain))
    return one, other


class CertificateApproval(_OfSigners):
    """Approving needs the verb `approve` for the request's signer."""

    name = "CertificateApproval"

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return (resource.storage, subresource, operation) == (SIGNING_REQUESTS, "approval", UPDATE)

    def validate(self, attributes: Attributes) -> Awaitable[None] | None:
        """See Plugin."""
        assert attributes.old is not None
        signer = _signer_of(attributes.old)
        return self._check(attributes, "approve", signer, "approve requests with signerName")


class CertificateSigning(_OfSigners):
    """Signing, or saying that it failed, needs the verb `sign` for the request's signer."""

    name = "CertificateSigning"

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return (resource.storage, subresource, operation) == (SIGNING_REQUESTS, "status", UPDATE)

    def validate(self, attributes: Attributes) -> Awaitable[None] | None:
        """See Plugin."""
        new, old = attributes.obj, attributes.old
        assert new is not None
        assert old is not None
        after, before = new.get("status") or {}, old.get("status") or {}
        if all(after.get(key) == before.get(key) for key in ("certificate", "conditions")):
            return None
        return self._check(attributes, "sign", _signer_of(old), "sign requests with signerName")


class ClusterTrustBundleAttest(_OfSigners):
    """A bundle of a signer needs the verb `attest` for it, but for what collectors write."""

    name = "ClusterTrustBundleAttest"

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return resource.storage == _BUNDLES and operation in {CREATE, UPDATE}

    def validate(self, attributes: Attributes) -> Awaitable[None] | None:
        """See Plugin."""
        new, old = attributes.obj, attributes.old
        assert new is not None
        signer = _signer_of(new)
        if not signer or (old is not None and _is_for_collectors(new, old)):
            return None
        return self._check(attributes, "attest", signer, "attest for signerName")


class CertificateSubjectRestriction(Plugin):
    """Nobody requests a client certificate of the group of masters."""

    name = "CertificateSubjectRestriction"
    validates = True

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return resource.storage == SIGNING_REQUESTS and not subresource and operation == CREATE

    def validate(self, attributes: Attributes) -> None:
        """See Plugin."""
        assert attributes.obj is not None
        spec = attributes.obj.get("spec") or {}
        if spec.get("signerName") != CLIENT_SIGNER:
            return
        try:
            parsed = x509.load_pem_x509_csr(base64.b64decode(spec.get("request") or ""))
            groups = parsed.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        except (ValueError, TypeError, binascii.Error):
            return  # validation has said so
        if any(group.value == MASTERS for group in groups):
            raise attributes.forbidden(
                f"use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed"
            )


def _signer_of(obj: JsonObject) -> str:
    return str((obj.get("spec") or {}).get("signerName", ""))


def _is_for_collectors(new: JsonObject, old: JsonObject) -> bool:
    """Tell whether nothing changes but metadata that garbage collectors work with."""
    if any(new.get(key) != old.get(key) for key in new.keys() | old.keys() if key != "metadata"):
        return False
    after, before = new["metadata"], old["metadata"]
    keys = (after.keys() | before.keys()) - _GC_KEYS
    return all(after.get(key) == before.get(key) for key in keys)
