"""The workloads of upstream's scheduler_perf at 5,000 nodes, by their names, with their thresholds.

A threshold is the mean of pods a second that upstream's periodic run must reach. Pods are those of
upstream's templates: what they ask for, and which labels, terms and constraints they have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Obj = dict[str, Any]
Make = Callable[[int], Obj]
ZONE: Final = "topology.kubernetes.io/zone"
HOST: Final = "kubernetes.io/hostname"
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"
_DRIVER: Final = "ebs.csi.aws.com"
DRA_DRIVER: Final = "test-driver.cdi.k8s.io"
BOTH: Final = ("sched-0", "sched-1")


@dataclass(frozen=True, slots=True)
class Step:
    """Some pods.

    Attributes:
        count: how many.
        make: gives the pod of a number.
        namespaces: where they go, in turn.
        waits: whether they are to be bound before what follows.
        volume: makes a bound volume and claim for each, of this kind ("csi", "aws").
    """

    count: int
    make: Make
    namespaces: tuple[str, ...] = ("default",)
    waits: bool = True
    volume: str = ""


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload.

    Attributes:
        threshold: pods a second.
        before: pods that are there, or wait, before the measured ones.
        zones: values of the zone label, in turn; none: nodes have none.
        limits: whether nodes attach 39 volumes of the CSI driver at most.
        tainted: whether every second node is tainted.
        devices: device claims of templates: devices a node.
        churns: whether a node, a pod that fits nowhere and a service come and go each second.
        labels: of the namespaces.
    """

    name: str
    threshold: int
    measured: Step
    before: tuple[Step, ...] = ()
    nodes: int = 5_000
    zones: tuple[str, ...] = ()
    limits: bool = False
    tainted: bool = False
    devices: int = 0
    churns: bool = False
    labels: Mapping[str, str] | None = None


def node(workload: Workload, number: int) -> Obj:
    """Return a node of a workload: 4 cores, 32 GiB, 110 pods."""
    name = f"node-{number:05}"
    labels = {HOST: name}
    if workload.zones:
        labels[ZONE] = workload.zones[number % len(workload.zones)]
    spec: Obj = {}
    if workload.tainted and number % 2:
        spec["taints"] = [{"key": "foo", "value": "", "effect": "NoSchedule"}]
    amounts = {"cpu": "4", "memory": "32Gi", "pods": "110"}
    ready = {"type": "Ready", "status": "True"}
    status = {"allocatable": amounts, "capacity": amounts, "conditions": [ready]}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": status}


def _pod(spec: Obj | None = None, labels: Mapping[str, str] | None = None, **requests: str) -> Obj:
    amounts = requests or {"cpu": "100m", "memory": "500Mi"}
    container = {
        "name": "pause",
        "image": "registry.k8s.io/pause:3.10.1",
        "ports": [{"containerPort": 80}],
        "resources": {"limits": amounts, "requests": amounts},
    }
    return {
        "metadata": {"labels": dict(labels or {})},
        "spec": {"containers": [container], **(spec or {})},
    }


def default(_number: int) -> Obj:
    """pod-default."""
    return _pod()


def _with_term(kind: str, color: str, key: str, **more: Any) -> Make:
    """Return pods with one term about their own color."""
    term = {"topologyKey": key, "labelSelector": {"matchLabels": {"color": color}}, **more}
    term.setdefault("namespaces", list(BOTH)) if "namespaceSelector" not in more else None
    is_preferred = kind.startswith("preferred")
    terms: Obj = {_REQUIRED: [term]}
    if is_preferred:
        terms = {_PREFERRED: [{"weight": 1, "podAffinityTerm": term}]}
    affinity = {kind.removeprefix("preferred "): terms}
    return lambda _number: _pod({"affinity": affinity}, {"color": color})


def green(_number: int) -> Obj:
    """pod-with-pod-anti-affinity-label: what others' terms are about, without any."""
    return _pod(labels={"color": "green"})


