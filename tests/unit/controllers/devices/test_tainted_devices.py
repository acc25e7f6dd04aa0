"""Devices' taints and the pods that go for them: upstream's rules, on a clock of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controllers.devices.eviction import CAUSE, RULES, DeviceTaintEviction, Informed
from controllers.devices.rule_status import Tally, condition
from controllers.nodes.evictions import Evictions
from kube import times
from runtime.clock import SimulatedClock
from runtime.tasks import TaskScope
from tests.unit.controllers.nodes.node_objects import Feed, Said, Server, pod

Json = dict[str, Any]
POD = "/api/v1/namespaces/ns/pods/p"
TAINT = {"key": "broken", "effect": "NoExecute"}
FOREVER = {"key": "broken", "operator": "Exists", "effect": "NoExecute"}


class World:
    """A pod with a device of its own, and who evicts it."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.server: Any = Server(self.clock)
        self.said: Any = Said()
        self.pods, self.claims, self.slices, self.rules = Feed(), Feed(), Feed(), Feed()
        self.evictions = Evictions(self.server, self.said, CAUSE)
        feeds: Any = Informed(self.pods, self.claims, self.slices, self.rules)
        for feed in feeds:
            feed.on_each = _on_each(feed)
        self.subject = DeviceTaintEviction(self.server, self.evictions, feeds)
        self._revision = 0

    def now(self) -> str:
        """Return the time."""
        return times.format_seconds(int(self.clock.now_s()))

    def _put(self, feed: Feed, obj: Json) -> None:
        self._revision += 1
        obj["metadata"]["resourceVersion"] = str(self._revision)
        feed.put(obj)

    def put_pod(self, **more: Any) -> None:
        """Have the pod, which uses the claim c."""
        claims = [{"name": "device", "resourceClaimName": "c"}]
        made = pod(resourceClaims=claims, **more)
        self._put(self.pods, made)
        self.server.objects[POD] = made

    def put_claim(self, *tolerations: Json, uid: str = "uid-p") -> None:
        """Have the claim, with device d of the pool, reserved for a pod."""
        result = {"driver": "gpu", "pool": "node", "device": "d", "tolerations": list(tolerations)}
        status = {
            "allocation": {"devices": {"results": [result]}},
            "reservedFor": [{"resource": "pods", "name": "p", "uid": uid}],
        }
        metadata = {"name": "c", "namespace": "ns", "uid": "uid-c"}
        self._put(self.claims, {"metadata": metadata, "status": status})

    def put_slice(self, *taints: Json, generation: int = 1, name: str = "s") -> None:
        """Have a slice with the device d."""
        spec = {
            "driver": "gpu",
            "pool": {"name": "node", "generation": generation},
            "devices": [{"name": "d", "taints": list(taints)}],
        }
        self._put(self.slices, {"metadata": {"name": name, "uid": name}, "spec": spec})

    def put_rule(self, effect: str = "NoExecute", **selector: str) -> None:
        """Have a rule for devices."""
        taint = {"key": "broken", "effect": effect, "timeAdded": self.now()}
        spec = {"deviceSelector": selector, "taint": taint}
        made = {"metadata": {"name": "r", "uid": "uid-r", "generation": 1}, "spec": spec}
        self.server.objects[f"{RULES}/r"] = made
        self._put(self.rules, made)

    @property
    def is_deleted(self) -> bool:
        """Whether the pod was deleted."""
        return bool(self.server.writes("DELETE"))

    def conditions(self) -> list[Json]:
        """Return what was said of the rule."""
        return [body["status"]["conditions"][0] for body in self.server.writes("PATCH", RULES)]


def _on_each(feed: Feed) -> Any:
    def on_each(observe: Any) -> None:
        feed.on_changes(lambda deltas: [observe(delta.change, delta.object) for delta in deltas])

    return on_each


async def _run(world: World, *seconds: float) -> None:
    async with TaskScope("test") as scope:
        world.subject.start(scope)
        for one in seconds or (1.0,):
            await world.clock.advance(one)
        await scope.stop()


