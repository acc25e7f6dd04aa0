"""Twins: objects that differ in metadata only, as a controller makes them from one template.

Defaults, admission, validation and warnings of a Pod are a function of its spec, of the few things
its `TwinRules` name and of what plugins look at (apiserver.admission.twin_profiles), and are most
of the work of creating it. So what a spec became is remembered, encoded, and the next object with
the same spec needs only its metadata seen to. Where whole bodies repeat, not even that: see
apiserver.stencils.

Invariants:
    - Only what was created without any fault, unknown or duplicate field is remembered.
    - What is remembered is bounded in number and in bytes each; the oldest goes first.
    - The key is the whole of what the result depends on, not a hash of it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import orjson

from apiserver.resources import Resource
from apiserver.stencils import Cut, Stencils, cut, is_sound
from apiserver.types.hooks import TwinRules, TypeHooks
from kube.json_types import JsonObject
from kube.schema.decode import Decoded, builtin_decoder
from kube.schema.duplicates import may_have_duplicates
from kube.schema.normalize import count_keys

_TWINS_MAX: Final = 512
_KEY_BYTES_MAX: Final = 32 << 10
_PARTS: Final = frozenset({"kind", "apiVersion", "metadata", "spec", "status"})
_NO_STATUS: Final[tuple[Any, ...]] = (None, {})


class Twin:
    """What a spec became.

    Attributes:
        resource: stands in for the type: its hooks have nothing left to do.
        last_cut: the body that was last completed by this twin, around its name.
        profile: for which it was completed.
    """

    __slots__ = ("_key_count", "_spec", "_status", "last_cut", "profile", "resource")

    def __init__(
        self,
        resource: Resource,
        obj: JsonObject,
        fields: bytes,
        warnings: list[str],
        key: tuple[int, int],
    ) -> None:
        self.last_cut: Cut | None = None
        self.profile, keys = key
        self._spec = orjson.Fragment(orjson.dumps(obj["spec"]))
        self._status = orjson.Fragment(orjson.dumps(obj["status"]))
        self._key_count = keys
        self.resource = _stand_in(resource, obj, warnings)
        self.resource.known_fields = fields

    def complete(self, obj: JsonObject) -> Decoded:
        """Decode the metadata of `obj` in place, and give it the remembered rest.

        Raises:
            DecodeError: the metadata does not fit.
        """
        had_status = obj.pop("status", None) is not None
        del obj["spec"]
        decoded = builtin_decoder(self.resource.info.schema_name).decode(obj)
        obj["spec"], obj["status"] = self._spec, self._status
        if decoded.key_count < 0:
            return decoded
        return Decoded(decoded.unknown, decoded.key_count + self._key_count + had_status)


def _stand_in(resource: Resource, obj: JsonObject, warnings: list[str]) -> Resource:
    hooks, rules = resource.hooks, resource.hooks.twin
    assert rules is not None

    def warn(new: JsonObject, _old: JsonObject | None) -> list[str]:
        return [*rules.name_warnings(new["metadata"]["name"]), *warnings]

    stand_in = copy.copy(resource)
    fields = {name: _constant(value(obj)) for name, value in hooks.fields.items()}
    stand_in.replace_hooks(
        replace(
            TypeHooks(),
            warnings=warn,
            name_check=hooks.name_check,
            fields=fields,
            generation=hooks.generation,
        )
    )
    return stand_in


def _constant(value: str) -> Any:
    return lambda _obj: value


class Twins:
    """The remembered specs of one type."""

    def __init__(self, resource: Resource, rules: TwinRules) -> None:
        self._resource = resource
        self._rules = rules
        self._known: dict[bytes, Twin] = {}
        self.stencils = Stencils()

    def key_of(self, obj: Any, profile_of: Callable[[JsonObject], int | None]) -> bytes | None:
        """Return what the result depends on, None if this object cannot have a twin.

        Args:
            obj: as it was sent.
            profile_of: from its spec to its profile; None: there is none.
        """
        if obj.__class__ is not dict or not obj.keys() <= _PARTS:
            return None
        # What a new object says of its status is dropped, but must be a status.
        if obj.get("status") not in _NO_STATUS:
            return None
        spec, metadata = obj.get("spec"), obj.get("metadata")
        if spec.__class__ is not dict or metadata.__class__ is not dict:
            return None
        if "managedFields" in metadata:
            return None  # who manages what then depends on more than the shape
        more = self._rules.depends_on(spec, metadata)
        if more is None:
            return None
        profile = profile_of(spec)
        if profile is None:
            return None
        key = orjson.dumps((spec, profile, more))
        return key if len(key) <= _KEY_BYTES_MAX else None

    def find(self, key: bytes | None) -> Twin | None:
        """Return what is known under a key."""
        return self._known.get(key) if key is not None else None

    def learn(self, twin: Twin, body: bytes, name: str, account: str) -> None:
        """Look whether bodies repeat but for the name, and keep a stencil of those that do.

        Args:
            twin: what completed the body.
            body: of a request that was granted.
            name: in the body, "" if it has none.
            account: the service account that it names, "" for none.
        """
        split = cut(body, name)
        if split is None or split != twin.last_cut:
            twin.last_cut = split
            return
        if not is_sound(split, body):
            return
        obj = orjson.loads(body)
        decoded = twin.complete(obj)
        if decoded.unknown or may_have_duplicates(body, decoded.key_count):
            return
        obj["metadata"].pop("name", None)
        self.stencils.keep(split, twin.resource, obj, (account, twin.profile))

    def remember(self, key: bytes, obj: JsonObject, stored: bytes) -> None:
        """Remember what a created object's spec became.

        Args:
            key: of the spec.
            obj: as it was stored.
            stored: the same as bytes, with who manages what.
        """
        fields = _managed_but_metadata(stored)
        if fields is None:
            return
        if len(self._known) >= _TWINS_MAX:
            del self._known[next(iter(self._known))]
        name_texts = self._rules.name_warnings(obj["metadata"]["name"])
        texts = [
            text for text in self._resource.hooks.warnings(obj, None) if text not in name_texts
        ]
        spec, profile, _ = orjson.loads(key)
        keys = 1 + count_keys(spec)
        self._known[key] = Twin(self._resource, obj, fields, texts, (profile, keys))


def _managed_but_metadata(stored: bytes) -> bytes | None:
    """Return what the creator of an object manages beside metadata; None if that is not tracked."""
    entries = orjson.loads(stored)["metadata"].get("managedFields")
    if not entries:
        return None
    fields = entries[0]["fieldsV1"]
    fields.pop("f:metadata", None)
    return orjson.dumps(fields)[1:-1]
