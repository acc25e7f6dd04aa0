"""Certificate signing requests, those of Pods, and bundles of trust."""

from __future__ import annotations

import base64
from typing import Any, Final

from conformance.certificates import empty_request_der, new_key, request_pem, self_signed
from conformance.checks import eventually, refused, same
from conformance.crud import Crud, check_crud
from conformance.operations import annotation, check_discovery
from conformance.registry import case
from conformance.resource import Resource
from conformance.samples import pod
from conformance.stage import Stage
from kube.json_types import JsonObject

_GROUP: Final = "certificates.k8s.io/v1"
_REQUESTS: Final = "certificatesigningrequests"
_PROJECTED: Final = (
    "[sig-auth] Projected PodCertificate [FeatureGate:PodCertificateRequest] "
    "[FeatureGate:ClusterTrustBundle] [FeatureGate:ClusterTrustBundleProjection] "
    "MaxExpirationSeconds validations should reject pod creation when MaxExpirationSeconds"
)


def _request(signer: str) -> JsonObject:
    return {
        "metadata": {"generateName": "e2e-example-csr-"},
        "spec": {
            "request": base64.b64encode(request_pem("e2e.example.com")).decode(),
            "signerName": signer,
            "expirationSeconds": 3600,
            "usages": ["digital signature", "key encipherment", "server auth"],
        },
    }


@case(
    "[sig-auth] Certificates API [Privileged:ClusterAdmin] should support CSR API operations "
    "[Conformance]"
)
async def signing_requests(stage: Stage) -> None:
    """Requests have all verbs, by the field of their signer too, and two subresources."""
    parts = [f"{_REQUESTS}/{part}" for part in ("approval", "status")]
    await check_discovery(stage, _GROUP, _REQUESTS, *parts)
    resource = stage.cluster(_GROUP, _REQUESTS, "CertificateSigningRequest")
    signer = f"example.com/{stage.unique}"
    selector = f"spec.signerName={signer}"
    created = [await resource.create(_request(signer)) for _number in range(3)][-1]
    stage.later(lambda: resource.delete_all("", field_selector=selector))
    name = created["metadata"]["name"]
    gotten = await resource.get(name)
    same(gotten["metadata"]["uid"], created["metadata"]["uid"], "uid")
    same(gotten["spec"]["expirationSeconds"], 3600, "expirationSeconds")
    listed = await resource.fetch_list(fieldSelector=selector)
    same(len(listed["items"]), 3, "requests of the signer")
    revision = listed["metadata"]["resourceVersion"]
    async with resource.watch(
        resourceVersion=revision, fieldSelector=f"metadata.name={name}"
    ) as watch:
        patched = await resource.patch(name, {"metadata": {"annotations": {"patched": "true"}}})
        same(annotation(patched, "patched"), "true", "the annotation patched")
        patched["metadata"]["annotations"]["updated"] = "true"
        updated = await resource.replace(patched)
        same(annotation(updated, "updated"), "true", "the annotation updated")
        await watch.expect("MODIFIED", lambda obj: annotation(obj, "patched") == "true")
    await _approve(resource, created)
    await _issue(resource, created)
    await resource.delete(name)
    await resource.absent(name)
    same(len(await resource.items(fieldSelector=selector)), 2, "requests after one was deleted")
    await resource.delete_all("", field_selector=selector)

    async def none_left() -> bool:
        return not await resource.items(fieldSelector=selector)

    await eventually("the requests are gone", none_left)


async def _approve(resource: Resource, created: JsonObject) -> None:
    name, uid = created["metadata"]["name"], created["metadata"]["uid"]
    gotten = await resource.get(name, "approval")
    same((gotten["kind"], gotten["metadata"]["uid"]), (resource.kind, uid), "/approval")
    condition = {"type": "ApprovalPatch", "status": "True", "reason": "e2e"}
    patch: Any = {
        "metadata": {"annotations": {"patchedapproval": "true"}},
        "status": {"conditions": [condition]},
    }
    patched = await resource.patch(name, patch, part="approval")
    kinds = [entry["type"] for entry in patched["status"]["conditions"]]
    same(kinds, ["ApprovalPatch"], "conditions after the patch")
    same(annotation(patched, "patchedapproval"), "true", "the annotation patched with them")
    patched["status"]["conditions"].append(
        {"type": "Approved", "status": "True", "reason": "E2E", "message": "Set from an e2e test"}
    )
    updated = await resource.replace(patched, "approval")
    kinds = [entry["type"] for entry in updated["status"]["conditions"]]
    same(kinds, ["ApprovalPatch", "Approved"], "conditions after the update")


