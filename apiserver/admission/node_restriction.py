"""NodeRestriction: what a kubelet writes is about its own node and the pods there.

The node authorizer has let it in; here it is seen what it writes. Whatever a node could use to
draw pods or secrets to itself it may not change: taints, labels of the cluster, owners.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from apiserver.admission.attributes import CREATE, DELETE, UPDATE, Attributes
from apiserver.admission.chain import Plugin
from apiserver.admission.facts import Facts
from apiserver.admission.node_tokens import check_audience, check_bound
from apiserver.authz import Authorizer
from apiserver.node_access.judge import LEASES_NAMESPACE, PREFIX, is_node
from apiserver.node_access.references import spec_references
from apiserver.resources import Resource
from apiserver.types.pods.admission_defaults import MIRROR_POD
from kube import status as st
from kube.field import quote
from kube.json_types import JsonObject

_LEASES: Final = "coordination.k8s.io/leases"
_CSI_NODES: Final = "storage.k8s.io/csinodes"
_SLICES: Final = "resource.k8s.io/resourceslices"
_CLAIM_STATUS: Final = ("capacity", "conditions", "allocatedResourceStatuses", "allocatedResources")
_RESTRICTED: Final = "node-restriction.kubernetes.io"
_KUBELET_LABELS: Final = frozenset(
    {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "node.kubernetes.io/instance-type",
        "beta.kubernetes.io/instance-type",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
    }
)
_KUBELET_DOMAINS: Final = ("kubelet.kubernetes.io", "node.kubernetes.io")


class NodeRestriction(Plugin):
    """See the module's head."""

    name = "NodeRestriction"
    mutates = True
    for_all = False
    changes = False

    def __init__(self, facts: Facts, authorizer: Authorizer) -> None:
        self._facts = facts
        self._authorizer = authorizer
        self._rules: dict[str, Callable[[str, Attributes], None]] = {
            "pods": self._pod,
            "nodes": _node,
            "persistentvolumeclaims": _claim,
            "serviceaccounts": self._account,
            _LEASES: _lease,
            _CSI_NODES: _csi_node,
            _SLICES: _slice,
        }

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return resource.storage in self._rules and operation in {CREATE, UPDATE, DELETE}

    def admit(self, attributes: Attributes) -> None:
        """See Plugin."""
        user = attributes.user
        if not is_node(user):
            return
        node = user.name[len(PREFIX) :]
        if not node:
            raise attributes.forbidden(f"could not determine node from user {quote(user.name)}")
        self._rules[attributes.resource.storage](node, attributes)

    def _pod(self, node: str, attributes: Attributes) -> None:
        match attributes.subresource:
            case "":
                self._pod_itself(node, attributes)
            case "status":
                _pod_status(node, attributes)
            case "eviction":
                pod = self._facts.read("pods", attributes.namespace, attributes.name)
                if pod is None:
                    raise st.not_found("", "pods", attributes.name)
                if pod["spec"].get("nodeName") != node:
                    raise attributes.forbidden(
                        f"node {node} can only evict pods with spec.nodeName set to itself"
                    )
            case other:
                raise attributes.forbidden(
                    f"unexpected pod subresource {quote(other)}, only 'status' and 'eviction' are "
                    "allowed"
                )

    def _pod_itself(self, node: str, attributes: Attributes) -> None:
        if attributes.operation == UPDATE:
            raise attributes.forbidden(
                f'unexpected operation "UPDATE", node {quote(node)} can only create and delete '
                "mirror pods"
            )
        if attributes.operation == DELETE:
            old = attributes.old
            if old is not None and old["spec"].get("nodeName") != node:
                raise attributes.forbidden(
                    f"node {quote(node)} can only delete pods with spec.nodeName set to itself"
                )
            return
        assert attributes.obj is not None
        for why in _new_pod_faults(node, attributes.obj):
            raise attributes.forbidden(why)
        owner = attributes.obj["metadata"]["ownerReferences"][0]
        found = self._facts.read("nodes", "", node)
        if found is None:
            raise st.not_found("", "nodes", node)
        uid = found["metadata"]["uid"]
        if owner["uid"] != uid:
            raise attributes.forbidden(
                f"node {node} UID mismatch: expected {owner['uid']} got {uid}"
            )

    def _account(self, node: str, attributes: Attributes) -> None:
        if attributes.operation == CREATE and attributes.subresource == "token":
            pod = check_bound(self._facts, node, attributes)
            check_audience(self._facts, self._authorizer, pod, attributes)


