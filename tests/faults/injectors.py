"""The faults themselves: each is done, lasts, and is undone before the next comes.

An injector returns how many processes it ended. What a fault must lead to at once (refusals that
say why, reads that go on) it looks at itself; that nothing was lost, the round's checks do.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from tests.faults import damage, switches
from tests.faults.objects import RESOURCES
from tests.faults.plan import Step
from tests.faults.recorder import Recorder
from tests.faults.rig import Rig
from tests.faults.switches import Switches

_POLL_S: Final = 0.02
_NOTICED_S: Final = 20.0
_FLIPS: Final = 24
_HOUR_S: Final = 3600.0
_LARGE: Final = "/api/v1/namespaces/default/configmaps"


@dataclass
class Scene:
    """What an injector works with.

    Attributes:
        fates: what became of damaged bytes.
    """

    rig: Rig
    recorder: Recorder
    fates: Counter[str] = field(default_factory=Counter)

    @property
    def journal_switches(self) -> Switches:
        """Those that the journal's process obeys."""
        return self.rig.switches[-1]

    def fault(self, step: Step, text: str) -> None:
        """Note that a fault led to what it must not."""
        self.recorder.fault(f"{step.fault} {step.mode}: {text}")

    def hold(self, step: Step) -> None:
        """Let a fault last."""
        threading.Event().wait(step.hold_ms / 1000)

    def wait_until(self, what: str, reached: Callable[[], bool]) -> None:
        """Return when something has come about.

        Raises:
            AssertionError: it has not.
        """
        deadline_s = time.monotonic() + _NOTICED_S
        while not reached():
            assert time.monotonic() < deadline_s, f"in {_NOTICED_S:g} s not: {what}"
            time.sleep(_POLL_S)

    def wait_refusals(self, count: int) -> None:
        """Return when so many more requests were refused."""
        goal = self.recorder.refusals() + count
        self.wait_until("refusals", lambda: self.recorder.refusals() >= goal)


def _server_of(step: Step) -> int:
    return int(step.parts[0].partition(":")[0])


def kill(scene: Scene, step: Step) -> int:
    """kill -9, of several at once."""
    return scene.rig.kill(*step.parts)


def kill_supervisor(scene: Scene, step: Step) -> int:
    """kill -9 of `ultraplane up`: all of its parts die with it."""
    cluster = scene.rig.clusters[_server_of(step)]
    parts = cluster.count_children()
    cluster.relaunch()
    return 1 + parts


def stop(scene: Scene, step: Step) -> int:
    """SIGSTOP, then SIGCONT: a process that is not dead and does not answer."""
    pids = scene.rig.pids(step.parts[0])
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    scene.hold(step)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    return 0


def link(scene: Scene, step: Step) -> int:
    """Between a server and the journal: cut, also within a frame; answers lost; silence; slowness.

    Answers that are lost are what makes the server send again what the journal has already.
    """
    proxy = scene.rig.proxies[_server_of(step)]
    match step.mode:
        case "cut":
            proxy.cut()
        case "cut-frame":
            proxy.cut_after(random.Random(step.seed).randrange(1, 3000))
            scene.hold(step)
        case "swallow":
            proxy.swallow_answers()
            scene.hold(step)
            proxy.cut()
        case "freeze":
            proxy.freeze()
            scene.hold(step)
            proxy.thaw()
        case _:
            proxy.delay(0.02)
            scene.hold(step)
            proxy.delay(0)
    return 0


def move_clock(scene: Scene, step: Step) -> int:
    """Let wall clocks jump by hours, and back: the journal's, a server's or all."""
    offset_s = float(step.mode.removesuffix("h")) * _HOUR_S
    whom = scene.rig.switches
    if step.parts[0] == "journal":
        whom = whom[-1:]
    elif step.parts[0] != "all":
        whom = [whom[_server_of(step)]]
    for one in whom:
        one.set(switches.CLOCK_OFFSET_S, offset_s)
    scene.hold(step)
    scene.recorder.wait_acknowledged(20)
    for one in whom:
        one.set(switches.CLOCK_OFFSET_S, 0)
    return 0


def slow_disk(scene: Scene, step: Step) -> int:
    """Let each sync of the log take long."""
    scene.journal_switches.set(switches.SYNC_DELAY_S, step.hold_ms / 10_000)
    scene.recorder.wait_acknowledged(20)
    scene.journal_switches.set(switches.SYNC_DELAY_S, 0)
    return 0


def fail_sync(scene: Scene, step: Step) -> int:
    """EIO: the stream closes for writing, until an operator starts the journal again."""
    scene.journal_switches.set(switches.SYNC_FAILS, 1 if step.mode == "kept" else 2)
    scene.wait_refusals(3)
    scene.journal_switches.set(switches.SYNC_FAILS, 0)
    return scene.rig.kill("journal")


def tear_write(scene: Scene, step: Step) -> int:
    """Let the journal die within a write, of which a part, or some sectors, got through."""
    before = scene.rig.pids("journal")
    own = scene.journal_switches
    own.set(switches.TORN_PART, step.seed & 0xFFFF)
    own.set(switches.TORN, 1 if step.mode == "prefix" else 2)
    scene.wait_until("a torn write", lambda: scene.rig.pids("journal") != before)
    if scene.rig.journal is not None:
        scene.rig.kill("journal")
    return 1


