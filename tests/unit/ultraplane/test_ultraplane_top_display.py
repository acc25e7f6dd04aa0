"""What `ultraplane top` writes: sober without a terminal, and never more than may be seen."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from ultraplane.top_display import SORTS, line, render, seconds_text
from ultraplane.top_figures import Requests, View

_NODES = {"total": 5, "ready": 3, "notReady": 1, "unknown": 1, "cordoned": 2, "tainted": 0}


def view(**more: Any) -> View:
    """Return something to be shown."""
    quick, slow = Requests(200.0, 0, 0, 0.001, 0.004), Requests(1.0, 0, 0, 0.5, 2.5)
    facts: dict[str, Any] = {
        "at_ms": 1_700_000_000_000,
        "nodes": {**_NODES, "complete": True},
        "pods": {"total": 9, "unbound": 2, "Running": 7, "Pending": 2, "complete": True},
        "requests": {"GET": quick, "LIST": slow},
        "total_per_s": 201.0,
        "latency": quick,
        "lag_s": 0.0,
        "partitions": [
            {
                "name": "default",
                "ready": False,
                "failure": "[red]odd[/]",
                "revision": 7,
                "objects": 3,
                "bytes": 2048,
                "lag": 4,
                "watchers": 1,
            }
        ],
        "watches": 12,
        "watch_events_per_s": 3.0,
        "levels": {"exempt": {"seats": 1, "current": 2, "waiting": 0, "rejected": 0}},
        "scheduler": None,
        "controllers": {
            "jobs": {"waiting": 3, "delayed": 1, "worked_per_s": 2.0, "failed_per_s": 0}
        },
        "alarms": [],
        **more,
    }
    return View(**facts)


def shown(what: View, sort: str = "rate") -> str:
    """Return the picture as it goes into a file."""
    file = io.StringIO()
    console = Console(file=file, width=120)
    console.print(render(what, "https://here", sort, is_live=False))
    return file.getvalue()


def test_without_a_terminal_nothing_moves_and_nothing_is_coloured() -> None:
    text = shown(view())
    assert "\x1b" not in text
    assert "ready of 5" in text
    assert "q leaves" not in text


def test_texts_of_the_server_are_no_markup() -> None:
    alarm = {"name": "memory", "level": "warning", "text": "[bold]not much[/]"}
    text = shown(view(alarms=[alarm]))
    assert "[red]odd[/]" in text
    assert "[bold]not much[/]" in text


@pytest.mark.parametrize(("sort", "first"), [("rate", "GET"), ("p99", "LIST"), ("verb", "GET")])
def test_verbs_come_in_the_order_asked_for(sort: str, first: str) -> None:
    assert sort in SORTS
    text = shown(view(), sort)
    assert min(("GET", "LIST"), key=lambda verb: text.index(f"\n{verb} ")) == first


def test_what_may_not_be_seen_is_said_and_left_out() -> None:
    text = shown(view(nodes=None, pods=None))
    assert text.count("you may not list them") == 2
    assert "nodes" not in line(view(nodes=None, pods=None))


def test_a_line_tells_what_matters() -> None:
    queue = {"active": 2, "backoff": 1, "unschedulable": 1, "gated": 0}
    told = {"queue": queue, "bound_per_s": 12.0, "wait_p99_s": 0.1}
    assert line(view(scheduler=told)) == (
        "22:13:20Z; nodes 3/5; pods 7/9, 2 unplaced; 201 requests/s, p99 4.0 ms; lag 0 ms; "
        "12 watches, 3 events/s; 12 pods/s bound, 4 queued"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0 ms"),
        (0.00025, "250 µs"),
        (0.0042, "4.2 ms"),
        (0.3, "300 ms"),
        (2, "2.0 s"),
    ],
)
def test_durations_have_the_unit_that_suits(seconds: float | None, text: str) -> None:
    assert seconds_text(seconds) == text