def _new_pod_faults(node: str, pod: JsonObject) -> Iterator[str]:
    """Yield why a node may not create a pod; the first one counts."""
    me = f"node {quote(node)}"
    metadata, spec = pod["metadata"], pod["spec"]
    if MIRROR_POD not in (metadata.get("annotations") or ()):
        yield f'pod does not have "{MIRROR_POD}" annotation, {me} can only create mirror pods'
    if spec.get("nodeName") != node:
        yield f"{me} can only create pods with spec.nodeName set to itself"
    yield from _owner_faults(node, metadata.get("ownerReferences") or ())
    for what in _referred_to(pod):
        yield f"{me} can not create pods that reference {what}"


def _owner_faults(node: str, owners: Sequence[JsonObject]) -> Iterator[str]:
    me = f"node {quote(node)}"
    if len(owners) > 1:
        yield f"{me} can only create pods with a single owner reference set to itself"
    owner = owners[0] if owners else {}
    named = tuple(owner.get(key) for key in ("apiVersion", "kind", "name"))
    if named != ("v1", "Node", node):
        yield f"{me} can only create pods with an owner reference set to itself"
    if not owner.get("controller"):
        yield f"{me} can only create pods with a controller owner reference set to itself"
    if owner.get("blockOwnerDeletion"):
        yield f"{me} must not set blockOwnerDeletion on an owner reference"


def _referred_to(pod: JsonObject) -> Iterator[str]:
    """Yield what a pod refers to that a node could make up to read it."""
    spec = pod["spec"]
    if spec.get("serviceAccountName"):
        yield "a service account"
    named = {resource for resource, name in spec_references(pod) if name}
    yield from (resource for resource in ("secrets", "configmaps") if resource in named)
    volumes = spec.get("volumes") or ()
    for volume in volumes:
        for source in (volume.get("projected") or {}).get("sources") or ():
            if "clusterTrustBundle" in source:
                yield "clustertrustbundles"
    if any("persistentVolumeClaim" in volume for volume in volumes):
        yield "persistentvolumeclaims"
    if spec.get("resourceClaims"):
        yield "resourceclaims"


def _pod_status(node: str, attributes: Attributes) -> None:
    new, old = attributes.obj, attributes.old
    if attributes.operation != UPDATE or new is None or old is None:
        raise attributes.forbidden(f"unexpected operation {quote(attributes.operation)}")
    me = f"node {quote(node)}"
    if old["spec"].get("nodeName") != node:
        raise attributes.forbidden(
            f"{me} can only update pod status for pods with spec.nodeName set to itself"
        )
    if (new["metadata"].get("labels") or {}) != (old["metadata"].get("labels") or {}):
        raise attributes.forbidden(f"{me} cannot update labels through pod status")
    after, before = new.get("status") or {}, old.get("status") or {}
    if (after.get("resourceClaimStatuses") or []) != (before.get("resourceClaimStatuses") or []):
        raise attributes.forbidden(f"{me} cannot update resource claim statues")
    if after.get("extendedResourceClaimStatus") != before.get("extendedResourceClaimStatus"):
        raise attributes.forbidden(f"{me} cannot update extended resource claim status")


