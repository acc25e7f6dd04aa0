"""Specs that many objects of a type have alike, decoded once: pods of one template.

A pod's spec is most of it, and the same for all pods of a template but for the node, which the
server puts last. So a line of a watch is decoded in three pieces, of which the middle is known:

    {"type":…,"object":{ … "metadata":{…},"spec":{ … ,"nodeName":"n"},"status":{ … }}}
    |----------------- head --------------|---- spec ---|- node ----|----- tail -----|

Invariants:
    - The head with two braces is JSON, and so is the middle with one, and the tail without one: so
      the spec is the object's own, and whole, and the outcome is what decoding the line gives.
    - What is not like that, or is long, is decoded as it is.
    - Nobody changes an object that an informer tells of: what is in one spec is in many.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import orjson

from kube.informers.lines import read_event

_SPEC: Final = b',"spec":{'
_STATUS: Final = b'},"status":{'
_NODE: Final = b',"nodeName":"'
_KNOWN_MAX: Final = 1024
_SPEC_BYTES_MAX: Final = 16 << 10
"""A longer one is decoded as it is: so what is kept has a limit in bytes, too."""
_MANAGED: Final = b'"managedFields"'
T = TypeVar("T")


class SharedSpec(dict[str, Any]):
    """A spec whose members many objects have.

    Attributes:
        origin: the same for all that differ in their node alone; who holds it may keep by its
            identity what follows from the rest.
    """

    __slots__ = ("origin",)

    def __init__(self, origin: dict[str, Any]) -> None:
        super().__init__(origin)
        self.origin = origin


class Specs:
    """Decodes lines of one watch; see the module's head."""

    def __init__(self) -> None:
        self._known: dict[bytes, dict[str, Any]] = {}

    def read_event(self, line: bytes) -> tuple[Any, bytes]:
        """Do as `lines.read_event` does."""
        start = line.find(_SPEC)
        end = line.find(_STATUS, start)
        if not 0 < start < end < start + _SPEC_BYTES_MAX or not line.endswith(b"}}}"):
            return read_event(line)
        if _MANAGED in line[:start]:
            return read_event(line)
        node_at = line.rfind(_NODE, start, end)
        node = line[node_at + len(_NODE) : end - 1] if node_at > 0 else b""
        if node_at < 0 or line[end - 1 : end] != b'"' or b'"' in node or b"\\" in node:
            node_at = end
        try:
            origin = self._decoded(line[start + len(_SPEC) - 1 : node_at] + b"}")
            event = orjson.loads(line[:start] + b"}}")
            tail = orjson.loads(b"{" + line[end + 2 : -1])
            name = node.decode()
        except ValueError:
            return read_event(line)
        if not name.isprintable():
            return read_event(line)
        obj = event.get("object") if event.__class__ is dict else None
        if obj.__class__ is not dict or "spec" in obj or "spec" in tail:
            return read_event(line)
        spec = obj["spec"] = SharedSpec(origin)
        if node_at != end:
            spec["nodeName"] = name
        obj |= tail
        return event, line

    def _decoded(self, text: bytes) -> dict[str, Any]:
        known = self._known.get(text)
        if known is None:
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            known = orjson.loads(text)
            self._known[text] = known
        return known


class OfOrigin(Generic[T]):
    """What follows from specs, found once for all that differ in their node alone.

    Args of the constructor:
        make: finds it out; must not look at the node.
    """

    def __init__(self, make: Callable[[dict[str, Any]], T]) -> None:
        self._make = make
        self._known: dict[int, tuple[dict[str, Any], T]] = {}

    def of(self, spec: dict[str, Any]) -> T:
        """Return what follows from a spec."""
        if not isinstance(spec, SharedSpec):
            return self._make(spec)
        origin = spec.origin
        known = self._known.get(id(origin))
        if known is None or known[0] is not origin:
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            # It is held here, so that no other one gets its identity.
            known = self._known[id(origin)] = origin, self._make(spec)
        return known[1]
