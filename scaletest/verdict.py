"""The table of a run: what was published, what is here, what the bar is, whether it was held.

Latency bars are the same at any scale; sizes have bars of their own scale. A row without a bar is
there to be compared, and nothing fails by it. Percentiles of the server are judged as upstream's
objectives are: over windows of five minutes at most, and the worst counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from scaletest import published
from scaletest.latencies import Kind, by_kind, quantile_s
from scaletest.plan import GROUP_PODS, Plan
from scaletest.processes import OTHERS
from scaletest.running import PHASES
from scaletest.samples import Ending, PhaseRecord, Record, percentile

SINGLE_S_MAX: Final = 0.25
LIST_S_MAX: Final = 10.0
SMALL_SCALE: Final = 0.01
SMALL_RUN_S_MAX: Final = 120.0
_REQUESTS_MIN: Final = 100
"""Of fewer requests in a window nobody can tell a 99th percentile."""
_PROBES_MIN: Final = 20
_SINGLE: Final = ("get", "create", "patch", "delete")
_LISTS: Final = "list"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        held: whether the bar was held; None: there is none.
    """

    what: str
    published: str
    here: str
    bar: str
    held: bool | None


def judge(plan: Plan, record: Record) -> list[Row]:
    """Return the table of a run, whole or not."""
    return [
        _completion(record),
        *_errors(record),
        *_server_latencies(record),
        *_probed_latencies(record),
        *_sizes(plan, record),
        *_rates(plan, record),
        *_durations(plan, record),
    ]


def is_held(rows: Iterable[Row]) -> bool:
    """Return whether no bar was missed."""
    return all(row.held is not False for row in rows)


def _completion(record: Record) -> Row:
    done = sum(phase.ending is Ending.DONE for phase in record.phases)
    here = f"{done} of {len(PHASES)} phases"
    broken = [one for one in record.phases if one.ending not in (None, Ending.DONE)]
    if broken:
        here += f"; {broken[0].name}: {broken[0].why}"
    return Row("Completes unattended", "yes", here, "all phases", done == len(PHASES))


def _errors(record: Record) -> list[Row]:
    total = sum(record.errors.values())
    worst = max(record.errors, key=lambda text: record.errors[text], default="")
    here = f"{total:,}" + (f"; most: {worst[:120]}" if worst else "")
    server = sum(count for code, count in record.responses.items() if code >= "500")
    refused = record.responses.get("429", 0)
    return [
        Row("Errors that the test's own requests met", "—", here, "0", total == 0),
        Row("Answers of 500 and above", "—", f"{server:,}", "0", server == 0),
        Row("Deliberate refusals (429)", "—", f"{refused:,}", "—", None),
        Row(
            "Processes that were started again",
            "—",
            f"{record.restarts}",
            "0",
            record.restarts == 0,
        ),
    ]


def worst_p99_s(record: Record, kind: Kind) -> float | None:
    """Return the highest 99th percentile of any window, in seconds; None: there is none."""
    found = []
    for window in record.windows:
        buckets = by_kind(window.histograms).get(kind)
        if buckets is not None and buckets.total >= _REQUESTS_MIN:
            found.append(quantile_s(buckets, 0.99))
    return max(found, default=None)


def _server_latencies(record: Record) -> list[Row]:
    rows = []
    for kind, slo_s, bar_s in (
        (Kind.GET, published.SINGLE_OBJECT_SLO_S, SINGLE_S_MAX),
        (Kind.WRITE, published.SINGLE_OBJECT_SLO_S, SINGLE_S_MAX),
        (Kind.LIST, published.LIST_SLO_S, LIST_S_MAX),
    ):
        p99_s = worst_p99_s(record, kind)
        what = f"{kind.value.capitalize()}s: p99 of the worst five minutes, by the server"
        rows.append(_latency(what, slo_s, bar_s, p99_s))
    return rows


def _probed_latencies(record: Record) -> list[Row]:
    times_s = record.latencies_s
    single = [one for name in _SINGLE for one in times_s.get(name, ())]
    lists = [one for name, some in times_s.items() if name.startswith(_LISTS) for one in some]
    pods = times_s.get("pod is ready", [])
    rows = [
        _latency(
            "Gets and writes: p99 for a client",
            published.SINGLE_OBJECT_SLO_S,
            SINGLE_S_MAX,
            percentile(single, 0.99) if len(single) >= _PROBES_MIN else None,
        ),
        _latency(
            "Lists: p99 for a client",
            published.LIST_SLO_S,
            LIST_S_MAX,
            percentile(lists, 0.99) if len(lists) >= _PROBES_MIN else None,
        ),
    ]
    ready = f"{percentile(pods, 0.99):.2f} s" if pods else "not measured"
    rows.append(Row("A pod beside the load: p99 until Ready", "≤ 5 s (upstream)", ready, "—", None))
    return rows


