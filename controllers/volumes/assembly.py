"""Which controllers look after volumes and devices, and which informers they share."""

from __future__ import annotations

from typing import Final

from controllers.devices.eviction import CAUSE, MANAGER, RULES, SLICES, DeviceTaintEviction
from controllers.devices.eviction import Informed as DevicesInformed
from controllers.nodes.evictions import Evictions
from controllers.nodes.marks import NODES
from controllers.parts import PODS, Context, Controller, Part
from controllers.volumes import attachment_facts as attaching
from controllers.volumes import facts
from controllers.volumes.attachments import (
    VOLUME_NODE_INDEX,
    AttachDetach,
    Watched,
    volume_node,
)
from controllers.volumes.binder import (
    CLAIM_INDEXERS,
    CLAIM_USERS_INDEX,
    Binder,
    Informed,
    claim_users,
)
from controllers.volumes.device_claims import (
    OWNER_POD_INDEX,
    POD_CLAIMS_INDEX,
    DeviceClaims,
    owner_pod,
    pod_claims,
)
from controllers.volumes.device_facts import CLAIM, TEMPLATES
from controllers.volumes.ephemeral import EphemeralVolumes
from controllers.volumes.shelf import Shelves
from controllers.volumes.writes import Writes
from kube.informers.informer import Informer
from kube.informers.store import Indexer

_ATTACHING: Final = "attachdetach-controller"
_BINDER: Final = "persistent-volume-binder"
_DEVICES: Final = "resource-claim-controller"
_EPHEMERAL: Final = "ephemeral-volume-controller"


def _pods(context: Context) -> Informer:
    return context.informers.of(PODS, indexers={CLAIM_USERS_INDEX: claim_users})


def _claims(context: Context) -> Informer:
    return context.informers.of(facts.CLAIM.collection, indexers=CLAIM_INDEXERS)


def _binder(context: Context) -> Controller:
    client, volumes = context.writer(_BINDER), context.informers.of(facts.VOLUMES)
    recorder = context.recorder(_BINDER, "persistentvolume-controller")
    shelves = Shelves(volumes.store.get)
    informed = Informed(
        claims=_claims(context),
        volumes=volumes,
        classes=context.informers.of(facts.CLASSES),
        pods=_pods(context),
    )
    return Binder(client, informed, shelves, Writes(client, recorder, shelves))


def _ephemeral(context: Context) -> Controller:
    client, recorder = context.writer(_EPHEMERAL), context.recorder(_EPHEMERAL, "ephemeral_volume")
    return EphemeralVolumes(client, recorder, _pods(context), _claims(context))


def _devices(context: Context) -> Controller:
    informers = context.informers
    return DeviceClaims(
        context.writer(_DEVICES),
        context.recorder(_DEVICES, "resource_claim"),
        informers.of(PODS, indexers={POD_CLAIMS_INDEX: pod_claims}),
        informers.of(CLAIM.collection, indexers={OWNER_POD_INDEX: owner_pod}),
        informers.of(TEMPLATES),
    )


def _attachments(context: Context) -> Controller:
    informers = context.informers
    indexers: dict[str, Indexer] = {
        VOLUME_NODE_INDEX: volume_node,
        CLAIM_USERS_INDEX: claim_users,
    }
    of_attachments: dict[str, Indexer] = {
        attaching.NODE_OF_INDEX: attaching.node_of_attachment,
        attaching.VOLUME_OF_INDEX: attaching.volume_of_attachment,
    }
    watched = Watched(
        nodes=informers.of(NODES),
        pods=informers.of(PODS, indexers=indexers),
        claims=_claims(context),
        volumes=informers.of(facts.VOLUMES),
        attachments=informers.of(attaching.ATTACHMENTS, indexers=of_attachments),
        drivers=informers.of(attaching.DRIVERS),
    )
    client, recorder = context.writer(_ATTACHING), context.recorder(_ATTACHING)
    return AttachDetach(client, recorder, watched, context.nodes())


def _device_taints(context: Context) -> Controller:
    informers, client = context.informers, context.writer(MANAGER)
    informed = DevicesInformed(
        pods=informers.of(PODS),
        claims=informers.of(CLAIM.collection),
        slices=informers.of(SLICES),
        rules=informers.of(RULES),
    )
    evictions = Evictions(client, context.recorder(MANAGER), CAUSE)
    return DeviceTaintEviction(client, evictions, informed)


PARTS: Final = (
    Part("persistentvolume-binder-controller", (_BINDER,), _binder),
    Part("persistentvolume-attach-detach-controller", (_ATTACHING,), _attachments),
    Part(_EPHEMERAL, (_EPHEMERAL,), _ephemeral),
    Part("resourceclaim-controller", (_DEVICES,), _devices),
    Part(MANAGER, (MANAGER,), _device_taints),
)