def node_affinity(_number: int) -> Obj:
    """pod-with-node-affinity."""
    expression = {"key": ZONE, "operator": "In", "values": ["zone1", "zone2"]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    return _pod({"affinity": {"nodeAffinity": {_REQUIRED: terms}}})


def _spread(when: str, **more: Any) -> Make:
    constraint = {
        "maxSkew": 5,
        "topologyKey": ZONE,
        "whenUnsatisfiable": when,
        "labelSelector": {"matchLabels": {"color": "blue"}},
        **more,
    }
    return lambda _n: _pod({"topologySpreadConstraints": [constraint]}, {"color": "blue"})


def inclusion(_number: int) -> Obj:
    """pod-with-node-inclusion-policy."""
    constraint = {
        "maxSkew": 1,
        "topologyKey": HOST,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"foo": ""}},
        "nodeAffinityPolicy": "Honor",
        "nodeTaintsPolicy": "Honor",
    }
    return _pod({"topologySpreadConstraints": [constraint]}, {"foo": ""})


def daemon(number: int) -> Obj:
    """daemonset-pod: each for one node."""
    field = {"key": "metadata.name", "operator": "In", "values": [f"node-{number % 15_000:05}"]}
    terms = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    return _pod({"affinity": {"nodeAffinity": {_REQUIRED: terms}}})


def low(_number: int) -> Obj:
    """pod-low-priority: four fill a node."""
    return _pod({"terminationGracePeriodSeconds": 0}, cpu="900m", memory="500Mi")


def high(_number: int) -> Obj:
    """pod-high-priority: takes the place of three."""
    return _pod({"priorityClassName": "high"}, cpu="3000m", memory="500Mi")


def large(_number: int) -> Obj:
    """pod-large-cpu: fits nowhere."""
    return _pod(cpu="9", memory="500Mi")


def gated(_number: int) -> Obj:
    """gated-pod."""
    return _pod({"schedulingGates": [{"name": "test.k8s.io/hold"}]})


def secret(_number: int) -> Obj:
    """pod-with-secret-volume."""
    return _pod({"volumes": [{"name": "secret", "secret": {"secretName": "secret"}}]})


def claiming(_number: int) -> Obj:
    """pod-with-claim-template."""
    claim = {"name": "resource", "resourceClaimTemplateName": "test-claim-template"}
    made = _pod({"resourceClaims": [claim]})
    made["spec"]["containers"][0]["resources"]["claims"] = [{"name": "resource"}]
    return made


def volume(kind: str, name: str, namespace: str) -> tuple[Obj, Obj]:
    """Return a volume and a claim that are bound to each other, as the workloads prepare them."""
    source: Obj = {"csi": {"driver": _DRIVER, "volumeHandle": name}}
    if kind == "aws":
        source = {"awsElasticBlockStore": {"volumeID": name}}
    bound = {"pv.kubernetes.io/bind-completed": "true"}
    reference = {"kind": "PersistentVolumeClaim", "namespace": namespace, "name": name}
    modes = ["ReadOnlyMany"]
    spec = {
        "accessModes": modes,
        "capacity": {"storage": "1Gi"},
        "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {**reference, "apiVersion": "v1"},
        **source,
    }
    claim = {
        "accessModes": modes,
        "resources": {"requests": {"storage": "1Gi"}},
        "volumeName": name,
        "storageClassName": "",
    }
    return (
        {"metadata": {"name": name}, "spec": spec},
        {"metadata": {"name": name, "annotations": bound}, "spec": claim},
    )


_team: Final = {"namespaceSelector": {"matchLabels": {"team": "devops"}}}
_anti: Final = _with_term("podAntiAffinity", "green", HOST)
_near: Final = _with_term("podAffinity", "blue", ZONE)
_like: Final = _with_term("preferred podAffinity", "red", HOST)
_shun: Final = _with_term("preferred podAntiAffinity", "yellow", HOST)
_MIXED: Final = tuple(
    Step(2_000, make, ("sched-0",)) for make in (default, _near, _anti, _like, _shun)
)
_MANY: Final = tuple(f"init-ns-{number}" for number in range(100))


