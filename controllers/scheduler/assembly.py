"""The scheduler's parts, put together: what is watched, who decides, who is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from controllers.recorder import Recorder
from controllers.scheduler.configuration import Configuration
from controllers.scheduler.defaults import OWNERS, SERVICES, Defaults
from controllers.scheduler.devices.binding import DeviceStep
from controllers.scheduler.devices.plugin import Devices
from controllers.scheduler.engine import Engine
from controllers.scheduler.intake import Intake
from controllers.scheduler.plugins import Plugins
from controllers.scheduler.preemption import Preemption
from controllers.scheduler.preparation import Step
from controllers.scheduler.queue import PodQueue, Waiting
from controllers.scheduler.scheduler import Scheduler
from controllers.scheduler.shapes import DEFAULT_SCHEDULER
from controllers.scheduler.terms import parse_selector
from controllers.scheduler.victims import Budget
from controllers.scheduler.volumes.binding import VolumeStep
from controllers.scheduler.volumes.plugin import Volumes
from controllers.volumes.facts import CLASSES, VOLUMES
from kube.client import ApiClient, Unreachable
from kube.informers.informer import Informers
from kube.informers.store import Store
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

NODES: Final = "/api/v1/nodes"
PODS: Final = "/api/v1/pods"
_SCHEDULING: Final = "/apis/scheduling.k8s.io"
NAMESPACES: Final = "/api/v1/namespaces"
BUDGETS: Final = "/apis/policy/v1/poddisruptionbudgets"
CLAIMS: Final = "/api/v1/persistentvolumeclaims"
_STORAGE: Final = "/apis/storage.k8s.io/v1"
_RESOURCE: Final = "/apis/resource.k8s.io/v1"
_log = logging.getLogger(__name__)


class Helper(Protocol):
    """Who works beside decisions."""

    def start(self, scope: TaskScope) -> None:
        """Start to work."""
        ...


@dataclass(frozen=True, slots=True)
class Assembled:
    """A scheduler that is not started yet.

    Attributes:
        informers: to be started, and waited for, first.
    """

    informers: Informers
    scheduler: Scheduler
    helpers: Sequence[Helper]
    recorder: Recorder

    def start(self, scope: TaskScope) -> None:
        """Start to decide, once all there is is known."""
        self.recorder.start(scope)
        for helper in self.helpers:
            helper.start(scope)
        self.scheduler.start(scope)
        self.scheduler.wake()


class Apis(NamedTuple):
    """What the API has of what it may not have.

    Attributes:
        groups: path of the version that has pod groups; empty: none has.
        has_devices: whether there are device claims.
    """

    groups: str
    has_devices: bool


def assemble(client: ApiClient, configuration: Configuration, apis: Apis) -> Assembled:
    """Return the scheduler of a configuration.

    Args:
        client: of the scheduler.
        configuration: what it is told.
        apis: what there is to be watched.
    """
    informers = Informers(client)
    queue = PodQueue(client.clock, configuration.backoff_s_min, configuration.backoff_s_max)
    engine = Engine(configuration.profiles)
    recorder = Recorder(client, DEFAULT_SCHEDULER)
    scheduler = Scheduler(client, engine, queue, recorder)
    owners = {kind: informers.of(path).store for kind, path in OWNERS.items()}
    defaults = Defaults(configuration.profiles, owners)
    informers.of(SERVICES).on_changes(defaults.take_services)
    intake = Intake(engine, queue, scheduler.gangs, defaults.of, scheduler.wake)
    informers.of(NODES).on_changes(intake.take_nodes)
    informers.of(NAMESPACES, metadata_only=True).on_changes(intake.take_namespaces)
    pods = informers.of(PODS)
    pods.on_changes(intake.take_pods)

    def reread(pod: Waiting) -> Waiting | None:
        known = pods.store.get(pod.key)
        if known is None or known["metadata"]["uid"] != pod.uid:
            return None
        if known["spec"].get("nodeName") or known["metadata"].get("deletionTimestamp"):
            return None
        return intake.read(pod.key, known)

    scheduler.reread = reread
    volumes = _watch_volumes(informers, engine, scheduler.wake)
    engine.extensions = [volumes]
    stores = (informers.of(CLAIMS).store, informers.of(VOLUMES).store)
    step = VolumeStep(client, volumes, stores, configuration.profiles)
    steps: list[Step] = [step]
    helpers: list[Helper] = []
    if apis.has_devices:
        claims = informers.of(f"{_RESOURCE}/resourceclaims")
        devices = _watch_devices(informers, engine, claims.store, scheduler.wake)
        engine.extensions.append(devices)
        device_step = DeviceStep(client, devices, claims.store)
        steps.append(device_step)
        helpers.append(device_step)
    engine.extensions.append(Plugins(configuration.plugins, engine.state.columns))
    scheduler.preparations.steps = steps
    budgets = informers.of(BUDGETS, indexers={"namespace": _namespace})
    preemption = Preemption(
        client,
        engine,
        recorder,
        lambda namespace: [_budget(one) for one in budgets.store.find("namespace", namespace)],
    )
    budgets.on_changes(lambda _: preemption.candidates.forget())
    preemption.count = scheduler.metrics.preempted
    scheduler.make_room = preemption.make_room
    scheduler.make_room_for_all = preemption.make_room_for_all
    helpers.append(preemption)
    if apis.groups:
        scheduler.watch_groups(apis.groups)
        informers.of(f"{apis.groups}/podgroups").on_changes(scheduler.gangs.take)
    return Assembled(informers, scheduler, helpers, recorder)


def _watch_volumes(informers: Informers, engine: Engine, wake: Callable[[], None]) -> Volumes:
    """Return what volumes have to say, fed by all that they depend on."""
    volumes = Volumes(engine.state.columns)
    book, attached = volumes.book, volumes.attached
    engine.state.on_claims.append(attached.take_pod)
    for path, take in (
        (CLASSES, book.take_classes),
        (CLAIMS, book.take_claims),
        (VOLUMES, book.take_volumes),
        (f"{_STORAGE}/csidrivers", book.take_drivers),
        (f"{_STORAGE}/csistoragecapacities", book.take_capacities),
        (f"{_STORAGE}/csinodes", attached.take_nodes),
        (f"{_STORAGE}/volumeattachments", attached.take_attachments),
    ):
        informers.of(path).on_changes(take)
        informers.of(path).on_changes(lambda _: wake())
    informers.of(VOLUMES).on_changes(lambda deltas: attached.review_attachments(deltas, "volume"))
    informers.of(NODES).on_changes(lambda deltas: attached.review_attachments(deltas, "node"))
    return volumes


def _watch_devices(
    informers: Informers, engine: Engine, claims: Store, wake: Callable[[], None]
) -> Devices:
    """Return what device claims have to say, fed by all that they depend on."""
    devices = Devices(engine.state.columns, claims.get)
    for plural, take in (
        ("deviceclasses", devices.book.take_classes),
        ("resourceslices", devices.book.take_slices),
        ("resourceclaims", devices.book.take_claims),
    ):
        informers.of(f"{_RESOURCE}/{plural}").on_changes(take)
        informers.of(f"{_RESOURCE}/{plural}").on_changes(lambda _: wake())
    return devices


def _namespace(obj: JsonObject) -> str:
    return str(obj["metadata"].get("namespace", ""))


def _budget(obj: JsonObject) -> Budget:
    status = obj.get("status") or {}
    return Budget(
        _namespace(obj),
        parse_selector((obj.get("spec") or {}).get("selector")),
        int(status.get("disruptionsAllowed") or 0),
        frozenset(status.get("disruptedPods") or ()),
    )


_REFUSALS_MAX: Final = 10


async def find_apis(client: ApiClient) -> Apis:
    """Return what the API has; waits for one that is away."""
    groups = await _find_groups(client)
    return Apis(groups, await _has_devices(client))


async def _has_devices(client: ApiClient) -> bool:
    while True:
        try:
            await client.request("GET", _RESOURCE)
        except StatusError as error:
            # Older servers lack it, and it can be switched off.
            return error.code != 404
        except Unreachable as error:
            _log.info("what the API has is not known yet: %s", error)
            await client.clock.sleep(client.pause_s(5))
        else:
            return True


async def _find_groups(client: ApiClient) -> str:
    refusals = 0
    while True:
        try:
            found = await client.request("GET", _SCHEDULING)
            for version in found.get("versions") or ():
                path = f"/apis/{version['groupVersion']}"
                served = await client.request("GET", path)
                if any(one["name"] == "podgroups" for one in served.get("resources") or ()):
                    # One who may not read them would wait for them for ever.
                    await client.request("GET", f"{path}/podgroups", query={"limit": "1"})
                    return path
        except StatusError as error:
            # A server that has just started knows no roles yet, and refuses everybody.
            refusals += error.code == 403
            if error.code == 404 or refusals > _REFUSALS_MAX:
                return ""
            reason = str(error)
        except Unreachable as error:
            reason = str(error)
        else:
            return ""
        _log.info("what the API has is not known yet: %s", reason)
        await client.clock.sleep(client.pause_s(5))
