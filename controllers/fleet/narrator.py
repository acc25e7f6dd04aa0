"""What a kubelet says of pods in events, as often as a kubelet may: 50 a second, 100 at once.

That holds for the whole fleet: what is more is not told, as a flood of pods would be a threefold
flood of events.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from controllers.fleet.containers import Container, State
from controllers.fleet.lives import INVALID_IMAGE
from controllers.fleet.pod_life import Pod
from controllers.recorder import Recorder
from kube.json_types import JsonObject
from runtime.clock import Clock

EVENTS_PER_S: Final = 50.0
BURST: Final = 100.0


class Narrator:
    """See the module's head."""

    def __init__(self, recorder: Recorder, clock: Clock) -> None:
        self._recorder = recorder
        self._clock = clock
        self._left = BURST
        self._at_s = clock.monotonic_s()

    def tell(self, pod: Pod, before: Sequence[tuple[State, int]]) -> None:
        """Tell what has happened to a pod's containers since they were as in `before`."""
        for one, (state, restarts) in zip(pod.everyone, before, strict=True):
            if one.state is state and one.restarts == restarts:
                continue
            # A start is told in three events.
            if not self._admits(3 if one.state is State.RUNNING else 1):
                return
            self._tell_one(pod, one, restarts)
        if pod.verdict is not None and pod.is_over and pod.phase == "Failed" and self._admits():
            said = pod.verdict
            self._recorder.warn(_reference(pod), said.reason, said.message.strip())

    def killing(self, pod: Pod) -> None:
        """Tell that a pod's containers are being stopped."""
        for one in pod.everyone:
            if one.state is State.RUNNING and self._admits():
                text = f"Stopping container {one.shape.name}"
                self._recorder.note(_reference(pod, one), "Killing", text)

    def unmounted(self, pod: Pod) -> None:
        """Tell that a pod waits for its volumes."""
        if not self._admits():
            return
        names = " ".join(sorted(pod.mounts.values()))
        claims = ", ".join(f"error processing PVC {key}: PVC is not bound" for key in pod.mounts)
        text = f"Unable to attach or mount volumes: unmounted volumes=[{names}], "
        text += f"unattached volumes=[], failed to process volumes=[{names}]: {claims}"
        self._recorder.warn(_reference(pod), "FailedMount", text)

    def unsupplied(self, pod: Pod) -> None:
        """Tell that a pod waits for a ConfigMap or Secret."""
        if not self._admits():
            return
        if pod.supply.reason:
            self._recorder.warn(
                _reference(pod, pod.containers[0]), "Failed", f"Error: {pod.supply.message}"
            )
        else:
            self._recorder.warn(_reference(pod), "FailedMount", pod.supply.message)

    def _tell_one(self, pod: Pod, one: Container, restarts: int) -> None:
        name, about = one.shape.name, _reference(pod, one)
        # As it is written in most specs, which is how a kubelet tells of it.
        image = one.shape.image.removeprefix("docker.io/").removeprefix("library/")
        if one.has_run and one.state in (State.RUNNING, State.EXITED) and one.restarts >= restarts:
            if one.state is State.RUNNING:
                text = f'Container image "{image}" already present on machine'
                self._recorder.note(about, "Pulled", text)
                self._recorder.note(about, "Created", f"Created container: {name}")
                self._recorder.note(about, "Started", f"Started container {name}")
        elif one.state is State.BACKOFF:
            namespace, _, pod_name = pod.key.partition("/")
            text = f"Back-off restarting failed container {name} in pod {pod_name}_{namespace}"
            self._recorder.warn(about, "BackOff", f"{text}({pod.uid})")
        elif one.state is State.NO_IMAGE and pod.life.pull_failure == INVALID_IMAGE:
            self._recorder.warn(about, "InspectFailed", pod.life.message)
            self._recorder.warn(about, "Failed", f"Error: {INVALID_IMAGE}")
        elif one.state is State.NO_IMAGE:
            text = pod.life.message or "no such image"
            text = f'Failed to pull image "{image}": {text}'
            self._recorder.warn(about, "Failed", text)

    def _admits(self, count: int = 1) -> bool:
        now_s = self._clock.monotonic_s()
        self._left = min(BURST, self._left + (now_s - self._at_s) * EVENTS_PER_S)
        self._at_s = now_s
        # Where events wait already, the server has more to do than it can.
        if self._left < count or len(self._recorder) > BURST:
            return False
        self._left -= count
        return True


def _reference(pod: Pod, one: Container | None = None) -> JsonObject:
    namespace, _, name = pod.key.partition("/")
    reference: JsonObject = {
        "kind": "Pod",
        "apiVersion": "v1",
        "namespace": namespace,
        "name": name,
        "uid": pod.uid,
    }
    if one is not None:
        kind = "initContainers" if one.shape.is_init else "containers"
        kind = "ephemeralContainers" if one.shape.is_ephemeral else kind
        reference["fieldPath"] = f"spec.{kind}{{{one.shape.name}}}"
    return reference
