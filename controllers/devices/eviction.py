"""Pods that must give tainted devices back are evicted (pkg/controller/devicetainteviction).

    ResourceSlices, DeviceTaintRules --> claims that have such a device: when their pods have to go
                      ResourceClaims -->       '--> pods on nodes that use one --> Evictions
                                                '--> the rules' statuses, at most every ten seconds

A slice has the claims of its pool looked at, a rule all claims, a claim its pods. Invariant: what
was said of a claim is what its devices' taints say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from controllers.devices import rule_status
from controllers.devices.rule_status import Tally
from controllers.devices.taints import (
    NO_EFFECT,
    Claim,
    Eviction,
    PoolId,
    Pools,
    Rule,
    eviction_of,
    read_claim,
    read_rule,
    read_slice,
)
from controllers.nodes.evictions import Cause, Evictions
from controllers.nodes.taints import NO_EXECUTE
from controllers.volumes.device_facts import claim_name
from controllers.workqueue import WorkQueue, run_worker
from kube import times
from kube.client import ApiClient, Patch
from kube.informers.changes import Change
from kube.informers.informer import Delta, Informer
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

SLICES: Final = "/apis/resource.k8s.io/v1/resourceslices"
RULES: Final = "/apis/resource.k8s.io/v1/devicetaintrules"
MANAGER: Final = "device-taint-eviction-controller"
CAUSE: Final = Cause(
    "DeletionByDeviceTaintManager",
    "Device Taint manager: deleting due to NoExecute taint",
    "DeviceTaintManagerEviction",
    names_pod=False,
)
STATUS_PERIOD_S: Final = 10.0
_APPLY: Final = "application/apply-patch+yaml"
_WORKERS: Final = 2


class Informed(NamedTuple):
    """The informers that the controller goes by."""

    pods: Informer
    claims: Informer
    slices: Informer
    rules: Informer


class DeviceTaintEviction:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        evictions: deletes pods; tells `evicted` of each.
        informed: see there.
    """

    def __init__(self, client: ApiClient, evictions: Evictions, informed: Informed) -> None:
        self._client = client
        self._evictions = evictions
        self._pods, self._rule_objects = informed.pods.store, informed.rules.store
        self._pools = Pools()
        self._rules: dict[str, Rule] = {}
        self._claims: dict[str, tuple[Claim, Eviction | None]] = {}
        self._users: dict[PoolId, set[str]] = {}
        self._seen: dict[str, tuple[str, str, object]] = {}
        self._reasons: dict[str, frozenset[str]] = {}
        self._evicted: dict[str, int] = {}
        self._queue: WorkQueue[str] = WorkQueue()
        evictions.on_deleted = self.evicted
        informed.slices.on_each(self._observe_slice)
        informed.rules.on_each(self._observe_rule)
        informed.claims.on_each(self._observe_claim)
        informed.pods.on_changes(self._observe_pods)

    def start(self, scope: TaskScope) -> None:
        """Begin to evict, and to tell of it."""
        self._evictions.start(scope)
        for number in range(_WORKERS):
            scope.spawn(run_worker(self._queue, self.tell), name=f"device taint rules {number}")

    def _observe_slice(self, change: Change, obj: JsonObject) -> None:
        spec, now_s = obj["spec"], self._client.clock.now_s()
        pool = (spec.get("driver", ""), (spec.get("pool") or {}).get("name", ""))
        made = None if change is Change.DELETED else read_slice(obj, now_s)
        if self._pools.put(pool, obj["metadata"]["name"], made):
            self._judge(tuple(self._users.get(pool, ())))

    def _observe_rule(self, change: Change, obj: JsonObject) -> None:
        name, old = obj["metadata"]["name"], self._rules.get(obj["metadata"]["name"])
        if change is Change.DELETED:
            if self._rules.pop(name, None) is not None and old is not None:
                self._evicted.pop(old.uid, None)
        else:
            new = read_rule(obj, self._client.clock.now_s())
            if new == old:
                return  # its status, most likely
            self._rules[name] = new
            self._queue.add(name)
        # Rules change rarely, and may be about any device.
        self._judge(tuple(self._claims))

    def _observe_claim(self, change: Change, obj: JsonObject) -> None:
        key = f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"
        old, _ = self._claims.pop(key, (None, None))
        new = None if change is Change.DELETED else read_claim(obj)
        if old == new:
            if new is not None:
                self._claims[key] = new, self._judged(new)
            return
        for claim in (old, new):
            for device in claim.devices if claim is not None else ():
                users = self._users.setdefault((device.driver, device.pool), set())
                (users.discard if claim is old else users.add)(key)
                if not users:
                    del self._users[device.driver, device.pool]
        if new is not None:
            self._claims[key] = new, self._judged(new)
        self._look_at_pods(key, {*(old.pods if old else ()), *(new.pods if new else ())})

    def _judge(self, keys: Iterable[str]) -> None:
        for key in keys:
            claim, before = self._claims[key]
            after = self._judged(claim)
            if before != after:
                self._claims[key] = claim, after
                self._look_at_pods(key, claim.pods)

    def _judged(self, claim: Claim) -> Eviction | None:
        rules = (one for one in self._rules.values() if one.taint.taint.effect == NO_EXECUTE)
        return eviction_of(claim, self._pools, rules)

    def _look_at_pods(self, claim: str, pods: Iterable[tuple[str, str]]) -> None:
        namespace = claim.partition("/")[0]
        for name, uid in pods:
            key = f"{namespace}/{name}"
            pod = self._pods.get(key)
            if pod is not None and pod["metadata"]["uid"] == uid:
                self._look_at(key, pod)

    def _observe_pods(self, deltas: Sequence[Delta]) -> None:
        for change, key, pod, _ in deltas:
            if "resourceClaims" not in pod["spec"]:
                continue
            if change is Change.DELETED:
                self._seen.pop(key, None)
                self._reasons.pop(key, None)
                self._evictions.forget(key)
                continue
            # Pods change often; only where they are and what they use matters.
            statuses = (pod.get("status") or {}).get("resourceClaimStatuses")
            now = (pod["metadata"]["uid"], pod["spec"].get("nodeName", ""), statuses)
            if self._seen.get(key) != now:
                self._seen[key] = now
                self._look_at(key, pod)

    def _look_at(self, key: str, pod: JsonObject) -> None:
        """Have a pod evicted if it has to go, or let be if not."""
        eviction = self._eviction_of(pod)
        if eviction is None:
            self._reasons.pop(key, None)
            self._evictions.cancel(key)
            return
        if "deletionTimestamp" in pod["metadata"]:
            return
        self._reasons[key] = eviction.rules
        clock = self._client.clock
        due_s = clock.monotonic_s() + eviction.when_s - clock.now_s()
        self._evictions.plan(key, pod["metadata"]["uid"], due_s)
        self._tell_later(eviction.rules)

    def _eviction_of(self, pod: JsonObject) -> Eviction | None:
        """Return when a pod has to go for the claims that it may use; None: it need not."""
        if not pod["spec"].get("nodeName"):
            return None
        found: Eviction | None = None
        for claim in self._claims_of(pod):
            if (eviction := self._claims[claim][1]) is not None:
                found = eviction.joined(found)
        return found

    def _claims_of(self, pod: JsonObject) -> Iterator[str]:
        """Yield the keys of the claims with devices that a pod uses and may use."""
        metadata = pod["metadata"]
        for wanted in pod["spec"].get("resourceClaims") or ():
            name, is_made_for_it = claim_name(pod, wanted)
            key = f"{metadata['namespace']}/{name}"
            claim, _ = self._claims.get(key, (None, None))
            if not name or claim is None or not claim.is_reserved_for(metadata["uid"]):
                continue
            if not is_made_for_it or claim.owner == metadata["uid"]:
                yield key

    def evicted(self, key: str, _uid: str) -> None:
        """Take note that a pod was deleted."""
        rules = self._reasons.pop(key, frozenset())
        for uid in rules:
            self._evicted[uid] = self._evicted.get(uid, 0) + 1
        self._tell_later(rules)

    def _tell_later(self, uids: frozenset[str]) -> None:
        """More pods are likely to follow."""
        for rule in self._rules.values() if uids else ():
            if rule.uid in uids:
                self._queue.add_after(rule.name, STATUS_PERIOD_S)

    async def tell(self, name: str) -> float | None:
        """Write a rule's status where it is another; return when to look again."""
        rule, obj = self._rules.get(name), self._rule_objects.get(name)
        if rule is None or obj is None or obj["metadata"]["uid"] != rule.uid:
            return None
        generation = obj["metadata"].get("generation", 0)
        present = next(
            (
                one
                for one in (obj.get("status") or {}).get("conditions") or ()
                if one["type"] == rule_status.CONDITION
            ),
            None,
        )
        now_s = self._client.clock.now_s()
        if present is not None and present.get("observedGeneration") == generation:
            since_s = now_s - times.epoch_seconds(present["lastTransitionTime"])
            if since_s < STATUS_PERIOD_S:
                return STATUS_PERIOD_S - since_s
        wanted = rule_status.condition(obj, self._tally(rule))
        if present is None or any(present.get(part) != value for part, value in wanted.items()):
            await self._write(rule, {**wanted, "lastTransitionTime": _text(now_s)})
        return None

    def _tally(self, rule: Rule) -> Tally:
        """Count what a rule is about."""
        effect, evicted = rule.taint.taint.effect, self._evicted.get(rule.uid, 0)
        if effect not in (NO_EXECUTE, NO_EFFECT):
            return Tally(evicted=evicted)
        taint = rule.taint._replace(taint=rule.taint.taint._replace(effect=NO_EXECUTE))
        in_force = rule._replace(taint=taint)
        touched, allocated = set(), 0
        for key, (claim, _) in self._claims.items():
            matching = sum(rule.matches(one.driver, one.pool, one.name) for one in claim.devices)
            allocated += matching
            found = eviction_of(claim, self._pools, (in_force,)) if matching else None
            if found is not None and rule.uid in found.rules:
                touched.add(key)
        pods = {
            f"{key.partition('/')[0]}/{name}"
            for key in touched
            for name, uid in self._claims[key][0].pods
            if self._has_to_go(f"{key.partition('/')[0]}/{name}", uid, touched)
        }
        namespaces = {key.partition("/")[0] for key in pods}
        published = self._pools.count(rule) if effect == NO_EFFECT else 0
        return Tally(published, allocated, len(pods), len(namespaces), evicted)

    def _has_to_go(self, key: str, uid: str, touched: set[str]) -> bool:
        pod = self._pods.get(key)
        if pod is None or pod["metadata"]["uid"] != uid or "deletionTimestamp" in pod["metadata"]:
            return False
        return bool(pod["spec"].get("nodeName")) and any(
            claim in touched for claim in self._claims_of(pod)
        )

    async def _write(self, rule: Rule, wanted: JsonObject) -> None:
        applied = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "DeviceTaintRule",
            "metadata": {"name": rule.name, "uid": rule.uid},
            "status": {"conditions": [wanted]},
        }
        query = {"fieldManager": MANAGER, "force": "true"}
        try:
            path = f"{RULES}/{rule.name}/status"
            await self._client.request("PATCH", path, Patch(applied, _APPLY), query=query)
        except StatusError as error:
            if error.code not in (404, 409):  # gone, or another of that name
                raise


def _text(now_s: float) -> str:
    return times.format_seconds(int(now_s))
