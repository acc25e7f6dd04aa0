"""Which pods are behind a Service, on which ports (endpointslice/util, endpointslice/utils.go).

Pure, on briefs of pods. A Service without a selector, or of type ExternalName, has no pods: its
endpoints are somebody else's.
"""

from __future__ import annotations

from typing import Final

from controllers.selections import Matches
from controllers.workloads.pods import PodBrief
from kube.json_types import JsonObject

SERVICES: Final = "/api/v1/services"
HEADLESS: Final = "service.kubernetes.io/headless"
TRIGGER_TIME: Final = "endpoints.kubernetes.io/last-change-trigger-time"
_DONE: Final = frozenset({"Succeeded", "Failed"})


def selector_of(service: JsonObject) -> Matches | None:
    """Return which labels a Service selects, None if its endpoints are not ours to keep."""
    spec = service["spec"]
    selector = spec.get("selector")
    if not selector or spec.get("type") == "ExternalName":
        # An empty selector is stored as none.
        return None
    wanted = tuple(selector.items())
    return lambda labels: all(labels.get(key) == value for key, value in wanted)


def is_listed(pod: PodBrief, *, even_terminating: bool) -> bool:
    """Tell whether a pod belongs into endpoints at all (ShouldPodBeInEndpoints)."""
    if pod.phase in _DONE or not pod.network.ips:
        return False
    return even_terminating or not pod.is_deleting


def pod_changed(old: PodBrief, new: PodBrief) -> bool:
    """Tell whether a change of a pod matters to endpoints that have it already."""
    return (
        old.is_deleting != new.is_deleting
        or (old.ready_s is None) != (new.ready_s is None)
        or old.network.ips != new.network.ips
        or (old.phase in _DONE) != (new.phase in _DONE)
        or old.node != new.node
    )


def places_changed(old: PodBrief, new: PodBrief) -> bool:
    """Tell whether a change may matter to which services a pod is behind, and how it is named."""
    was, now = old.network, new.network
    return (old.labels is not new.labels and old.labels != new.labels) or (
        was.hostname,
        was.subdomain,
    ) != (now.hostname, now.subdomain)


def to_update(
    old: PodBrief | None, new: PodBrief | None, before: frozenset[str], after: frozenset[str]
) -> frozenset[str]:
    """Return which services to look at after a change of a pod (GetServicesToUpdate).

    Args:
        old, new: the pod before and after, None if there was or is none.
        before, after: the services that selected it, and that do now.
    """
    if old is None or new is None:
        return after if old is None else before
    if old.uid != new.uid:
        return before | after
    changed, moved = pod_changed(old, new), places_changed(old, new)
    if not moved:
        return after if changed else frozenset()
    if changed or before == after:
        # With the same labels it is the hostname that changed, which concerns them all.
        return before | after
    return before ^ after


def hostname_in(pod: PodBrief, service: JsonObject) -> str:
    """Return the hostname under which a Service has a pod, "" for none."""
    metadata, network = service["metadata"], pod.network
    is_here = network.subdomain == metadata["name"] and pod.namespace == metadata["namespace"]
    return network.hostname if is_here else ""


def find_port(pod: PodBrief, port: JsonObject) -> int | None:
    """Return the number of a Service's port in a pod, None if it has none of that name."""
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target or int(port["port"])
    protocol = port.get("protocol", "TCP")
    for name, its_protocol, number in pod.network.ports:
        if name == target and its_protocol == protocol:
            return number
    return None


def is_headless(service: JsonObject) -> bool:
    """Tell whether a Service has no address of its own."""
    return service["spec"].get("clusterIP", "") in ("", "None")


def families_of(service: JsonObject) -> tuple[str, ...]:
    """Return a Service's address families, the first one first (getAddressTypesForService)."""
    spec = service["spec"]
    families = spec.get("ipFamilies")
    if families:
        return tuple(families)
    address = spec.get("clusterIP", "")
    if address in ("", "None"):
        return ("IPv4", "IPv6")
    return ("IPv6",) if ":" in address else ("IPv4",)


def ips_of(pod: PodBrief, family: str) -> list[str]:
    """Return a pod's addresses of a family."""
    return [ip for ip in pod.network.ips if (":" in ip) == (family == "IPv6")]


def target_of(pod: PodBrief) -> JsonObject:
    """Return the reference to a pod."""
    namespace, _, name = pod.key.partition("/")
    return {"kind": "Pod", "namespace": namespace, "name": name, "uid": pod.uid}


class TriggerTimes:
    """Since when endpoints are not what they should be: what their annotation says.

    For each Service the earliest change of a pod's readiness that was told since its last sync;
    the first sync has the Service's own creation.
    """

    def __init__(self) -> None:
        self._earliest_s: dict[str, int] = {}
        self._known: set[str] = set()

    def note(self, services: frozenset[str], old: PodBrief | None, new: PodBrief | None) -> None:
        """Take note of a pod's change."""
        if new is None:
            return
        now_s = new.network.ready_change_s
        if now_s <= (old.network.ready_change_s if old is not None else 0):
            return
        for key in services & self._known:
            earliest_s = self._earliest_s.get(key)
            if earliest_s is None or now_s < earliest_s:
                self._earliest_s[key] = now_s

    def take(self, key: str, created_s: int) -> int:
        """Return the time for a sync that begins now, 0 for none."""
        if key not in self._known:
            self._known.add(key)
            return created_s
        return self._earliest_s.pop(key, 0)

    def forget(self, key: str) -> None:
        """Forget a Service."""
        self._known.discard(key)
        self._earliest_s.pop(key, None)
