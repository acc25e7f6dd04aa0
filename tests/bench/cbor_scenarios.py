"""CBOR beside JSON, of objects like custom resources: how many bytes, how much server CPU.

Each figure is CBOR's part of what the same costs in JSON, measured one after the other. What is
made once and then kept is measured apart ("cold"): a list of what nobody has asked for in CBOR yet.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any, Final

import orjson

from kube import codec_cbor
from tests.bench import custom_objects, wrk
from tests.bench.custom_objects import node_claim
from tests.bench.endpoint import Refused
from tests.bench.figures import EVENTS, WATCHERS, Figure
from tests.bench.scenarios import CONNECTIONS, Scene, watch_command

LISTED: Final = 10_000
BYTES_RATIO_MAX: Final = 0.85
CPU_RATIO_MAX: Final = 1.3
_BYTES_AIM: Final = "aim 75%"
_CPU_AIM: Final = "aim 100%"
_UNIT: Final = "% of JSON"
_LISTS: Final = 20
"""CPU is counted in ticks of 10 ms: less than a list takes."""
_SETTLE_S: Final = 0.3
_ROUNDS: Final = 3
_TYPES: Final = {"json": "application/json", "cbor": "application/cbor"}
_NAME_BYTES: Final = 14
"""What create.lua makes of a prefix of three letters: abc-0-00000001."""


def cbor(scene: Scene) -> list[Figure]:
    """Measure get, list, create and watch in both encodings."""
    figures = [*_listed(scene), _got(scene), _created(scene), _watched(scene)]
    for managed, what in ((False, ""), (True, " with managedFields")):
        obj = node_claim("a" * 20, managed=managed)
        figures.append(_bytes_figure(f"CBOR bytes, one object{what}", *_sizes(obj)))
    return figures


def _sizes(obj: dict[str, Any]) -> tuple[int, int]:
    return len(orjson.dumps(obj)), len(codec_cbor.encode(obj))


def _bytes_figure(what: str, json_bytes: int, cbor_bytes: int) -> Figure:
    ratio = cbor_bytes / json_bytes
    bar = f"≤ {BYTES_RATIO_MAX:.0%} ({_BYTES_AIM})"
    return Figure(what, ratio * 100, _UNIT, target=bar, is_met=ratio <= BYTES_RATIO_MAX)


def _cpu_figure(
    what: str, json_us: dict[str, float], cbor_us: dict[str, float], *, has_bar: bool = True
) -> Figure:
    """Return CBOR's part of the CPU; nothing to compare where processes are not known."""
    whole = sum(json_us.values())
    ratio = sum(cbor_us.values()) / whole if whole else 0.0
    figure = Figure(f"CBOR CPU, {what}", ratio * 100, _UNIT, cpu_us=cbor_us)
    if has_bar and whole:
        figure.target = f"≤ {CPU_RATIO_MAX:.0%} ({_CPU_AIM})"
        figure.is_met = ratio <= CPU_RATIO_MAX
    return figure


def _collection(scene: Scene) -> str:
    return scene.path(custom_objects.PLURAL, custom_objects.API)


def _best(scene: Scene, operations: int, run: Callable[[], object]) -> dict[str, float]:
    """Return CPU for each operation by process, of the cheapest of some runs."""
    meter = scene.server.meter
    runs = []
    for _ in range(_ROUNDS):
        before = meter.cpu_us()
        run()
        spent = meter.spent_us(before)
        runs.append({name: used / operations for name, used in spent.items()})
    return min(runs, key=lambda one: sum(one.values()))


def _listed(scene: Scene) -> list[Figure]:
    """Measure lists, first of what is not in CBOR yet."""
    endpoint, meter, path = scene.server.endpoint, scene.server.meter, _collection(scene)
    bodies = (orjson.dumps(node_claim(f"listed-{number:05d}")) for number in range(LISTED))
    endpoint.create_all(path, bodies)
    size = {}

    def lists(encoding: str, count: int = _LISTS) -> None:
        for _ in range(count):
            size[encoding] = endpoint.download(path, _accept, headers={"Accept": _TYPES[encoding]})

    json_us = _best(scene, _LISTS, lambda: lists("json"))
    before = meter.cpu_us()
    lists("cbor", 1)
    cold_us = meter.spent_us(before)
    warm_us = _best(scene, _LISTS, lambda: lists("cbor"))
    return [
        _bytes_figure(f"CBOR bytes, list {LISTED:,}", size["json"], size["cbor"]),
        _cpu_figure(f"list {LISTED:,}", json_us, warm_us),
        _cpu_figure(f"list {LISTED:,}, cold", json_us, cold_us, has_bar=False),
    ]


