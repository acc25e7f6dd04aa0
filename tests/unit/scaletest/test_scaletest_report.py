"""What a run is made into: the table, the page, JSON, plots, what a terminal shows."""

from __future__ import annotations

import io
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from scaletest.latencies import Buckets, Request
from scaletest.plan import make_plan
from scaletest.report import plots
from scaletest.report.figures import LINES_MAX
from scaletest.report.files import JSON_FILE, PAGE_FILE, write_report
from scaletest.report.plots import Band, Line, Mark, Plot, draw, nice_step, thinned
from scaletest.running import PHASES
from scaletest.samples import Ending, PhaseRecord, Record, Window
from scaletest.verdict import Row, is_held, judge
from tests.unit.scaletest.scale_samples import sample
from ultraplane.scaletest_display import Display, show_table

PLAN = make_plan(0.01)
BOUNDS = (0.1, 0.2, 0.4, 1.0, 30.0, math.inf)
FAST = (990, 10, 0, 0, 0, 0)


def _window(counts: tuple[int, ...] = FAST) -> Window:
    buckets = Buckets(BOUNDS, tuple(map(float, counts)))
    verbs = (("GET", "resource"), ("PUT", "resource"), ("LIST", "cluster"))
    requests = [Request(verb, scope, "", "pods", "") for verb, scope in verbs]
    return Window("launch", 0.0, 60.0, dict.fromkeys(requests, buckets))


def _whole() -> Record:
    """Return a run in which every bar was held."""
    figures = {
        "launch": {"ready_s": 30.0, "ready_per_minute": 2000.0},
        "pre-training": {"running_s": 4.0},
        "mixed": {"running_s": 5.0, "is_leader_worker_set": 1.0},
        "scale-down": {"seconds": 20.0},
    }
    phases = [
        PhaseRecord(
            one.name,
            one.title,
            10.0 * at,
            10.0 * at + 10,
            Ending.DONE,
            "",
            figures.get(one.name, {}),
        )
        for at, one in enumerate(PHASES)
    ]
    times_s = {name: [0.01] * 50 for name in ("get", "create", "patch", "delete", "list 500 pods")}
    return Record(
        samples=[sample(0.0, 0, 0), sample(30.0, PLAN.nodes, PLAN.pods), sample(60.0, 0, 0)],
        phases=phases,
        windows=[_window()],
        latencies_s={**times_s, "pod is ready": [0.5] * 5},
        waits_s=[0.1, 0.2],
        responses={"200": 1000, "201": 500, "404": 3, "429": 2},
        failures={"404 GET pods": 3},
        machine={"cores": 2, "cpu": "a & b", "memory_bytes": 24 << 30, "system": "Linux 6"},
    )


def _row(record: Record, what: str) -> Row:
    return next(row for row in judge(PLAN, record) if row.what.startswith(what))


def test_a_run_in_which_all_is_well_holds_every_bar() -> None:
    rows = judge(PLAN, _whole())
    assert [row for row in rows if row.held is False] == []
    assert is_held(rows)
    assert sum(row.held is True for row in rows) >= 12


def test_a_run_that_measured_nothing_holds_no_bar_it_has_not_shown() -> None:
    rows = judge(PLAN, Record())
    assert not is_held(rows)
    missed = [row.what for row in rows if row.held is False]
    assert any(what.startswith("Completes") for what in missed)
    assert sum("p99" in what for what in missed) == 5


@pytest.mark.parametrize(
    ("what", "broken"),
    [
        ("Completes", {"phases": [PhaseRecord("fill", "", 0, 1, Ending.TIMED_OUT, "too long")]}),
        ("Errors that", {"errors": {"POST x: 403": 1}}),
        ("Answers of 500", {"responses": {"200": 9, "504": 1}}),
        ("Processes", {"restarts": 1}),
        ("Gets: p99", {"windows": [_window((0, 0, 99, 1, 0, 0))]}),
        ("Writes: p99", {"windows": [_window(), _window((900, 0, 100, 0, 0, 0))]}),
        ("Lists: p99 of", {"windows": [_window((900, 0, 0, 0, 100, 0))]}),
        ("Gets and writes: p99 for", {"latencies_s": {"get": [0.3] * 50}}),
        ("Lists: p99 for", {"latencies_s": {"list 500 pods": [11.0] * 50}}),
        ("Ready nodes", {"samples": [sample(1.0, 999, 3000)]}),
        ("Pods at once", {"samples": [sample(1.0, 1000, 2999)]}),
    ],
)
def test_each_bar_is_missed_by_what_it_is_about(what: str, broken: dict[str, object]) -> None:
    assert _row(_whole(), what).held is True
    assert _row(replace(_whole(), **broken), what).held is False


def test_refusals_with_429_are_no_errors() -> None:
    assert _row(_whole(), "Deliberate").here == "2"
    assert is_held(judge(PLAN, _whole()))


def test_the_worst_window_counts_if_it_has_enough_requests() -> None:
    record = _whole()
    record.windows.append(_window((90, 0, 0, 9, 0, 0)))  # 99 requests
    assert _row(record, "Gets: p99").held is True
    record.windows.append(_window((90, 0, 0, 10, 0, 0)))
    assert _row(record, "Gets: p99").held is False


def test_a_stand_in_for_inference_groups_misses_its_bar() -> None:
    record = _whole()
    assert _row(record, "Inference").held is True
    mixed = record.phase("mixed")
    assert mixed is not None
    mixed.figures["is_leader_worker_set"] = 0.0
    assert _row(record, "Inference").held is False


