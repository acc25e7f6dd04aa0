"""Which controllers look after volumes and devices, and which informers they share."""

from __future__ import annotations

from typing import Final

from controllers.parts import PODS, Context, Controller, Part
from controllers.volumes import facts
from controllers.volumes.binder import (
    CLAIM_INDEXERS,
    CLAIM_USERS_INDEX,
    Binder,
    Informed,
    claim_users,
)
from controllers.volumes.ephemeral import EphemeralVolumes
from controllers.volumes.shelf import Shelves
from controllers.volumes.writes import Writes
from kube.informers.informer import Informer

_BINDER: Final = "persistent-volume-binder"
_EPHEMERAL: Final = "ephemeral-volume-controller"


def _pods(context: Context) -> Informer:
    return context.informers.of(PODS, indexers={CLAIM_USERS_INDEX: claim_users})


def _claims(context: Context) -> Informer:
    return context.informers.of(facts.CLAIM.collection, indexers=CLAIM_INDEXERS)


def _binder(context: Context) -> Controller:
    client, volumes = context.writer(_BINDER), context.informers.of(facts.VOLUMES)
    shelves = Shelves(volumes.store.get)
    informed = Informed(
        claims=_claims(context),
        volumes=volumes,
        classes=context.informers.of(facts.CLASSES),
        pods=_pods(context),
    )
    return Binder(client, informed, shelves, Writes(client, context.recorder(_BINDER), shelves))


def _ephemeral(context: Context) -> Controller:
    client, recorder = context.writer(_EPHEMERAL), context.recorder(_EPHEMERAL)
    return EphemeralVolumes(client, recorder, _pods(context), _claims(context))


PARTS: Final = (
    Part("persistentvolume-binder-controller", (_BINDER,), _binder),
    Part(_EPHEMERAL, (_EPHEMERAL,), _ephemeral),
)
