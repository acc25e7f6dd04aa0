"""Writing an owner's status where it differs, even if another wrote the object meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from controllers.workloads.claims import Kind
from kube.client import ApiClient
from kube.json_types import JsonObject
from kube.status import StatusError

_ATTEMPTS: Final = 2


async def write_status(
    client: ApiClient,
    kind: Kind,
    owner: JsonObject,
    make: Callable[[JsonObject], JsonObject],
) -> None:
    """Write what `make` makes of the known status, unless that is the same or the owner is gone.

    Args:
        client: who writes.
        kind: of the owner.
        owner: as the cache has it; after a conflict it is read anew.
        make: must not change what it gets.

    Raises:
        StatusError, Unreachable: it was not written, as far as is known.
    """
    metadata = owner["metadata"]
    path = kind.path(f"{metadata['namespace']}/{metadata['name']}")
    for attempt in range(_ATTEMPTS):
        known = owner.get("status") or {}
        wanted = make(known)
        if wanted == known:
            return
        try:
            await client.request("PUT", f"{path}/status", {**owner, "status": wanted})
        except StatusError as error:
            if error.code == 404:
                return
            if error.code != 409 or attempt + 1 == _ATTEMPTS:
                raise
        else:
            return
        owner = await client.request("GET", path)
        if owner["metadata"]["uid"] != metadata["uid"]:
            return  # another of its name, which has a status of its own
