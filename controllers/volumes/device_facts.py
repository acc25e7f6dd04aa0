"""What pods and device claims say of each other (dynamic-resource-allocation/resourceclaim)."""

from __future__ import annotations

from typing import Final

from controllers.workloads.claims import Kind
from kube.json_types import JsonObject

CLAIM: Final = Kind("resource.k8s.io/v1", "ResourceClaim", "resourceclaims")
TEMPLATES: Final = "/apis/resource.k8s.io/v1/resourceclaimtemplates"
FINALIZER: Final = "resource.kubernetes.io/delete-protection"
OF_POD_CLAIM: Final = "resource.kubernetes.io/pod-claim-name"
_PREFIX_MAX: Final = 57
_DONE: Final = frozenset({"Succeeded", "Failed"})


class NotForPod(Exception):
    """A claim that a pod cannot use, or cannot get; the message says why."""


def claim_name(pod: JsonObject, wanted: JsonObject) -> tuple[str | None, bool]:
    """Return the name of a claim that a pod uses, and whether it is made for the pod.

    Args:
        pod: it.
        wanted: an entry of its spec.resourceClaims.

    Returns:
        A name; None where it is not made yet; empty where none is needed.
    """
    if wanted.get("resourceClaimName"):
        return wanted["resourceClaimName"], False
    if not wanted.get("resourceClaimTemplateName"):
        return "", False
    for status in (pod.get("status") or {}).get("resourceClaimStatuses") or ():
        if status["name"] == wanted["name"]:
            return status.get("resourceClaimName") or "", True
    return None, True


def claim_prefix(pod: str, wanted: str) -> str:
    """Return what the name of a claim begins with; both parts are cut alike if it is too long."""
    whole = f"{pod}-{wanted}-"
    length = len(whole)
    if length <= _PREFIX_MAX:
        return whole
    return (
        f"{pod[: len(pod) * _PREFIX_MAX // length]}-{wanted[: len(wanted) * _PREFIX_MAX // length]}"
    )


def owning_pod(claim: JsonObject) -> tuple[str, str]:
    """Return name and uid of the pod that a claim was made for; empty: for none."""
    for owner in claim["metadata"].get("ownerReferences") or ():
        if owner.get("controller") and (owner["apiVersion"], owner["kind"]) == ("v1", "Pod"):
            return owner["name"], owner["uid"]
    return "", ""


def check_owner(pod: JsonObject, claim: JsonObject) -> None:
    """Check that a claim was made for a pod (IsForPod).

    Raises:
        NotForPod: it was not.
    """
    if owning_pod(claim)[1] != pod["metadata"]["uid"]:
        namespace, name = claim["metadata"]["namespace"], claim["metadata"]["name"]
        mine = f"{namespace}/{pod['metadata']['name']}"
        text = f"ResourceClaim {namespace}/{name} was not created for pod {mine}"
        raise NotForPod(f"{text} (pod is not owner)")


def is_reserved_for(claim: JsonObject, uid: str) -> bool:
    """Tell whether a claim is reserved for a pod."""
    reserved = (claim.get("status") or {}).get("reservedFor") or ()
    return any(one.get("uid") == uid for one in reserved)


def is_done(pod: JsonObject) -> bool:
    """Tell whether it is certain that nothing of a pod runs or will run."""
    if (pod.get("status") or {}).get("phase") in _DONE:
        return True
    return "deletionTimestamp" in pod["metadata"] and not pod["spec"].get("nodeName")