def _node(node: str, attributes: Attributes) -> None:
    me = f"node {quote(node)}"
    new, old = attributes.obj, attributes.old
    name = attributes.name
    if name != node:
        raise attributes.forbidden(f"{me} is not allowed to modify node {quote(name)}")
    if new is None:
        return
    spec, metadata = new.get("spec") or {}, new["metadata"]
    source = spec.get("configSource")
    if old is None:
        if source is not None:
            raise attributes.forbidden(
                f"{me} is not allowed to create pods with a non-nil configSource"
            )
        bad = forbidden_labels(metadata.get("labels") or {}, {})
        if bad:
            raise attributes.forbidden(
                f"{me} is not allowed to set the following labels: {', '.join(bad)}"
            )
        return
    known = old.get("spec") or {}
    if source is not None and source != known.get("configSource"):
        raise attributes.forbidden(
            f"{me} is not allowed to update configSource to a new non-nil configSource"
        )
    if (spec.get("taints") or []) != (known.get("taints") or []):
        raise attributes.forbidden(f"{me} is not allowed to modify taints")
    bad = forbidden_labels(metadata.get("labels") or {}, old["metadata"].get("labels") or {})
    if bad:
        raise attributes.forbidden(f"is not allowed to modify labels: {', '.join(bad)}")
    owners = (one["metadata"].get("ownerReferences") or [] for one in (new, old))
    if next(owners) != next(owners):
        raise attributes.forbidden(f"{me} is not allowed to modify ownerReferences")


def forbidden_labels(new: dict[str, str], old: dict[str, str]) -> list[str]:
    """Return the labels that a node changes though they are not for kubelets to say."""
    changed = (key for key in new.keys() | old.keys() if new.get(key) != old.get(key))
    return sorted(key for key in changed if _is_forbidden(key))


def _is_forbidden(key: str) -> bool:
    domain, slash, _ = key.rpartition("/")
    if not slash:
        return False
    if _is_in(domain, _RESTRICTED):
        return True
    if not (_is_in(domain, "kubernetes.io") or _is_in(domain, "k8s.io")):
        return False
    is_kubelets = key in _KUBELET_LABELS or any(_is_in(domain, one) for one in _KUBELET_DOMAINS)
    return not is_kubelets


def _is_in(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith("." + parent)


def _claim(node: str, attributes: Attributes) -> None:
    if attributes.subresource != "status":
        raise attributes.forbidden("may only update PVC status")
    new, old = attributes.obj, attributes.old
    if attributes.operation != UPDATE or new is None or old is None:
        raise attributes.forbidden(f"unexpected operation {quote(attributes.operation)}")
    if _bare_claim(new) != _bare_claim(old):
        raise attributes.forbidden(
            f"node {quote(node)} is not allowed to update fields other than status.capacity and "
            "status.conditions"
        )


def _bare_claim(claim: JsonObject) -> JsonObject:
    """Return a claim without what its node may write, and without what changes by itself."""
    dropped = ("resourceVersion", "managedFields")
    metadata = {key: value for key, value in claim["metadata"].items() if key not in dropped}
    status = claim.get("status") or {}
    left = {key: value for key, value in status.items() if key not in _CLAIM_STATUS}
    return {**claim, "metadata": metadata, "status": left}


def _lease(node: str, attributes: Attributes) -> None:
    if attributes.namespace != LEASES_NAMESPACE:
        raise attributes.forbidden(
            f"can only access leases in the {quote(LEASES_NAMESPACE)} system namespace"
        )
    if attributes.name != node:
        raise attributes.forbidden(
            "can only access node lease with the same name as the requesting node"
        )


def _csi_node(node: str, attributes: Attributes) -> None:
    if attributes.name != node:
        raise attributes.forbidden(
            "can only access CSINode with the same name as the requesting node"
        )


def _slice(node: str, attributes: Attributes) -> None:
    known = attributes.obj if attributes.operation != DELETE else attributes.old
    if known is None or (known.get("spec") or {}).get("nodeName") == node:
        return
    verb = {CREATE: "create", UPDATE: "update", DELETE: "delete"}[attributes.operation]
    raise attributes.forbidden(
        f"can only {verb} ResourceSlice with the same NodeName as the requesting node"
    )
