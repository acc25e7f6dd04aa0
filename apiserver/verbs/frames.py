"""What a watch sends of a batch of events: chosen by its selectors, encoded, framed for HTTP.

Invariants:
    - Watches of one scope, selection and shape send the same of the same batch: the first one makes
      the bytes, and they are kept for the others, if there are any (apiserver.part_cache). The
      events of a scope are one sequence, and a batch is a gapless part of it, so its last event and
      its length tell it from any other.
    - Watches that differ in what they choose still share each event's encoding (events.py).
    - A part of a stream is bounded: whoever comes back after a while does not get all in one piece.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from apiserver.compression import gzip_batch
from apiserver.cycle import frame
from apiserver.part_cache import Part, PartCache, Sharing
from apiserver.resources import Resource
from apiserver.verbs.bringing import shown_events
from apiserver.verbs.events import EventEncoder, plain_type
from apiserver.verbs.selection import Selection
from storage.event import Event, EventKind
from storage.record import Record
from storage.watcher import Scope

PART_BYTES_MAX: Final = 64 << 10
"""Of bodies, from where on a part of a stream takes no more: a thousand clients that stop reading
leave that much each in memory."""
PART_EVENTS_MAX: Final = 512


_NOTHING: Final = Part(b"", 0)


class Frames:
    """Makes the parts of one watch's stream.

    Args of the constructor:
        chosen: which events.
        encoder: how they are written.
        scope: of the watch.
        kept: what many watches send alike.
        resource: of a custom type, whose events are brought to its version; None: a built-in one.

    Attributes:
        gzips: whether each part is compressed by itself.
    """

    def __init__(
        self,
        chosen: Selection,
        encoder: EventEncoder,
        scope: Scope,
        kept: PartCache,
        resource: Resource | None = None,
    ) -> None:
        self._chosen = chosen
        self._encoder = encoder
        self.gzips = False
        self._resource = resource
        self._kept = kept
        by_key = chosen.empty or chosen.not_names or chosen.not_namespaces
        # Without selectors that look at objects every event passes as it is.
        self._passes_all = chosen.match is None and not by_key
        self._looks_at_keys = bool(by_key or chosen.name is not None)
        self._sharing: Sharing | None = None
        if not by_key:
            # A name stands in the scope; what else is chosen by key is too rare to be shared.
            self._sharing = kept.join((encoder.shape, scope, chosen.match))

    def close(self) -> None:
        """Share nothing more. May be repeated."""
        sharing, self._sharing = self._sharing, None
        if sharing is not None:
            self._kept.leave(sharing)

    def part(self, events: Sequence[Event]) -> Part:
        """Return what the watch sends of a batch; see `fits`."""
        sharing = self._sharing
        if sharing is None or sharing.members == 1 or not self._encoder.is_shared:
            return self._make(events)
        key = (events[-1], len(events), self.gzips, sharing)
        part = self._kept.get(key)
        if part is None:
            part = self._make(events)
            self._kept.put(key, part)
        return part

    def _make(self, events: Sequence[Event]) -> Part:
        encode = self._encoder.event
        if self._resource is not None:
            events = shown_events(self._resource, events)
        if self._passes_all:
            lines = [encode(event, plain_type(event)) for event in events]
        else:
            typed = [(event, self._type_of(event)) for event in events]
            lines = [encode(event, kind) for event, kind in typed if kind]
        if not lines:
            return _NOTHING
        batch = b"".join(lines)
        return Part(frame(gzip_batch(batch) if self.gzips else batch), len(lines))

    def _type_of(self, event: Event) -> str:
        """Return the type of an event under the watch's selectors, "" if it is none of ours."""
        record, previous = event.record, event.previous
        if event.kind is EventKind.DELETE:
            return "DELETED" if previous is not None and self.matches(previous) else ""
        matches = self.matches(record)
        if previous is None:
            return "ADDED" if matches else ""
        # Most changes are none to what selectors look at.
        if previous.meta == record.meta or self.matches(previous) == matches:
            return "MODIFIED" if matches else ""
        return "ADDED" if matches else "DELETED"

    def matches(self, record: Record) -> bool:
        """Tell whether the watch is about an object in this state."""
        chosen = self._chosen
        if self._looks_at_keys and not chosen.admits(record.name, record.namespace):
            return False
        return chosen.match is None or chosen.match(record.meta)


def fits(events: Sequence[Event]) -> bool:
    """Tell whether a batch makes a single part."""
    return _end_of_part(events, 0) == len(events)


def parts_of(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    """Cut a batch into what makes a part of the stream each."""
    start = 0
    while start < len(events):
        end = _end_of_part(events, start)
        yield events[start:end]
        start = end


def _end_of_part(events: Sequence[Event], start: int) -> int:
    end = min(len(events), start + PART_EVENTS_MAX)
    size = 0
    for at in range(start, end):
        size += len(events[at].record.body)
        if size >= PART_BYTES_MAX:
            return at + 1
    return end
