"""EventRateLimit: how many events may be written, in all and by namespace, user or source.

Each worker of a server has buckets of its own. Off unless asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from apiserver.admission.attributes import CREATE, UPDATE, Attributes
from apiserver.admission.chain import Plugin
from apiserver.config_reader import ConfigReader
from apiserver.resources import Resource
from kube import field as fld
from kube import status as st
from runtime.clock import Clock

_VERSION: Final = "eventratelimit.admission.k8s.io/v1alpha1"
_BUCKETS: Final = 4096
_REGARDING: Final = ("kind", "namespace", "name", "uid", "apiVersion")


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: so many events a second in the long run, and so many at once.

    Attributes:
        type: what has a bucket of its own.
        buckets_max: those that were used longest ago are forgotten.
    """

    type: str
    qps: int
    burst: int
    buckets_max: int = _BUCKETS


def read_limits(document: Mapping[str, Any]) -> list[Limit]:
    """Return the limits of a configuration.

    Raises:
        ConfigurationUseless: it is wrong; worded as upstream.
    """
    reader, whole = ConfigReader(), dict(document)
    reader.known(whole, "", {"apiVersion", "kind", "limits"})
    if whole and whole.get("apiVersion") != _VERSION:
        reader.faults.append(f"apiVersion: must be {_VERSION}")
    entries = reader.items(whole, "limits", {"type", "qps", "burst", "cacheSize"})
    if not entries:
        reader.faults.append(fld.invalid("limits", [], "must not be empty"))
    found = []
    for place, entry in entries:
        type_ = reader.get(entry, place, "type", str, "")
        if type_ not in _KEYS:
            reader.faults.append(fld.not_supported(f"{place}.type", type_, sorted(_KEYS)))
        qps, burst, kept = (
            reader.get(entry, place, key, int, 0) for key in ("qps", "burst", "cacheSize")
        )
        for key, value in (("burst", burst), ("qps", qps)):
            if value <= 0:
                reader.faults.append(fld.invalid(f"{place}.{key}", value, "must be positive"))
        if kept < 0 and type_ != "Server":
            text = "must not be negative"
            reader.faults.append(fld.invalid(f"{place}.cacheSize", kept, text))
        found.append(Limit(type_, qps, burst, kept or _BUCKETS))
    reader.check()
    return found


def _source_and_object(attributes: Attributes) -> str:
    event = attributes.obj or {}
    source, about = event.get("source") or {}, event.get("involvedObject") or {}
    parts = [source.get("component"), source.get("host"), *(about.get(key) for key in _REGARDING)]
    return "".join(part or "" for part in parts)


_KEYS: Final[dict[str, Callable[[Attributes], str]]] = {
    "Server": lambda _: "",
    "Namespace": lambda attributes: attributes.namespace,
    "User": lambda attributes: attributes.user.name,
    "SourceAndObject": _source_and_object,
}


@dataclass(slots=True)
class _Buckets:
    """The buckets of one limit: when each would be full again, by its key."""

    limit: Limit
    full_s: OrderedDict[str, float] = field(default_factory=OrderedDict)

    def take(self, key: str, now_s: float) -> bool:
        """Take one from a bucket; False: it is empty."""
        full_s, limit = self.full_s, self.limit
        due_s = max(full_s.get(key, now_s), now_s) + 1 / limit.qps
        if due_s - now_s > limit.burst / limit.qps + 1e-9:
            return False
        full_s[key] = due_s
        full_s.move_to_end(key)
        if len(full_s) > limit.buckets_max:
            full_s.popitem(last=False)
        return True


class EventRateLimit(Plugin):
    """See the module's head."""

    name = "EventRateLimit"
    validates = True

    def __init__(self, configuration: Mapping[str, Any], clock: Clock) -> None:
        self._clock = clock
        self._limits = [_Buckets(limit) for limit in read_limits(configuration)]

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return resource.kind == "Event" and operation in {CREATE, UPDATE}

    def validate(self, attributes: Attributes) -> None:
        """See Plugin."""
        now_s = self._clock.monotonic_s()
        reached = ""
        for one in self._limits:
            key = _KEYS[one.limit.type](attributes)
            # All of them are charged, as upstream does, and the last that is reached is told.
            if not one.take(key, now_s):
                reached = f"limit reached on type {one.limit.type} for key {key}"
        if reached:
            raise st.too_many_requests(reached, 1)
