"""ControllerRevisions: the templates that an owner had, numbered (pkg/controller/history).

What is kept of a template is a patch that brings it back, as kubectl's `rollout undo` applies it.
Two are the same if their templates are, whatever their numbers. A name holds the hash of a
template; where another template has the name already, the next one is made with a salt, which the
owner's status counts. Everything is in the API: revisions are what the informer has, and one that
it does not have yet is found by its name when it is made again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import orjson

from controllers.workloads.claims import Kind, Matches
from controllers.workloads.object_claims import ObjectClaims
from controllers.workloads.revisions import hashed
from kube.client import ApiClient
from kube.informers.store import Store
from kube.json_types import JsonObject
from kube.status import StatusError

CONTROLLER_REVISION: Final = Kind("apps/v1", "ControllerRevision", "controllerrevisions")
POD_LABEL: Final = "controller-revision-hash"
"""By which pods, and the revisions of DaemonSets, are told apart."""
_PREFIX_MAX: Final = 223
_CONFLICTS_MAX: Final = 5


def patch_of(template: JsonObject) -> JsonObject:
    """Return the patch that brings a template back.

    Its names are in order, all the way down: upstream's clients tell whether a revision is of a
    template by comparing bytes (Match in daemon/update.go, kubectl's rollback), and Go writes maps
    so.
    """
    patch = {"spec": {"template": {**_bare(template), "$patch": "replace"}}}
    ordered: JsonObject = orjson.loads(orjson.dumps(patch, option=orjson.OPT_SORT_KEYS))
    return ordered


def template_of(revision: JsonObject) -> JsonObject:
    """Return the template that a revision remembers."""
    kept = ((revision.get("data") or {}).get("spec") or {}).get("template") or {}
    return _bare({key: value for key, value in kept.items() if key != "$patch"})


def _bare(template: JsonObject) -> JsonObject:
    """Leave out what a template never has, though older encodings of one show it."""
    metadata = template.get("metadata")
    if metadata is None or "creationTimestamp" not in metadata:
        return template
    left = {key: value for key, value in metadata.items() if key != "creationTimestamp"}
    return {**template, "metadata": left}


def remembers(revision: JsonObject, template: JsonObject) -> bool:
    """Tell whether a revision is of this template."""
    return template_of(revision) == _bare(template)


def number_of(revision: JsonObject) -> int:
    """Return a revision's number."""
    return int(revision.get("revision", 0))


def in_order(found: Iterable[JsonObject]) -> list[JsonObject]:
    """Return revisions by number, then age, then name."""

    def rank(revision: JsonObject) -> tuple[int, str, str]:
        metadata = revision["metadata"]
        return number_of(revision), metadata.get("creationTimestamp", ""), metadata["name"]

    return sorted(found, key=rank)


def name_of(revision: JsonObject) -> str:
    """Return a revision's name."""
    name: str = revision["metadata"]["name"]
    return name


def label_of(revision: JsonObject, label: str) -> str:
    """Return a label of a revision, "" if it has none."""
    return str((revision["metadata"].get("labels") or {}).get(label, ""))


class History:
    """The revisions of owners of one kind.

    Args of the constructor:
        client: who writes.
        kind: of the owners.
        label: under which a revision has its hash.
        store: of ControllerRevisions, indexed as ObjectClaims needs it.
    """

    def __init__(self, client: ApiClient, kind: Kind, label: str, store: Store) -> None:
        self._client = client
        self._kind = kind
        self._label = label
        self._claims = ObjectClaims(client, kind, CONTROLLER_REVISION, store)

    async def claim(
        self, owner: JsonObject, matches: Matches, *, releases: bool
    ) -> list[JsonObject]:
        """Return an owner's revisions in their order; see ObjectClaims.claim."""
        return in_order(await self._claims.claim(owner, matches, releases=releases))

    def new(self, owner: JsonObject, number: int, collisions: int) -> JsonObject:
        """Return a revision of an owner's template, not yet written."""
        metadata, template = owner["metadata"], owner["spec"]["template"]
        data = patch_of(template)
        salt = str(collisions).encode() if collisions else b""
        digest = hashed(orjson.dumps(data, option=orjson.OPT_SORT_KEYS) + salt)
        labels = (template.get("metadata") or {}).get("labels") or {}
        return {
            "apiVersion": CONTROLLER_REVISION.api_version,
            "kind": CONTROLLER_REVISION.kind,
            "metadata": {
                "name": f"{metadata['name'][:_PREFIX_MAX]}-{digest}",
                "namespace": metadata["namespace"],
                "labels": {**labels, self._label: digest},
                "annotations": dict(metadata.get("annotations") or {}),
                "ownerReferences": [self._kind.controls(owner)],
            },
            "data": data,
            "revision": number,
        }

    async def create(self, made: JsonObject) -> JsonObject | None:
        """Write a new revision; None: its name is another template's.

        Raises:
            StatusError, Unreachable: nothing was written, as far as is known.
        """
        path = _path(made)
        try:
            return await self._client.request("POST", path.rpartition("/")[0], made)
        except StatusError as error:
            if error.status.get("reason") != "AlreadyExists":
                raise
        found = await self._client.request("GET", path)
        return found if template_of(found) == template_of(made) else None

    async def renumber(self, revision: JsonObject, number: int) -> JsonObject:
        """Give a revision another number.

        Raises:
            StatusError, Unreachable: it has not got it.
        """
        for left in reversed(range(_CONFLICTS_MAX)):
            if number_of(revision) == number:
                break
            try:
                changed = {**revision, "revision": number}
                revision = await self._client.request("PUT", _path(revision), changed)
            except StatusError as error:
                if error.code != 409 or not left:
                    raise
                revision = await self._client.request("GET", _path(revision))
        return revision

    async def delete(self, found: Sequence[JsonObject]) -> None:
        """Delete revisions; those that are gone already are fine.

        Raises:
            StatusError, Unreachable: not all are deleted.
        """
        for one in found:
            try:
                await self._client.request("DELETE", _path(one))
            except StatusError as error:
                if error.code != 404:
                    raise


def _path(revision: JsonObject) -> str:
    metadata = revision["metadata"]
    return CONTROLLER_REVISION.path(f"{metadata['namespace']}/{metadata['name']}")
