"""managedFields of an object that is updated: bytes, for as long as nobody looks into them.

Most writes leave them as they are but for a time, so they are not parsed with the object: they
stand in it as a fragment. What looks into objects is shown them parsed: webhooks, policies, and
whatever writes by rules of its own.
"""

from __future__ import annotations

import orjson

from apiserver.resources import Resource
from apiserver.tracking import Writing
from kube.json_types import JsonObject
from kube.managed.cut import cut
from kube.managed.entries import same_but_times


def hidden(resource: Resource, body: bytes) -> JsonObject:
    """Return a stored object whose managedFields are a fragment; parsed, where that is not easy."""
    bare, raw = cut(body, resource.prefix)
    obj: JsonObject = orjson.loads(bare)
    if raw:
        obj["metadata"]["managedFields"] = orjson.Fragment(raw)
    return obj


def track(resource: Resource, new: JsonObject, old: JsonObject, writing: Writing) -> None:
    """Set who manages what after an update or a patch, in place.

    Args:
        resource: the type, in the request's version.
        new: decoded and defaulted, nothing else done to it yet.
        old: as it is stored.
        writing: who writes what.
    """
    entries = resource.tracker.updated(old, new, writing)
    if entries:
        new["metadata"]["managedFields"] = entries
    else:
        new["metadata"].pop("managedFields", None)


def show_entries(new: JsonObject, old: JsonObject) -> None:
    """Have the managedFields of two states of an object parsed, in place."""
    before = old["metadata"].get("managedFields")
    after = new["metadata"].get("managedFields")
    if before.__class__ is orjson.Fragment:
        old["metadata"]["managedFields"] = orjson.loads(orjson.dumps(before))
    if after is before:
        new["metadata"]["managedFields"] = old["metadata"]["managedFields"]
    elif after.__class__ is orjson.Fragment:
        new["metadata"]["managedFields"] = orjson.loads(orjson.dumps(after))


def keep_times(new: JsonObject, old: JsonObject) -> None:
    """Let a write that changes only the times of managedFields change nothing, in place."""
    after = new["metadata"].get("managedFields")
    before = old["metadata"].get("managedFields")
    if not (after and before) or after == before:
        return
    for key in reversed(new):  # what is written comes last
        if key != "metadata" and new[key] != old.get(key):
            return  # as nearly always
    # Fragments do not tell what is in them; here they are looked into hardly ever.
    if not same_but_times(*orjson.loads(orjson.dumps((after, before)))):
        return
    new["metadata"]["managedFields"] = before
    if new != old:
        new["metadata"]["managedFields"] = after
