"""CertificateSigningRequest and ClusterTrustBundle.

Who asks (spec.username, uid, groups, extra) is filled in by the verbs from the request's user. The
approval subresource's check is `validate_approval`; the status's may set a certificate once.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from apiserver.types.formats import is_dns1123_subdomain
from apiserver.types.hooks import TypeHooks
from apiserver.types.meta import check_string, validate_immutable
from kube.field import FieldError, duplicate, forbidden, invalid, not_supported, quote, required
from kube.json_types import JsonObject

LEGACY_SIGNER: Final = "kubernetes.io/legacy-unknown"
USAGES: Final = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)
EXPIRATION_S_MIN: Final = 600
_ONLY_TRUE: Final = frozenset({"Approved", "Denied", "Failed"})
_DECISIONS: Final = ("Approved", "Denied")
_CONDITIONS: Final = "status.conditions"


def _any_name(_name: str, _prefix: object) -> list[str]:
    return []


def _request_fault(encoded: str) -> str:
    """Return why a PEM request, in base64, cannot be taken, or ""."""
    try:
        pem = base64.b64decode(encoded)
    except binascii.Error:
        pem = b""
    if b"-----BEGIN CERTIFICATE REQUEST-----" not in pem:
        return "PEM block type must be CERTIFICATE REQUEST"
    try:
        if not x509.load_pem_x509_csr(pem).is_signature_valid:
            return "x509: invalid signature"
    except (ValueError, InvalidSignature) as error:
        return f"x509: malformed certificate request: {error}"
    return ""


def _certificate_fault(encoded: str) -> str:
    try:
        pem = base64.b64decode(encoded)
        x509.load_pem_x509_certificates(pem)
    except (binascii.Error, ValueError):
        return "must contain at least one CERTIFICATE PEM block"
    return ""


def signer_name_errors(name: str, path: str) -> list[FieldError]:
    """Check a signer's name: a domain and a path, `example.com/my-signer`."""
    if not name:
        return [required(path)]
    host, slash, rest = name.partition("/")
    if not slash or "/" in rest:
        text = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        return [invalid(path, name, text)]
    errors: list[FieldError] = []
    if host.count(".") < 1:
        text = "should be a domain with at least two segments separated by dots"
        errors.append(invalid(path, host, text))
    for part, labels in ((host, [host]), (rest, rest.split("."))):
        errors.extend(
            invalid(path, part, f"validating label {quote(label)}: {fault}")
            for label in labels
            for fault in is_dns1123_subdomain(label)
        )
    return errors


