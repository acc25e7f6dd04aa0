"""Events, of the core group and of their own."""

from __future__ import annotations

from typing import Any, Final

from conformance.checks import eventually, same
from conformance.registry import case
from conformance.resource import STRATEGIC, Resource
from conformance.stage import Stage
from kube.json_types import JsonObject

_WHEN: Final = "2017-09-19T13:49:16.000000Z"
_SET: Final = "testevent-set=true"


def _events(stage: Stage) -> Resource:
    return stage.of("events.k8s.io/v1", "events", "Event")


def _core_events(stage: Stage) -> Resource:
    return stage.of("v1", "events", "Event")


def _event(stage: Stage, name: str, label: str) -> JsonObject:
    return {
        "metadata": {"name": name, "labels": {label: "true"}},
        "regarding": {"namespace": stage.namespace},
        "eventTime": _WHEN,
        "note": f"This is {name}",
        "action": "Do",
        "reason": "Test",
        "type": "Normal",
        "reportingController": "test-controller",
        "reportingInstance": "test-node",
    }


def _core_event(stage: Stage, name: str, labels: dict[str, str]) -> JsonObject:
    return {
        "metadata": {"name": name, "labels": labels},
        "message": f"This is {name}",
        "reason": "Test",
        "type": "Normal",
        "count": 1,
        "involvedObject": {"namespace": stage.namespace},
    }


async def _is_listed(events: Resource, namespace: str, name: str) -> bool:
    items = await events.items(labelSelector="testevent-constant=true")
    found = [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in items]
    return (namespace, name) in found


def _content(event: JsonObject) -> JsonObject:
    """Return an event without what the server notes down of its writing."""
    metadata = {
        name: value
        for name, value in event["metadata"].items()
        if name not in {"resourceVersion", "managedFields"}
    }
    return {**event, "metadata": metadata}


@case(
    "[sig-instrumentation] Events API should ensure that an event can be fetched, patched, "
    "deleted, and listed [Conformance]"
)
async def single(stage: Stage) -> None:
    """An event is found by label and by fields of both groups; patches and updates are exact."""
    events, name = _events(stage), "event-test"
    await events.create(_event(stage, name, "testevent-constant"))
    for scope in (events.anywhere(), events):
        same(await _is_listed(scope, stage.namespace, name), True, "the event is listed")
    by_source = await _core_events(stage).names(fieldSelector="source=test-controller")
    same(by_source, [name], "core events by source")
    by_controller = await events.names(fieldSelector="reportingController=test-controller")
    same(by_controller, [name], "events by reportingController")
    wanted = await events.get(name)
    series: Any = {"count": 2, "lastObservedTime": "2017-09-19T13:49:11.000000Z"}
    await events.patch(name, {"series": series}, STRATEGIC)
    found = await events.get(name)
    wanted["series"] = series
    same(_content(found), _content(wanted), "the event as patched")
    wanted["series"] = {"count": 100, "lastObservedTime": _WHEN}
    wanted["metadata"]["resourceVersion"] = ""
    await events.replace(wanted)
    same(_content(await events.get(name)), _content(wanted), "the event as updated")
    await events.delete(name)
    for scope in (events.anywhere(), events):
        same(await _is_listed(scope, stage.namespace, name), False, "the event is listed")


@case("[sig-instrumentation] Events API should delete a collection of events [Conformance]")
async def collection(stage: Stage) -> None:
    """Events are deleted by label."""
    events = _events(stage)
    for number in (1, 2, 3):
        await events.create(_event(stage, f"test-event-{number}", "testevent-set"))
    same(len(await events.items(labelSelector=_SET)), 3, "events with the label")
    await events.delete_all(_SET)
    same(await events.items(labelSelector=_SET), [], "events after the deletion")


@case("[sig-instrumentation] Events should delete a collection of events [Conformance]")
async def core_collection(stage: Stage) -> None:
    """So are those of the core group."""
    events = _core_events(stage)
    for number in (1, 2, 3):
        wanted = _core_event(stage, f"test-event-{number}", {"testevent-set": "true"})
        await events.create(wanted)
    same(len(await events.items(labelSelector=_SET)), 3, "events with the label")
    await events.delete_all(_SET)

    async def none_left() -> bool:
        return not await events.items(labelSelector=_SET)

    await eventually("the events are gone", none_left)


@case("[sig-instrumentation] Events should manage the lifecycle of an event [Conformance]")
async def core_lifecycle(stage: Stage) -> None:
    """Create, list in all namespaces, patch, update with a series, delete."""
    events, name = _core_events(stage), "event-test"
    await events.create(_core_event(stage, name, {"testevent-constant": "true"}))
    same(await _is_listed(events.anywhere(), stage.namespace, name), True, "listed")
    message = "This is a test event - patched"
    await events.patch(name, {"message": message}, STRATEGIC)
    same((await events.get(name))["message"], message, "the message patched")
    series: Any = {"count": 100, "lastObservedTime": _WHEN}

    def change(obj: JsonObject) -> None:
        obj["series"] = series

    await events.update(name, change)
    same((await events.get(name))["series"], series, "the series updated")
    await events.delete(name)
    same(await _is_listed(events.anywhere(), stage.namespace, name), False, "listed")
