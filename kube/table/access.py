"""Who may do what: role bindings, certificate requests, trust bundles."""

from __future__ import annotations

from typing import Any, Final

from kube import durations
from kube.json_types import JsonObject
from kube.table.layout import AGE, NAME, Column, Layout, shows, worded
from kube.table.text import NONE, age_of, name_of


def _binding(obj: JsonObject, now_s: float) -> list[Any]:
    role = obj.get("roleRef", {})
    named: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in obj.get("subjects", ()):
        name, kind = subject.get("name", ""), subject.get("kind", "")
        if kind == "ServiceAccount":
            name = f"{subject.get('namespace', '')}/{name}"
        if kind in named:
            named[kind].append(name)
    return [
        name_of(obj),
        f"{role.get('kind', '')}/{role.get('name', '')}",
        age_of(obj, now_s),
        *(", ".join(names) for names in named.values()),
    ]


def _signing_request(obj: JsonObject, now_s: float) -> list[Any]:
    spec = obj.get("spec", {})
    lifetime_s = spec.get("expirationSeconds")
    return [
        name_of(obj),
        age_of(obj, now_s),
        spec.get("signerName") or NONE,
        spec.get("username", ""),
        NONE if lifetime_s is None else durations.human_duration(lifetime_s),
        _signing_condition(obj.get("status", {})),
    ]


def _signing_condition(status: JsonObject) -> str:
    kinds = {condition.get("type") for condition in status.get("conditions", ())}
    shown = next((kind for kind in ("Denied", "Approved") if kind in kinds), "Pending")
    if "Failed" in kinds:
        shown += ",Failed"
    return f"{shown},Issued" if status.get("certificate") else shown


def _trust_bundle(obj: JsonObject, _now_s: float) -> list[Any]:
    return [name_of(obj), obj.get("spec", {}).get("signerName") or NONE]


def _pod_certificate_request(obj: JsonObject, _now_s: float) -> list[Any]:
    spec = obj.get("spec", {})
    state = "Pending"
    for condition in obj.get("status", {}).get("conditions", ()):
        if condition.get("type") in {"Issued", "Denied", "Failed"}:
            state = condition["type"]
    shown = (spec.get(key, "") for key in ("podName", "serviceAccountName", "nodeName"))
    return [name_of(obj), *shown, spec.get("signerName", ""), state]


def _binding_columns(kind: str) -> tuple[Column, ...]:
    return (
        NAME,
        shows("Role", f"rbac.v1.{kind}.roleRef"),
        AGE,
        worded("Users", "The users among the subjects.", wide=True),
        worded("Groups", "The groups among the subjects.", wide=True),
        worded("ServiceAccounts", "The service accounts among the subjects.", wide=True),
    )


_CSR: Final = "certificates.v1.CertificateSigningRequest"
_PCR: Final = "certificates.v1.PodCertificateRequestSpec"

LAYOUTS: Final = {
    "rbac.authorization.k8s.io/rolebindings": Layout(_binding_columns("RoleBinding"), _binding),
    "rbac.authorization.k8s.io/clusterrolebindings": Layout(
        _binding_columns("ClusterRoleBinding"), _binding
    ),
    "certificates.k8s.io/certificatesigningrequests": Layout(
        columns=(
            NAME,
            AGE,
            shows("SignerName", f"{_CSR}Spec.signerName"),
            shows("Requestor", f"{_CSR}Spec.request"),
            shows("RequestedDuration", f"{_CSR}Spec.expirationSeconds"),
            shows("Condition", f"{_CSR}Status.conditions"),
        ),
        cells=_signing_request,
    ),
    "certificates.k8s.io/clustertrustbundles": Layout(
        (NAME, shows("SignerName", "certificates.v1.ClusterTrustBundleSpec.signerName")),
        _trust_bundle,
    ),
    "certificates.k8s.io/podcertificaterequests": Layout(
        columns=(
            NAME,
            shows("PodName", f"{_PCR}.podName"),
            shows("ServiceAccountName", f"{_PCR}.serviceAccountName"),
            shows("NodeName", f"{_PCR}.nodeName"),
            shows("SignerName", f"{_PCR}.signerName"),
            worded("State", "Whether the request is pending, issued, denied or failed."),
        ),
        cells=_pod_certificate_request,
    ),
}