def _selecting(name: str, threshold: int, make: Make, count: int = 2_000) -> Workload:
    """Return a workload whose pods look at those of 100 namespaces."""
    measured = Step(count, make, ("measure-ns-0",))
    nodes = 6_000 if "Required" in name and "Anti" in name else 5_000
    before = (Step(4_000, make, _MANY),)
    return Workload(name, threshold, measured, before, nodes, ("zone1",), labels={"team": "devops"})


def _two(name: str, threshold: int, make: Make, before: int, count: int) -> Workload:
    """Return a workload with pods in one namespace, and then in another."""
    first = Step(before, make, ("sched-0",))
    return Workload(name, threshold, Step(count, make, ("sched-1",)), (first,), zones=("zone1",))


MOONS: Final = ("moon-1", "moon-2", "moon-3")
WORKLOADS: Final = (
    Workload("SchedulingBasic", 270, Step(10_000, default), (Step(1_000, default),)),
    Workload("SchedulingDaemonset", 390, Step(30_000, daemon), nodes=15_000),
    _two("SchedulingPodAntiAffinity", 60, _anti, 1_000, 2_000),
    Workload(
        "SchedulingPodMatchingAntiAffinity",
        600,
        Step(5_000, green, ("sched-1",)),
        (Step(1_000, _anti, ("sched-0",)),),
    ),
    _two("SchedulingPodAffinity", 35, _near, 5_000, 5_000),
    _two("SchedulingPreferredPodAffinity", 90, _like, 5_000, 5_000),
    _two("SchedulingPreferredPodAntiAffinity", 90, _shun, 5_000, 5_000),
    Workload(
        "SchedulingNodeAffinity",
        220,
        Step(10_000, node_affinity),
        (Step(5_000, node_affinity),),
        zones=("zone1",),
    ),
    Workload("MixedSchedulingBasePod", 140, Step(5_000, default), _MIXED, zones=("zone1",)),
    _selecting("SchedulingRequiredPodAntiAffinityWithNSSelector", 24,
               _with_term("podAntiAffinity", "green", HOST, **_team)),
    _selecting("SchedulingPreferredAntiAffinityWithNSSelector", 55,
               _with_term("preferred podAntiAffinity", "yellow", HOST, **_team)),
    _selecting("SchedulingRequiredPodAffinityWithNSSelector", 35,
               _with_term("podAffinity", "blue", ZONE, **_team)),
    Workload(
        "TopologySpreading", 85, Step(5_000, _spread("DoNotSchedule")),
        (Step(5_000, default),), zones=MOONS,
    ),
    Workload(
        "PreferredTopologySpreading", 125, Step(5_000, _spread("ScheduleAnyway")),
        (Step(5_000, default),), zones=MOONS,
    ),
    Workload(
        "SchedulingWithNodeInclusionPolicy", 68, Step(2_000, inclusion), nodes=5_000, tainted=True
    ),
    Workload("PreemptionAsync", 160, Step(5_000, high), (Step(20_000, low),)),
    Workload("Unschedulable", 140, Step(10_000, default), (Step(200, large, waits=False),)),
    Workload("SchedulingWithMixedChurn", 265, Step(10_000, default), churns=True),
    Workload(
        "SchedulingWhileGated", 130, Step(10_000, default), (Step(10_000, gated, waits=False),)
    ),
    Workload("SchedulingSecrets", 260, Step(10_000, secret), (Step(5_000, secret),)),
    Workload(
        "SchedulingInTreePVs", 90, Step(2_000, default, volume="aws"),
        (Step(5_000, default, volume="aws"),),
    ),
    Workload(
        "SchedulingMigratedInTreePVs", 35, Step(5_000, default, volume="aws"),
        (Step(5_000, default, volume="aws"),), limits=True,
    ),
    Workload(
        "SchedulingCSIPVs", 48, Step(5_000, default, volume="csi"),
        (Step(5_000, default, volume="csi"),), limits=True,
    ),
    Workload(
        "SchedulingWithResourceClaimTemplate", 40, Step(2_000, claiming),
        (Step(2_500, claiming),), nodes=500, devices=10,
    ),
)  # fmt: skip
