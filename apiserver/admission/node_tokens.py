"""Tokens that a node asks for: of a pod on it, for audiences that the pod's volumes name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from apiserver.admission.attributes import Attributes
from apiserver.admission.facts import Facts
from apiserver.authz import Attributes as Asked
from apiserver.authz import Authorizer
from kube import status as st
from kube.field import quote
from kube.json_types import JsonObject

_AUDIENCE_VERB: Final = "request-serviceaccounts-token-audience"
_DRIVERS: Final = "storage.k8s.io/csidrivers"


def check_bound(facts: Facts, node: str, attributes: Attributes) -> JsonObject:
    """Return the pod that a token is to be bound to.

    Raises:
        StatusError: 403, it is to be bound to no pod of this node; 404.
    """
    assert attributes.obj is not None
    reference = (attributes.obj.get("spec") or {}).get("boundObjectRef") or {}
    name = reference.get("name", "")
    if (reference.get("apiVersion"), reference.get("kind")) != ("v1", "Pod") or not name:
        raise attributes.forbidden("node requested token not bound to a pod")
    uid = reference.get("uid", "")
    if not uid:
        raise attributes.forbidden("node requested token with a pod binding without a uid")
    pod = facts.read("pods", attributes.namespace, name)
    if pod is None:
        raise st.not_found("", "pods", name)
    if uid != pod["metadata"]["uid"]:
        raise attributes.forbidden(
            f"the UID in the bound object reference ({uid}) does not match the UID in record. The "
            "object might have been deleted and then recreated"
        )
    if pod["spec"].get("nodeName") != node:
        raise attributes.forbidden(
            "node requested token bound to a pod scheduled on a different node"
        )
    return pod


def check_audience(
    facts: Facts, authorizer: Authorizer, pod: JsonObject, attributes: Attributes
) -> None:
    """Refuse a token for an audience that neither the pod names nor the node may ask for.

    Raises:
        StatusError: 403.
    """
    assert attributes.obj is not None
    audiences = (attributes.obj.get("spec") or {}).get("audiences") or []
    if len(audiences) > 1:
        raise attributes.forbidden("node may only request 0 or 1 audiences")
    audience = audiences[0] if audiences else ""
    if audience in set(_audiences_of(facts, pod)):
        return
    user = attributes.user
    space, account = attributes.namespace, attributes.name
    asked = Asked(_AUDIENCE_VERB, "", "", audience, "", space, account)
    if not authorizer.allows(user, asked):
        raise attributes.forbidden(
            f"audience {quote(audience)} not found in pod spec volume, {user.name} is not "
            "authorized to request tokens for this audience"
        )


def _audiences_of(facts: Facts, pod: JsonObject) -> Iterator[str]:
    for volume in pod["spec"].get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if "serviceAccountToken" in source:
                yield source["serviceAccountToken"].get("audience", "")
        driver = (volume.get("csi") or {}).get("driver") or _driver_of(facts, pod, volume)
        found = facts.read(_DRIVERS, "", driver) if driver else None
        for request in ((found or {}).get("spec") or {}).get("tokenRequests") or ():
            yield request.get("audience", "")


def _driver_of(facts: Facts, pod: JsonObject, volume: JsonObject) -> str:
    """Return the driver of the volume behind a claim, "" if there is none."""
    metadata = pod["metadata"]
    claim_name = (volume.get("persistentVolumeClaim") or {}).get("claimName", "")
    if "ephemeral" in volume:
        claim_name = f"{metadata['name']}-{volume['name']}"
    if not claim_name:
        return ""
    claim = facts.read("persistentvolumeclaims", metadata["namespace"], claim_name) or {}
    bound = (claim.get("spec") or {}).get("volumeName", "")
    found = facts.read("persistentvolumes", "", bound) if bound else None
    csi = ((found or {}).get("spec") or {}).get("csi") or {}
    return str(csi.get("driver", ""))