async def _issue(resource: Resource, created: JsonObject) -> None:
    name, uid = created["metadata"]["name"], created["metadata"]["uid"]
    gotten = await resource.get(name, "status")
    same((gotten["kind"], gotten["metadata"]["uid"]), (resource.kind, uid), "/status")
    pair = self_signed("e2e.example.com", host="e2e.example.com")
    certificate = base64.b64encode(pair.certificate).decode()
    patch: Any = {
        "metadata": {"annotations": {"patchedstatus": "true"}},
        "status": {"certificate": certificate},
    }
    patched = await resource.patch(name, patch, part="status")
    same(patched["status"]["certificate"], certificate, "the certificate patched")
    same(annotation(patched, "patchedstatus"), "true", "the annotation patched with it")
    before = len(patched["status"]["conditions"])
    patched["status"]["conditions"].append(
        {
            "type": "StatusUpdate",
            "status": "True",
            "reason": "E2E",
            "message": "Set from an e2e test",
        }
    )
    updated = await resource.replace(patched, "status")
    kinds = [entry["type"] for entry in updated["status"]["conditions"]]
    same(len(kinds), before + 1, "conditions after the update of the status")
    same(kinds[-1], "StatusUpdate", "the last of them")


def _label(group: str) -> tuple[JsonObject, list[JsonObject]]:
    """Return a label as a merge patch and as a JSON patch."""
    name = f"test.{group}.example.com"
    operation = {"op": "add", "path": f"/metadata/labels/{name}", "value": "test"}
    return {"metadata": {"labels": {name: "test"}}}, [operation]


@case(
    "[sig-auth] PodCertificateRequest API [Privileged:ClusterAdmin] should support "
    "PodCertificateRequest API operations [Conformance]"
)
async def pod_requests(stage: Stage) -> None:
    """Requests of Pods are written by all kinds of patches, and issued by their status."""
    plural = "podcertificaterequests"
    await check_discovery(stage, _GROUP, plural, f"{plural}/status")
    key = new_key()
    pair = self_signed("e2e.example.com", key=key)
    condition = {
        "type": "Issued",
        "status": "True",
        "reason": "E2E",
        "message": "Issued by E2E test",
        "lastTransitionTime": pair.begins,
    }
    status = {
        "certificateChain": pair.certificate.decode(),
        "notBefore": pair.begins,
        "notAfter": pair.ends,
        "beginRefreshAt": pair.refreshes,
        "conditions": [condition],
    }
    initial = {
        "spec": {
            "signerName": f"example.com/{stage.unique}",
            "podName": "test-pod",
            "podUID": "12345678-1234-1234-1234-123456789012",
            "serviceAccountName": "default",
            "serviceAccountUID": "12345678-1234-1234-1234-123456789013",
            "nodeName": "test-node",
            "nodeUID": "12345678-1234-1234-1234-123456789014",
            "maxExpirationSeconds": 86_400,
            "stubPKCS10Request": base64.b64encode(empty_request_der(key)).decode(),
        }
    }
    spec, operations = _label("podcertificaterequest")
    steps = Crud(
        initial,
        spec,
        operations,
        {"status": status},
        [
            {"op": "add", "path": f"/status/{name}", "value": value}
            for name, value in status.items()
        ],
    )
    await check_crud(stage, stage.of(_GROUP, plural, "PodCertificateRequest"), steps)


@case(
    "[sig-auth] [FeatureGate:ClusterTrustBundle] [FeatureGate:ClusterTrustBundleProjection] CRUD "
    "Tests certificates.k8s.io/v1 ClusterTrustBundles [MinimumKubeletVersion:1.37] [Conformance]"
)
async def trust_bundles(stage: Stage) -> None:
    """Bundles are written by all kinds of patches."""
    bundle = self_signed("root", ca=True).certificate.decode()
    spec, operations = _label("clustertrustbundle")
    steps = Crud({"spec": {"trustBundle": bundle}}, spec, operations)
    resource = stage.cluster(_GROUP, "clustertrustbundles", "ClusterTrustBundle")
    await check_crud(stage, resource, steps)


async def _project(stage: Stage, seconds: int) -> JsonObject:
    source = {
        "podCertificate": {
            "signerName": f"example.com/{stage.unique}",
            "keyType": "ED25519",
            "maxExpirationSeconds": seconds,
            "credentialBundlePath": "creds.pem",
        }
    }
    volume: Any = {"name": "certificate", "projected": {"sources": [source]}}
    return await stage.pods.create(pod("projecting", volumes=[volume]))


@case(f"{_PROJECTED} exceeds maximum (91d) [MinimumKubeletVersion:1.37] [Conformance]")
async def projected_maximum(stage: Stage) -> None:
    """No Pod may ask for a certificate of more than 91 days."""
    request = _project(stage, 91 * 86_400 + 1)
    await refused("Invalid", request, containing="maxExpirationSeconds must be <= 7862400")


@case(f"{_PROJECTED} is less than minimum (1h) [MinimumKubeletVersion:1.37] [Conformance]")
async def projected_minimum(stage: Stage) -> None:
    """Nor for one of less than an hour."""
    request = _project(stage, 3599)
    await refused("Invalid", request, containing="maxExpirationSeconds must be >= 3600")
