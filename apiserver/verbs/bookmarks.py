"""Bookmarks: objects that tell a watcher how far it has got, and nothing else."""

from __future__ import annotations

from typing import Final

from apiserver.resources import Resource
from kube.json_types import JsonObject

INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"


def bookmark_object(resource: Resource, revision: int, *, initial_end: bool) -> JsonObject:
    """Return the object of a bookmark: a revision and, at the end of the initial state, its mark.

    Upstream sent an empty list along there (`initial-events-list-blueprint`) until 1.33.
    """
    metadata: JsonObject = {"resourceVersion": str(revision)}
    if initial_end:
        metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
    return {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