def test_a_run_of_one_percent_has_two_minutes_and_a_larger_one_has_no_such_bar() -> None:
    record = _whole()
    record.phases[-1].end_s = 121.0
    assert _row(record, "The whole run").held is False
    large = next(row for row in judge(make_plan(0.1), record) if row.what == "The whole run")
    assert large.held is None


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "path", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "path":
            assert self.open.pop() == tag


def _written(tmp_path: Path, record: Record) -> tuple[str, dict[str, object]]:
    rows = judge(PLAN, record)
    write_report(tmp_path / "new", PLAN, record, rows, "1.2.3")
    page = (tmp_path / "new" / PAGE_FILE).read_text()
    document: dict[str, object] = orjson.loads((tmp_path / "new" / JSON_FILE).read_bytes())
    return page, document


def test_the_page_is_one_file_that_fetches_nothing(tmp_path: Path) -> None:
    page, _ = _written(tmp_path, _whole())
    parser = _Page()
    parser.feed(page)
    assert parser.open == []
    assert parser.tags.count("svg") == 12
    assert not {"script", "img", "link", "iframe"} & set(parser.tags)
    assert all(link.startswith("https://aws.amazon.com/") for link in parser.links)
    assert "url(" not in page
    assert "@import" not in page


def test_the_page_says_what_was_measured_and_what_was_missed(tmp_path: Path) -> None:
    record = _whole()
    page, _ = _written(tmp_path, record)
    assert "all bars held" in page
    assert "a &amp; b" in page
    record.errors = {"POST <x>": 1}
    page, _ = _written(tmp_path, record)
    assert "1 bar missed" in page
    assert "POST &lt;x&gt;" in page


def test_a_page_is_made_of_a_run_that_was_stopped_at_once(tmp_path: Path) -> None:
    page, document = _written(tmp_path, Record())
    assert "missed" in page
    assert document["samples"] == []


def test_the_json_has_every_sample_and_the_table(tmp_path: Path) -> None:
    _, document = _written(tmp_path, _whole())
    assert document["held"] is True
    samples = document["samples"]
    assert isinstance(samples, list)
    assert [one["pods"] for one in samples] == [0, PLAN.pods, 0]
    assert samples[0]["processes"]["apiserver"]["cores"] == 0.5
    table = document["table"]
    assert isinstance(table, list)
    assert {"what", "published", "here", "bar", "held"} == set(table[0])
    windows = document["windows"]
    assert isinstance(windows, list)
    assert windows[0]["latencies"][0]["p99_s"] == pytest.approx(0.1)


def test_there_is_a_colour_for_every_line_a_plot_may_have() -> None:
    style = (Path(plots.__file__).parent / "style.css").read_text()
    for number in range(LINES_MAX):
        assert f".c{number} {{" in style
        assert f".b{number} {{" in style
        assert style.count(f"--c{number}:") == 2  # by day and by night


def test_thinning_keeps_peaks_and_gaps() -> None:
    points: list[tuple[float, float | None]] = [(float(at), 1.0) for at in range(1000)]
    points[333] = (333.0, 99.0)
    points[500:520] = [(float(at), None) for at in range(500, 520)]
    thin = thinned(points, 100)
    assert len(thin) == 100
    assert (333.0, 99.0) in thin
    assert any(value is None for _, value in thin)
    assert thinned(points[:50], 100) == points[:50]


@pytest.mark.parametrize(
    ("high", "step"), [(1000, 250), (1, 0.25), (7, 2), (523, 200), (0.82, 0.25)]
)
def test_axes_have_round_steps(high: float, step: float) -> None:
    assert nice_step(high) == pytest.approx(step)


def test_lines_stay_within_the_drawing() -> None:
    line = Line("a<b", [(0.0, 0.0), (5.0, None), (10.0, 4e9), (99.0, 1.0)])
    text = draw(Plot("T", "n", [line], str, [Mark("m", 3.0)]), [Band("p", 0, 10)], 10.0)
    assert "a&lt;b" in text
    found = re.search(r'class="line c0" d="([^"]*)"', text)
    assert found is not None
    numbers = re.findall(r"[ML]([\d.]+) ([\d.]+)", found[1])
    assert len(numbers) == 3
    assert found[1].count("M") == 2
    assert all(0 <= float(x) <= 640 and 0 <= float(y) <= 250 for x, y in numbers)


def _shown(*, is_terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=is_terminal, width=140)
    phase = PhaseRecord("launch", "Nodes are launched", 1.0, done=7, total=10)
    with Display(console) as display:
        display.on_phase(phase)
        display.on_sample(sample(12.0, 70, 210), phase)
        phase.ending, phase.end_s = Ending.TIMED_OUT, 61.0
        phase.why = "not done within 60 s"
        display.on_phase(phase)
    return out.getvalue()


def test_what_is_no_terminal_gets_plain_lines() -> None:
    text = _shown(is_terminal=False)
    assert "\x1b" not in text
    assert "Nodes are launched …" in text
    assert "12.0 s: 7 of 10, 70 nodes ready, 210 pods" in text
    assert "Nodes are launched: timed out in 60.0 s: not done within 60 s" in text


def test_a_terminal_gets_bars_and_figures() -> None:
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", _shown(is_terminal=True))
    assert "7/10" in text
    assert "apiserver 0.50 cores" in text
    assert all(phase.title in text for phase in PHASES)


def test_the_table_shows_what_a_bar_is_about_in_full() -> None:
    out = io.StringIO()
    show_table(Console(file=out, width=200), judge(PLAN, _whole()))
    assert "Answers of 500 and above" in out.getvalue()
    assert "900,000" in out.getvalue()