def test_a_taint_of_a_slice_has_the_pod_of_a_device_go_and_says_why() -> None:
    world = World()
    world.put_slice(TAINT)
    world.put_claim()
    world.put_pod()
    asyncio.run(_run(world))
    assert world.is_deleted
    (patch,) = world.server.writes("PATCH", POD)
    assert patch["status"]["conditions"][0]["reason"] == "DeletionByDeviceTaintManager"
    assert world.said.told == [("p", "DeviceTaintManagerEviction", "Marking for deletion")]


@pytest.mark.parametrize(
    "spare",
    [
        lambda world: world.put_claim(FOREVER),
        lambda world: world.put_claim(uid="another"),
        lambda world: world.put_slice({**TAINT, "effect": "NoSchedule"}),
        lambda world: world.put_slice(generation=2, name="newer"),
        lambda world: world.put_pod(where=""),
    ],
)
def test_who_has_no_reason_to_go_stays(spare: Any) -> None:
    world = World()
    world.put_slice(TAINT)
    spare(world)
    if not world.claims.store.get("ns/c"):
        world.put_claim()
    if not world.pods.store.get("ns/p"):
        world.put_pod()
    asyncio.run(_run(world))
    assert not world.is_deleted


def test_a_taint_that_is_tolerated_for_a_while_evicts_after_that_unless_it_goes() -> None:
    async def live(world: World, *, is_mended: bool) -> None:
        async with TaskScope("test") as scope:
            world.subject.start(scope)
            world.put_claim({**FOREVER, "tolerationSeconds": 30})
            world.put_pod()
            world.put_slice({**TAINT, "timeAdded": world.now()})
            await world.clock.advance(20)
            assert not world.is_deleted
            if is_mended:
                world.put_slice()
            await world.clock.advance(20)
            await scope.stop()

    broken, mended = World(), World()
    asyncio.run(live(broken, is_mended=False))
    assert broken.is_deleted
    asyncio.run(live(mended, is_mended=True))
    assert not mended.is_deleted
    assert mended.said.told == [("p", "DeviceTaintManagerEviction", "Cancelling deletion")]


def test_a_rule_evicts_and_tells_how_far_it_is() -> None:
    async def live(world: World) -> None:
        world.put_slice()
        world.put_claim()
        world.put_pod()
        async with TaskScope("test") as scope:
            world.subject.start(scope)
            world.put_rule(driver="gpu", pool="node")
            await world.clock.advance(1)
            assert world.is_deleted
            (first,) = world.conditions()
            assert (first["type"], first["status"]) == ("EvictionInProgress", "True")
            assert first["message"].startswith("1 pod needs to be evicted in 1 namespace.")
            gone = world.pods.store.get("ns/p")
            assert gone is not None
            gone["metadata"] |= {"deletionTimestamp": world.now(), "resourceVersion": "99"}
            world.pods.put(gone)
            await world.clock.advance(11)
            await world.subject.tell("r")
            await scope.stop()

    world = World()
    asyncio.run(live(world))
    last = world.conditions()[-1]
    assert (last["status"], last["reason"]) == ("False", "Completed")
    assert last["message"] == "1 pod evicted since starting the controller."


def test_a_rule_without_effect_tells_what_it_would_do_and_does_nothing() -> None:
    world = World()
    world.put_slice()
    world.put_claim()
    world.put_pod()
    world.put_rule("None", device="d")
    asyncio.run(_run(world))
    assert not world.is_deleted
    (said,) = world.conditions()
    assert said["reason"] == "NoEffect"
    assert said["message"].startswith(
        "1 published device selected. 1 allocated device selected. "
        "1 pod would be evicted in 1 namespace if the effect was NoExecute."
    )


def test_rules_of_other_effects_and_many_pods_are_worded_as_upstream() -> None:
    rule = {"metadata": {"generation": 2}, "spec": {"taint": {"effect": "NoSchedule"}}}
    assert condition(rule, Tally())["reason"] == "OtherEffect"
    rule["spec"]["taint"]["effect"] = "NoExecute"
    assert condition(rule, Tally())["reason"] == "NotStarted"
    said = condition(rule, Tally(pods=3, namespaces=2, evicted=4))
    assert said["message"] == (
        "3 pods need to be evicted in 2 different namespaces. "
        "4 pods evicted since starting the controller."
    )