def _latency(what: str, slo_s: float, bar_s: float, p99_s: float | None) -> Row:
    bar = f"< {bar_s * 1000:g} ms" if bar_s < 1 else f"< {bar_s:g} s"
    here = "too few requests" if p99_s is None else shown_s(p99_s)
    # What was not measured was not held.
    return Row(what, f"≤ {slo_s:g} s", here, bar, p99_s is not None and p99_s < bar_s)


def _sizes(plan: Plan, record: Record) -> list[Row]:
    samples = record.samples
    nodes = max((one.ready_nodes for one in samples), default=0)
    pods = max((one.pods for one in samples), default=0)
    objects = max((one.objects_total for one in samples), default=0)
    store = max((one.store_bytes for one in samples), default=0)
    return [
        Row(
            "Ready nodes",
            f"{published.NODES:,}",
            f"{nodes:,}",
            f"{plan.nodes:,}",
            nodes >= plan.nodes,
        ),
        Row(
            "Pods at once", f"{published.PODS:,}", f"{pods:,}", f"{plan.pods:,}", pods >= plan.pods
        ),
        Row("Objects at once", f"> {published.OBJECTS:,}", f"{objects:,}", "as fit", None),
        Row(
            "Store, all partitions",
            f"{published.STORE_GB} GB",
            shown_bytes(store),
            f"≤ {shown_bytes(plan.store_bytes_max)}",
            store <= plan.store_bytes_max,
        ),
    ]


def _rates(plan: Plan, record: Record) -> list[Row]:
    launch = record.phase("launch")
    rate = launch.figures.get("ready_per_minute") if launch else None
    bound = max((one.bound_s for one in record.samples), default=0.0)
    waits_s = record.waits_s
    rows = [
        Row(
            "Nodes that become Ready in a minute",
            f"{published.READY_NODES_PER_MINUTE:,}",
            "not reached" if rate is None else f"{rate:,.0f}",
            "—",
            None,
        ),
        Row(
            "Pods scheduled in a second, at most",
            f"{published.SCHEDULER_PODS_PER_S}",
            f"{bound:,.0f}",
            "—",
            None,
        ),
        Row(
            "A pod's wait for a node, queue included: p50, p99",
            "—",
            f"{percentile(waits_s, 0.5):.2f} s, {percentile(waits_s, 0.99):.2f} s",
            "—",
            None,
        ),
    ]
    for name, what in (
        ("pre-training", f"Pre-training: {plan.nodes:,} pods run"),
        ("mixed", f"Mixed mode: {plan.nodes:,} pods run"),
    ):
        rows.append(Row(what, "—", _seconds(record.phase(name), "running_s"), "—", None))
    mixed = record.phase("mixed")
    if mixed is not None and mixed.figures.get("is_leader_worker_set") is not None:
        served = mixed.figures["is_leader_worker_set"] > 0
        here = f"{plan.groups:,} groups of {GROUP_PODS}" if served else "a StatefulSet stands in"
        rows.append(Row("Inference by LeaderWorkerSet", "yes", here, "yes", served))
    return rows


def _durations(plan: Plan, record: Record) -> list[Row]:
    down = record.phase("scale-down")
    rows = [
        Row(
            "Launch of all nodes",
            f"{published.LAUNCH_MINUTES} min",
            _seconds(record.phase("launch"), "ready_s"),
            "—",
            None,
        ),
        Row(
            "Scale-down of all nodes",
            f"{published.SCALE_DOWN_MINUTES} min",
            _seconds(down, "seconds"),
            "—",
            None,
        ),
    ]
    whole_s = record.phases[-1].end_s if record.phases else 0.0
    is_small = plan.scale <= SMALL_SCALE
    bar = f"< {SMALL_RUN_S_MAX:g} s" if is_small else "—"
    held = whole_s < SMALL_RUN_S_MAX if is_small else None
    rows.append(Row("The whole run", "—", shown_duration(whole_s), bar, held))
    return rows


def others_text(record: Record) -> str:
    """Return how much of the machine others had meanwhile, as text."""
    cores = [one.processes[OTHERS].cores for one in record.samples if OTHERS in one.processes]
    if not cores:
        return "what others did meanwhile was not measured"
    return f"others used {sum(cores) / len(cores):.2f} cores meanwhile, on average"


def _seconds(phase: PhaseRecord | None, figure: str) -> str:
    value = phase.figures.get(figure) if phase else None
    return "not reached" if value is None else shown_duration(value)


def shown_s(seconds: float) -> str:
    """Return a latency as text."""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def shown_duration(seconds: float) -> str:
    """Return a duration as text."""
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def shown_bytes(count: float) -> str:
    """Return a size as text, in powers of ten as disks and the published figures are."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.2f} {unit}"
    return f"{count:.0f} B"
