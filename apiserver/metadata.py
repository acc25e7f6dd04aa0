"""What the server itself writes into metadata: identity, time, names, generation."""

from __future__ import annotations

import os
import random
from typing import Final

from apiserver.resources import Resource
from kube import status as st
from kube.json_types import JsonObject

_NAME_LENGTH_MAX: Final = 63
_RANDOM_LENGTH: Final = 5
# Upstream's alphabet: no vowels, so that no bad words appear.
_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
_COUNTED_METADATA: Final = {
    "apps/deployments": "annotations",
    "discovery.k8s.io/endpointslices": "labels",
}
"""Metadata whose change raises the generation too, by type, as upstream's strategies have it."""
_random: Final = random.SystemRandom()


def generate_name(base: str) -> str:
    """Return `base`, shortened to 58 characters, and five random ones."""
    suffix = "".join(_random.choices(_ALPHABET, k=_RANDOM_LENGTH))
    return base[: _NAME_LENGTH_MAX - _RANDOM_LENGTH] + suffix


class _Uuids:
    """Random UUIDs (version 4), made many at a time: code that runs in a row runs from cache."""

    _POOL: Final = 256

    def __init__(self) -> None:
        self._ready: list[str] = []

    def next(self) -> str:
        """Return a new one."""
        if not self._ready:
            digits = os.urandom(16 * self._POOL).hex()
            self._ready = [_uuid(digits[at : at + 32]) for at in range(0, 32 * self._POOL, 32)]
        return self._ready.pop()


def _uuid(d: str) -> str:
    variant = _VARIANTS[int(d[16], 16) & 3]
    return f"{d[:8]}-{d[8:12]}-4{d[13:16]}-{variant}{d[17:20]}-{d[20:]}"


_VARIANTS: Final = "89ab"
_uuids: Final = _Uuids()


def wipe_system_fields(metadata: JsonObject) -> None:
    """Drop what a client may not set on a new object."""
    metadata.pop("deletionTimestamp", None)
    metadata.pop("deletionGracePeriodSeconds", None)
    metadata.pop("selfLink", None)


def fill_system_fields(metadata: JsonObject, now: str) -> None:
    """Give a new object its identity and time of birth."""
    metadata["uid"] = _uuids.next()
    metadata["creationTimestamp"] = now


def ensure_namespace(resource: Resource, namespace: str, metadata: JsonObject) -> None:
    """Make the object's namespace that of the request.

    Raises:
        StatusError: 400, the object names another.
    """
    if not resource.namespaced:
        metadata.pop("namespace", None)
        return
    given = metadata.get("namespace")
    if not given:
        metadata["namespace"] = namespace
    elif given != namespace:
        raise st.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def spec_changed(resource: Resource, new: JsonObject, old: JsonObject) -> bool:
    """Tell whether an update changes what the generation counts."""
    more = _COUNTED_METADATA.get(resource.storage)
    if more is not None and new["metadata"].get(more) != old["metadata"].get(more):
        return True
    keys = resource.hooks.spec_keys
    if keys is not None:
        return any(new.get(key) != old.get(key) for key in keys)
    names = (new.keys() | old.keys()).difference(resource.hooks.uncounted)
    return any(new.get(name) != old.get(name) for name in names)
