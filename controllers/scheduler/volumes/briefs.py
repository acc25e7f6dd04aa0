"""What is kept of claims, volumes and storage classes: parsed once, when a watch tells of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from controllers.scheduler.terms import NodeTerm, parse_node_terms, parse_selector
from controllers.volumes import facts
from kube.json_types import JsonObject
from kube.quantity import QuantityError, parse_value
from kube.selectors import LabelSelector, Operator, Requirement

ZONE_LABELS: Final = (
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
)
_ZONES_APART: Final = "__"
READ_WRITE_ONCE_POD: Final = "ReadWriteOncePod"
_IN_TREE: Final = {
    "awsElasticBlockStore": ("kubernetes.io/aws-ebs", "volumeID"),
    "azureDisk": ("kubernetes.io/azure-disk", "diskURI"),
    "cinder": ("kubernetes.io/cinder", "volumeID"),
    "gcePersistentDisk": ("kubernetes.io/gce-pd", "pdName"),
    "portworxVolume": ("kubernetes.io/portworx-volume", "volumeID"),
}
_NAME_FIELD: Final = "metadata.name"


class Claim(NamedTuple):
    """A PersistentVolumeClaim.

    Attributes:
        volume: spec.volumeName.
        is_bound: bound for good: it names a volume and says that binding is complete.
        node: where its volume is to be made (annotation selected-node).
        size: bytes that it asks for; None: it does not say.
        owner: uid of the pod that it was made for.
    """

    key: str
    uid: str
    revision: int
    class_name: str
    volume: str
    is_bound: bool
    is_lost: bool
    is_going: bool
    node: str
    size: int | None
    modes: frozenset[str]
    mode: str
    attributes_class: str
    selector: LabelSelector | None
    owner: str

    @property
    def name(self) -> str:
        """Its name, without the namespace."""
        return self.key.partition("/")[2]


class Volume(NamedTuple):
    """A PersistentVolume.

    Attributes:
        claim, claim_uid: whom it is for, "namespace/name"; empty: nobody.
        terms: of its node affinity, of which one must hold; None: any node will do.
        zones: values of its zone and region labels, of which a node must have one.
        attached: driver and handle, "driver/handle", of what a node attaches; empty: nothing.
    """

    name: str
    revision: int
    class_name: str
    claim: str
    claim_uid: str
    is_available: bool
    is_going: bool
    size: int
    modes: frozenset[str]
    mode: str
    attributes_class: str
    terms: tuple[NodeTerm, ...] | None
    labels: Mapping[str, str]
    zones: tuple[tuple[str, frozenset[str]], ...]
    attached: tuple[str, str] | None


class StorageClass(NamedTuple):
    """A StorageClass; `topologies`: where volumes can be made, one must hold; none: anywhere."""

    name: str
    provisioner: str
    is_delayed: bool
    topologies: tuple[tuple[Requirement, ...], ...]


class Capacity(NamedTuple):
    """A CSIStorageCapacity.

    Attributes:
        largest: bytes of the largest volume that can be made; None: nobody knows.
        total: bytes that are left.
        selector: the nodes that reach it; None: none does.
    """

    class_name: str
    largest: int | None
    total: int
    selector: LabelSelector | None


def read_claim(claim: JsonObject) -> Claim:
    """Return what is kept of a claim."""
    metadata, spec = claim["metadata"], claim["spec"]
    volume = spec.get("volumeName") or ""
    requests = (spec.get("resources") or {}).get("requests") or {}
    selector = spec.get("selector")
    owner = next(
        (
            one.get("uid", "")
            for one in metadata.get("ownerReferences") or ()
            if one.get("controller")
        ),
        "",
    )
    return Claim(
        key=f"{metadata['namespace']}/{metadata['name']}",
        uid=metadata.get("uid", ""),
        revision=int(metadata.get("resourceVersion") or 0),
        class_name=facts.class_of(claim),
        volume=volume,
        is_bound=bool(volume) and facts.annotation(claim, facts.BIND_COMPLETED) is not None,
        is_lost=(claim.get("status") or {}).get("phase") == "Lost",
        is_going="deletionTimestamp" in metadata,
        node=facts.annotation(claim, facts.SELECTED_NODE) or "",
        size=_bytes(requests["storage"]) if "storage" in requests else None,
        modes=facts.access_modes(claim),
        mode=facts.mode_of(claim),
        attributes_class=facts.attributes_class_of(claim),
        selector=None if selector is None else parse_selector(selector),
        owner=owner,
    )


def read_volume(volume: JsonObject) -> Volume:
    """Return what is kept of a volume."""
    metadata, spec = volume["metadata"], volume["spec"]
    required = (spec.get("nodeAffinity") or {}).get("required")
    labels = metadata.get("labels") or {}
    return Volume(
        name=metadata["name"],
        revision=int(metadata.get("resourceVersion") or 0),
        class_name=facts.class_of(volume),
        claim=facts.claim_key_of(volume),
        claim_uid=(spec.get("claimRef") or {}).get("uid", ""),
        is_available=(volume.get("status") or {}).get("phase") == "Available",
        is_going="deletionTimestamp" in metadata,
        size=_bytes((spec.get("capacity") or {}).get("storage", "0")),
        modes=facts.access_modes(volume),
        mode=facts.mode_of(volume),
        attributes_class=facts.attributes_class_of(volume),
        terms=None if required is None else parse_node_terms(required),
        labels=labels,
        zones=tuple(
            (key, frozenset(labels[key].split(_ZONES_APART)))
            for key in ZONE_LABELS
            if key in labels
        ),
        attached=attached_by(spec),
    )


def read_class(storage_class: JsonObject) -> StorageClass:
    """Return what is kept of a storage class."""
    return StorageClass(
        name=storage_class["metadata"]["name"],
        provisioner=storage_class.get("provisioner", ""),
        is_delayed=facts.is_delayed(storage_class),
        topologies=tuple(
            tuple(
                Requirement(one.get("key", ""), Operator.IN, tuple(one.get("values") or ()))
                for one in term.get("matchLabelExpressions") or ()
            )
            for term in storage_class.get("allowedTopologies") or ()
        ),
    )


def read_capacity(capacity: JsonObject) -> Capacity:
    """Return what is kept of a CSIStorageCapacity."""
    most = capacity.get("maximumVolumeSize")
    total = capacity.get("capacity")
    limit = most if most is not None else total
    topology = capacity.get("nodeTopology")
    return Capacity(
        class_name=capacity.get("storageClassName", ""),
        largest=None if limit is None else _bytes(limit),
        total=0 if total is None else _bytes(total),
        selector=None if topology is None else parse_selector(topology),
    )


def attached_by(source: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return driver and handle of a volume's source; in-tree ones by who replaced them."""
    csi = source.get("csi")
    if csi is not None and csi.get("volumeHandle"):
        return csi.get("driver", ""), csi["volumeHandle"]
    for kind, (plugin, field) in _IN_TREE.items():
        if source.get(kind) is not None:
            return facts.MIGRATED[plugin], str(source[kind].get(field, ""))
    return None


def matches_terms(terms: tuple[NodeTerm, ...] | None, labels: Mapping[str, str]) -> bool:
    """Tell whether a node with these labels reaches a volume (CheckNodeAffinity).

    Upstream gives labels alone: a term about the node's name finds none.
    """
    if terms is None:
        return True
    return any(
        not term.is_empty
        and all(one.matches(labels) for one in term.expressions)
        and all(one.matches({_NAME_FIELD: ""}) for one in term.names)
        for term in terms
    )


def _bytes(quantity: Any) -> int:
    try:
        return parse_value(quantity).value
    except QuantityError:
        return 0
