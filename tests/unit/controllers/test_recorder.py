"""Events: correlated as client-go correlates them."""

from __future__ import annotations

import asyncio
from typing import Any

from controllers.recorder import (
    BURST,
    COMBINED,
    NOTES_BURST,
    NOTES_PER_S,
    REFILL_S,
    SIMILAR_S,
    Correlator,
    Recorder,
    Said,
)
from kube.client import Patch
from kube.status import StatusError
from runtime.clock import SimulatedClock

POD = {"kind": "Pod", "namespace": "n", "name": "p", "uid": "u", "apiVersion": "v1"}


class _Client:
    """Takes down what is written; refuses patches of events that are gone."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.sent: list[tuple[str, str, Any]] = []
        self.is_gone = False

    async def request(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        if method == "PATCH" and self.is_gone:
            raise StatusError(404, "NotFound", "gone")
        self.sent.append((method, path, body.document if isinstance(body, Patch) else body))
        return {}


def _write(client: Any, *messages: str, involved: dict[str, str] = POD) -> None:
    async def run() -> None:
        recorder = Recorder(client, "gc")
        for message in messages:
            await recorder.write(Said(involved, "Warning", "Wrong", message))

    asyncio.run(run())


def test_what_is_said_again_raises_a_count() -> None:
    client = _Client()
    _write(client, "a", "a", "a")
    (method, path, event), *more = client.sent
    assert (method, path) == ("POST", "/api/v1/namespaces/n/events")
    assert (event["count"], event["type"], event["reason"]) == (1, "Warning", "Wrong")
    assert event["involvedObject"] == POD
    assert event["source"] == {"component": "gc"}
    name = event["metadata"]["name"]
    assert name.startswith("p.")
    assert [(one[0], one[1].rpartition("/")[2], one[2]["count"]) for one in more] == [
        ("PATCH", name, 2),
        ("PATCH", name, 3),
    ]


def test_a_flood_of_notes_is_cut_short_and_warnings_are_not() -> None:
    client: Any = _Client()

    async def run() -> None:
        recorder = Recorder(client, "scheduler")

        async def say(kind: str, count: int) -> int:
            before = len(client.sent)
            for number in range(count):
                pod = {**POD, "name": f"{kind}-{before}-{number}"}
                await recorder.write(Said(pod, kind, "Scheduled", "to a node"))
            return len(client.sent) - before

        assert await say("Normal", NOTES_BURST + 100) == NOTES_BURST
        assert await say("Warning", 100) == 100
        await client.clock.advance(2.0)
        assert await say("Normal", 200) == 2 * NOTES_PER_S

    asyncio.run(run())


def test_notes_that_wait_leave_room_for_warnings() -> None:
    client: Any = _Client()
    recorder = Recorder(client, "scheduler")
    for number in range(NOTES_BURST + 100):
        recorder.note(POD, "Scheduled", f"pod {number}")
    assert len(recorder) == NOTES_BURST
    recorder.warn(POD, "FailedScheduling", "no node")
    assert len(recorder) == NOTES_BURST + 1


def test_an_event_that_expired_is_written_anew() -> None:
    client = _Client()
    client.is_gone = True
    _write(client, "a", "a")
    assert [method for method, *_ in client.sent] == ["POST", "POST"]


def test_events_of_the_cluster_are_in_the_default_namespace() -> None:
    client = _Client()
    _write(client, "a", involved={"kind": "Node", "name": "n1", "namespace": ""})
    assert client.sent[0][1] == "/api/v1/namespaces/default/events"


def test_more_than_ten_messages_of_one_reason_are_combined() -> None:
    correlator = Correlator()
    said = [Said(POD, "Warning", "Wrong", f"message {number}") for number in range(13)]
    found = [correlator.correlate(one, 1.0) for one in said]
    combined = [one for one in found if one is not None and one[1].startswith(COMBINED)]
    assert [text for _, text in combined] == [f"{COMBINED}message {n}" for n in (10, 11, 12)]
    assert len({key for key, _ in combined}) == 1
    later = correlator.correlate(said[0], 1.0 + SIMILAR_S + 1)
    assert later is not None
    assert later[1] == "message 0"


def test_an_object_is_told_of_25_times_in_a_burst_then_once_in_five_minutes() -> None:
    correlator = Correlator()
    said = Said(POD, "Warning", "Wrong", "a")
    admitted = [correlator.correlate(said, 1.0) is not None for _ in range(40)]
    assert sum(admitted) == BURST
    assert correlator.correlate(said, REFILL_S) is None
    assert correlator.correlate(said, 1.0 + REFILL_S) is not None
    other = Said({**POD, "name": "q"}, "Warning", "Wrong", "a")
    assert correlator.correlate(other, 1.0) is not None