def _accept(head: bytes) -> None:
    if not head.startswith(b"HTTP/1.1 200"):
        raise Refused(f"list refused: {head[:300]!r}")


def _loaded(
    scene: Scene, path: str, script: str, encoding: str, **options: str
) -> dict[str, float]:
    """Return CPU for each request by process under one kind of load."""
    endpoint, meter = scene.server.endpoint, scene.server.meter
    before = meter.cpu_us()
    found = wrk.run(
        endpoint.url + path,
        script,
        connections=CONNECTIONS,
        seconds=scene.seconds,
        token=endpoint.token,
        accept=_TYPES[encoding],
        options=options,
    )
    spent = meter.spent_us(before)
    return {name: used / found.requests for name, used in spent.items()}


def _got(scene: Scene) -> Figure:
    path = _collection(scene)
    scene.server.endpoint.create(path, orjson.dumps(node_claim("read")))
    json_us, cbor_us = (
        _loaded(scene, f"{path}/read", "report.lua", encoding) for encoding in _TYPES
    )
    return _cpu_figure("get", json_us, cbor_us)


def _created(scene: Scene) -> Figure:
    """Measure creates sent and answered in either encoding; nothing of them can be kept."""
    spent = []
    for encoding, prefix in (("json", "jso"), ("cbor", "cbo")):
        body = custom_objects.template(encoding, _NAME_BYTES)
        file = scene.body_file(f"custom-{encoding}", body)
        options = {"body": file, "prefix": prefix, "type": _TYPES[encoding]}
        spent.append(_loaded(scene, _collection(scene), "create.lua", encoding, **options))
    return _cpu_figure("create", *spent, has_bar=False)


def _watched(scene: Scene) -> Figure:
    """Measure what a delivered event costs, without the writes that make it."""
    best: dict[str, dict[str, float]] = {}
    delivered = WATCHERS * EVENTS
    for turn in range(_ROUNDS):
        writes = _write_events(scene, f"alone-{turn}")
        for encoding in _TYPES:
            whole = _with_watches(scene, encoding, turn)
            one = {n: max(0.0, used - writes[n]) / delivered for n, used in whole.items()}
            best[encoding] = min(best.get(encoding, one), one, key=lambda cpu: sum(cpu.values()))
    return _cpu_figure(f"watch {WATCHERS} x {EVENTS:,}", *best.values(), has_bar=False)


def _write_events(scene: Scene, prefix: str) -> dict[str, float]:
    endpoint, meter = scene.server.endpoint, scene.server.meter
    bodies = [orjson.dumps(node_claim(f"{prefix}-{number}")) for number in range(EVENTS)]
    before = meter.cpu_us()
    endpoint.create_all(_collection(scene), bodies)
    time.sleep(_SETTLE_S)
    return meter.spent_us(before)


def _with_watches(scene: Scene, encoding: str, turn: int) -> dict[str, float]:
    endpoint, path = scene.server.endpoint, _collection(scene)
    listed = orjson.loads(endpoint.request("GET", f"{path}?limit=1"))
    query = f"?watch=1&resourceVersion={listed['metadata']['resourceVersion']}"
    command = [*watch_command(endpoint, path + query), "--accept", _TYPES[encoding]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as clients:
        assert clients.stdout is not None
        if clients.stdout.readline().strip() != "ready":
            raise Refused("watches were not answered; see above")
        spent = _write_events(scene, f"seen-{encoding}-{turn}")
        delivered = orjson.loads(clients.stdout.readline())["delivered"]
    if delivered < WATCHERS * EVENTS:
        raise Refused(f"only {delivered} of {WATCHERS * EVENTS} watch events were delivered")
    return spent