def damage_log(scene: Scene, step: Step) -> int:
    """Flip bits all over a log whose journal was killed; each alone, each put right again."""
    rig, chance = scene.rig, random.Random(step.seed)
    log, copy = rig.journal_directory, rig.directory / "damaged"
    with rig.held_down("journal"):
        damage.copy_log(log, copy)
        places = [p for p in damage.pick_places(log, chance, _FLIPS) if damage.is_refused(p)]
        if places:
            wrong = damage.refusal_of_process(log, rig.directory, places[0])
            if wrong:
                scene.fault(step, wrong)
    try:
        fates, faults = damage.judge_copy(copy, chance, _FLIPS)
    finally:
        shutil.rmtree(copy)
    scene.fates += fates
    for text in faults:
        scene.fault(step, text)
    return 1


def _empty_memory(rig: Rig, server: int) -> None:
    for entry in rig.memory(server).iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif not entry.name.startswith("."):
            entry.unlink()


def reboot(scene: Scene, _: Step) -> int:
    """Kill everything and empty the tmpfs: what is left is on the disk."""
    rig = scene.rig
    with rig.held_down(*rig.topology.parts):
        for server in range(rig.topology.servers):
            _empty_memory(rig, server)
    return len(rig.topology.parts)


def forget(scene: Scene, step: Step) -> int:
    """Kill who keeps a replica and take its files away, while workers still map them."""
    server = _server_of(step)
    rig = scene.rig
    keepers = [p for p in rig.topology.parts if p.startswith(f"{server}:storage")]
    with rig.held_down(*keepers):
        for partition in rig.memory(server).iterdir():
            if partition.is_dir():
                shutil.rmtree(partition)
    return len(keepers)


def damage_checkpoints(scene: Scene, step: Step) -> int:
    """Reboot with damage in the newest checkpoints: the older ones take their place."""
    server = _server_of(step)
    rig = scene.rig
    own = [part for part in rig.topology.parts if part.startswith(f"{server}:")]
    checkpoints = rig.clusters[server].directory / "checkpoints"
    with rig.held_down(*own):
        if checkpoints.is_dir():
            damaged = damage.damage_newest(checkpoints, random.Random(step.seed))
            scene.fates["checkpoints"] += len(damaged)
        _empty_memory(rig, server)
    return len(own)


def fill_log_disk(scene: Scene, step: Step) -> int:
    """No block is free for the log: writes are refused, reads go on, and it heals."""
    disk, cluster = scene.rig.disks["journal"], scene.rig.clusters[0]
    cluster.wait_ready()  # it may just have been killed, and is to answer reads
    disk.fill()
    try:
        _press(scene)
        scene.wait_refusals(3)
        path = "/api/v1/namespaces/default"
        if cluster.call("GET", path).code != 200:
            scene.fault(step, "a consistent read is refused, too")
    finally:
        disk.empty()
    _relieve(scene)
    return 0


def _press(scene: Scene) -> None:
    """Write large objects until one is not taken: what was allocated ahead is used up."""
    cluster = scene.rig.clusters[0]
    metadata = {"generateName": "large-", "labels": {"large": "yes"}}
    large = {"metadata": metadata, "data": {"text": "x" * 250_000}}
    for _ in range(40):
        try:
            answer = cluster.call("POST", _LARGE, large, timeout_s=3)
        except OSError:
            return
        scene.recorder.count(answer.code, answer.json)
        if answer.code != 201:
            return


def _relieve(scene: Scene) -> None:
    """Return when writes are taken again, and what `_press` has written is deleted."""
    scene.recorder.wait_acknowledged(5)
    with suppress(OSError):
        scene.rig.clusters[0].call("DELETE", f"{_LARGE}?labelSelector=large")


def fill_checkpoints_disk(scene: Scene, step: Step) -> int:
    """No block is free for checkpoints: nobody notices."""
    disk = scene.rig.disks["checkpoints"]
    disk.fill()
    try:
        scene.hold(step)
        scene.recorder.wait_acknowledged(20)
    finally:
        disk.empty()
    return 0


def fill_memory(scene: Scene, step: Step) -> int:
    """No page is free for the replica: writes wait or are refused, any state is still read."""
    disk, cluster = scene.rig.disks["memory"], scene.rig.clusters[0]
    cluster.wait_ready()  # it may just have been killed, and is to answer reads
    disk.fill()
    try:
        _press(scene)
        scene.hold(step)
        path = f"/api/v1/{RESOURCES[0]}?resourceVersion=0&limit=1"
        if cluster.call("GET", path).code != 200:
            scene.fault(step, "a read of any state is refused")
    finally:
        disk.empty()
    _relieve(scene)
    return 0


INJECTORS: Final[dict[str, Callable[[Scene, Step], int]]] = {
    "kill": kill,
    "supervisor": kill_supervisor,
    "stop": stop,
    "link": link,
    "clock": move_clock,
    "slow-disk": slow_disk,
    "sync-error": fail_sync,
    "torn": tear_write,
    "damage": damage_log,
    "reboot": reboot,
    "forget": forget,
    "checkpoint-damage": damage_checkpoints,
    "disk-full": fill_log_disk,
    "checkpoints-full": fill_checkpoints_disk,
    "memory-full": fill_memory,
}
