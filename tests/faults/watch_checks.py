"""What watchers saw, held against the log's history, by etcd's guarantees and the API's.

    ordered      revisions grow, within a stream and from one stream of a watcher to the next
    unique       no event comes twice
    complete     between its start and its last event, a stream has all that its selection has
    resumable    the first event of a stream is the first after its start
    bookmarks    no event up to a bookmark's revision comes after it, and none is missing before
    selection    ADDED on coming into it, DELETED on leaving, with the state before; else nothing

Pure: each function returns what is wrong, as sentences.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from tests.faults.history import Stream, selects
from tests.integration.kill_model import Change, Key

_BOOKMARK = "BOOKMARK"


def expected_events(history: Iterable[Change], tier: str) -> list[Change]:
    """Return what a watch of a selection is told of a history from its beginning."""
    if not tier:
        return list(history)
    found = []
    marks: dict[Key, str] = {}
    for change in history:
        before = marks.get(change.key)
        was_in = before is not None and selects(tier, before)
        is_in = change.kind != "DELETED" and selects(tier, change.mark)
        if is_in:
            found.append(change._replace(kind="MODIFIED" if was_in else "ADDED"))
        elif was_in and before is not None:
            # Whoever leaves is shown as it was last in the selection.
            found.append(change._replace(kind="DELETED", mark=before))
        if change.kind == "DELETED":
            marks.pop(change.key, None)
        else:
            marks[change.key] = change.mark
    return found


def check_stream(stream: Stream, history: Sequence[Change]) -> list[str]:
    """Check one stream by all guarantees.

    Args:
        stream: of one type.
        history: of that type, from before the stream's start.
    """
    named = f"{stream.watcher}, {stream.resource} {stream.tier} from {stream.start}"
    faults = [f"{named}: {fault}" for fault in _check_order(stream)]
    events = [event for event in stream.events if event.kind != _BOOKMARK]
    wanted = [
        change
        for change in expected_events(history, stream.tier)
        if stream.start < change.revision <= stream.end
    ]
    if events != wanted:
        seen, known = set(events), set(wanted)
        faults += [f"{named}: missed {change}" for change in wanted if change not in seen]
        faults += [f"{named}: nothing like it is known: {e}" for e in events if e not in known]
    return faults


def _check_order(stream: Stream) -> list[str]:
    faults = []
    last, last_bookmark = stream.start, stream.start
    for event in stream.events:
        if event.kind == _BOOKMARK:
            if event.revision < last:
                faults.append(f"bookmark {event.revision} after {last}")
            last_bookmark = max(last_bookmark, event.revision)
        elif event.revision <= last_bookmark and last_bookmark > stream.start:
            faults.append(f"{event} after a bookmark of {last_bookmark}")
        elif event.revision <= last:
            faults.append(f"{event} after revision {last}")
        last = max(last, event.revision)
    return faults


def check_chain(streams: Sequence[Stream]) -> list[str]:
    """Each stream of a watcher begins where the one before ended: so all together are complete."""
    return [
        f"{after.watcher} went on at {after.start}, and had seen {before.end}"
        for before, after in itertools.pairwise(streams)
        if before.end != after.start
    ]