def _condition_errors(conditions: list[JsonObject]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        path, kind = f"{_CONDITIONS}[{index}]", condition.get("type", "")
        if not kind:
            errors.append(required(f"{path}.type"))
        allowed = ("True",) if kind in _ONLY_TRUE else ("False", "True", "Unknown")
        status = condition.get("status", "")
        if not status:
            errors.append(required(f"{path}.status"))
        elif status not in allowed:
            errors.append(not_supported(f"{path}.status", status, allowed))
        if kind in _DECISIONS and seen & (set(_DECISIONS) - {kind}):
            text = "Approved and Denied conditions are mutually exclusive"
            errors.append(invalid(f"{path}.type", kind, text))
        if kind in seen:
            errors.append(duplicate(f"{path}.type", kind))
        seen.add(kind)
    return errors


def _spec_errors(spec: JsonObject) -> list[FieldError]:
    request = spec.get("request") or ""
    errors: list[FieldError] = []
    if fault := _request_fault(request):
        errors.append(invalid("spec.request", request or None, fault))
    usages = spec.get("usages") or []
    if not usages:
        errors.append(required("spec.usages"))
    for index, usage in enumerate(usages):
        path = f"spec.usages[{index}]"
        if usage not in USAGES:
            errors.append(not_supported(path, usage, USAGES))
        if usage in usages[:index]:
            errors.append(duplicate(path, usage))
    signer = spec.get("signerName", "")
    if signer == LEGACY_SIGNER:
        text = "the legacy signerName is not allowed via this API version"
        errors.append(invalid("spec.signerName", signer, text))
    else:
        errors += signer_name_errors(signer, "spec.signerName")
    expiry_s = spec.get("expirationSeconds")
    if expiry_s is not None and expiry_s < EXPIRATION_S_MIN:
        text = "may not specify a duration less than 600 seconds (10 minutes)"
        errors.append(invalid("spec.expirationSeconds", expiry_s, text))
    return errors


def validate(obj: JsonObject) -> list[FieldError]:
    """Check a new CertificateSigningRequest."""
    status = obj.get("status", {})
    errors = _spec_errors(obj.get("spec", {})) + _condition_errors(status.get("conditions") or [])
    certificate = status.get("certificate")
    if certificate and (fault := _certificate_fault(certificate)):
        errors.append(invalid("status.certificate", "<certificate data>", fault))
    return errors


def prepare_create(obj: JsonObject) -> None:
    """Start undecided: nobody creates an approved request."""
    obj["status"] = {}


def prepare_update(new: JsonObject, old: JsonObject) -> None:
    """Keep the spec, which is signed over and never changes."""
    new["spec"] = old.get("spec", {})


def prepare_status(new: JsonObject, old: JsonObject) -> None:
    """Keep decisions as they were made, if the new status has as many of them."""
    conditions = new.get("status", {}).get("conditions") or []
    for kind in _DECISIONS:
        before = _found(old, kind)
        places = [index for index, one in enumerate(conditions) if one.get("type") == kind]
        if len(places) == len(before):
            for index, decision in zip(places, before, strict=True):
                conditions[index] = decision


def stamp_status(new: JsonObject, old: JsonObject, now: str) -> None:
    """Set the times of conditions that have none; a transition is one of type and status."""
    for condition in new.get("status", {}).get("conditions") or ():
        condition.setdefault("lastUpdateTime", now)
        if "lastTransitionTime" not in condition:
            same = (
                one.get("lastTransitionTime")
                for one in _found(old, condition.get("type", ""))
                if one.get("status") == condition.get("status")
            )
            condition["lastTransitionTime"] = next(filter(None, same), now)


def _found(obj: JsonObject, kind: str) -> list[JsonObject]:
    conditions = obj.get("status", {}).get("conditions") or []
    return [condition for condition in conditions if condition.get("type") == kind]


def _removal_errors(new: JsonObject, old: JsonObject) -> list[FieldError]:
    return [
        forbidden(_CONDITIONS, f"updates may not remove a condition of type {quote(kind)}")
        for kind in (*_DECISIONS, "Failed")
        if len(_found(new, kind)) < len(_found(old, kind))
    ]


def _decision_errors(new: JsonObject, old: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    for kind in _DECISIONS:
        after, before = _found(new, kind), _found(old, kind)
        if len(after) > len(before):
            text = f"updates may not add a condition of type {quote(kind)}"
            errors.append(forbidden(_CONDITIONS, text))
        elif len(after) == len(before) and after != before:
            text = f"updates may not modify a condition of type {quote(kind)}"
            errors.append(forbidden(_CONDITIONS, text))
    return errors


def _certificate_change(new: JsonObject, old: JsonObject, text: str) -> list[FieldError]:
    after = new.get("status", {}).get("certificate") or ""
    before = old.get("status", {}).get("certificate") or ""
    return [forbidden("status.certificate", text)] if text and after != before else []


def validate_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check a request that is to replace `old`: it decides and issues nothing."""
    text = "updates may not set certificate content"
    errors = _removal_errors(new, old) + _decision_errors(new, old)
    return errors + _certificate_change(new, old, text)


def validate_status(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check a status: a certificate may be issued once, decisions stay."""
    issued = bool(old.get("status", {}).get("certificate"))
    text = "updates may not modify existing certificate content" if issued else ""
    errors = validate(new) + _removal_errors(new, old) + _decision_errors(new, old)
    return errors + _certificate_change(new, old, text)


def validate_approval(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check an approval: decisions may be added, certificates not."""
    text = "updates may not set certificate content"
    errors = validate(new) + _removal_errors(new, old)
    return errors + _certificate_change(new, old, text)


def _signer(obj: JsonObject) -> str:
    return str(obj.get("spec", {}).get("signerName", ""))


def _pod_name(obj: JsonObject) -> str:
    return str(obj.get("spec", {}).get("podName", ""))


def _node_name(obj: JsonObject) -> str:
    return str(obj.get("spec", {}).get("nodeName", ""))


def validate_bundle(obj: JsonObject) -> list[FieldError]:
    """Check a ClusterTrustBundle: its signer's name is the prefix of its own."""
    spec = obj.get("spec", {})
    signer, name = spec.get("signerName", ""), obj.get("metadata", {}).get("name", "")
    errors: list[FieldError] = []
    if signer:
        errors += signer_name_errors(signer, "spec.signerName")
        prefix = f"{signer.replace('/', ':')}:"
        if not name.startswith(prefix):
            text = f"ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}"
            errors.append(invalid("metadata.name", name, text))
    elif ":" in name:
        text = 'ClusterTrustBundle without signer name must not have ":" in its name'
        errors.append(invalid("metadata.name", name, text))
    if not spec.get("trustBundle"):
        errors.append(invalid("spec.trustBundle", "", "at least one trust anchor must be provided"))
    return errors


def _validate_bundle_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    key = "spec.signerName"
    return validate_bundle(new) + validate_immutable(_signer(new), _signer(old), key)


def _bundle_name(name: str, _prefix: object) -> list[str]:
    return [fault for part in name.split(":") for fault in is_dns1123_subdomain(part)]


def _validate_pod_request(obj: JsonObject) -> list[FieldError]:
    spec = obj.get("spec", {})
    errors = signer_name_errors(spec.get("signerName", ""), "spec.signerName")
    for key in ("podName", "serviceAccountName", "nodeName"):
        errors += check_string(spec.get(key, ""), f"spec.{key}", is_dns1123_subdomain)
    return errors


_GROUP: Final = "certificates.k8s.io"

HOOKS: Final = {
    f"{_GROUP}/certificatesigningrequests": TypeHooks(
        prepare_create=prepare_create,
        validate_create=validate,
        prepare_update=prepare_update,
        validate_update=validate_update,
        prepare_status=prepare_status,
        stamp_status=stamp_status,
        validate_status=validate_status,
        name_check=_any_name,
        fields={"spec.signerName": _signer},
        has_status=True,
    ),
    f"{_GROUP}/clustertrustbundles": TypeHooks(
        validate_create=validate_bundle,
        validate_update=_validate_bundle_update,
        name_check=_bundle_name,
        fields={"spec.signerName": _signer},
        allow_unconditional_update=False,
    ),
    f"{_GROUP}/podcertificaterequests": TypeHooks(
        prepare_create=prepare_create,
        validate_create=_validate_pod_request,
        validate_update=lambda new, old: validate_immutable(
            new.get("spec"), old.get("spec"), "spec"
        ),
        fields={
            "spec.signerName": _signer,
            "spec.podName": _pod_name,
            "spec.nodeName": _node_name,
        },
        has_status=True,
        allow_unconditional_update=False,
    ),
}
