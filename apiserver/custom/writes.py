"""Writes of definitions that the server makes by itself, and who it is then."""

from __future__ import annotations

from typing import Final

import orjson

from apiserver.custom.definition import DEFINITIONS
from apiserver.server import Server
from apiserver.tracking import Writing
from apiserver.verbs.managing import track
from kube.json_types import JsonObject
from storage.record import Record
from storage.txn import Put

MANAGER: Final = "kube-apiserver"
NAMES: Final = "internal/customnames"
"""What storage calls the objects that order who gets names, one for each group."""


def status_put(server: Server, record: Record, new: JsonObject, old: JsonObject, now: str) -> Put:
    """Return the write of a definition's status, on the condition that it is as it was.

    Args:
        server: the server.
        record: the definition as it is stored.
        new: with its new status.
        old: decoded from `record`.
        now: as metadata has times.
    """
    resource = server.catalog.by_storage[DEFINITIONS]
    copied: JsonObject = orjson.loads(orjson.dumps(new))
    track(resource, copied, old, Writing(MANAGER, now, "status"))
    body, meta = resource.encode(copied)
    name, revision = record.name, record.mod_revision
    return Put(DEFINITIONS, "", name, meta, body, resource.splice_at, revision)
