"""What upstream's plugins say, in plain Python: one pod, node after node, nothing kept.

Written from upstream's rules over dictionaries, with none of the scheduler's arrays. Everything is
counted anew for each pod. `decide` gives the feasible nodes and their whole scores.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from controllers.scheduler import terms
from controllers.scheduler.resources import NONZERO_DEFAULTS, amounts_of, pod_requests
from controllers.scheduler.shapes import host_ports
from kube.json_types import JsonObject

WEIGHTS = {"taint": 3, "node": 2, "spread": 2, "pods": 2, "fit": 1, "balanced": 1, "images": 1}


@dataclass
class World:
    """Nodes and the pods on them, as the API has them."""

    nodes: dict[str, JsonObject] = field(default_factory=dict)
    pods: list[JsonObject] = field(default_factory=list)
    namespaces: dict[str, dict[str, str]] = field(default_factory=dict)

    def on(self, node: str) -> list[JsonObject]:
        """Return the pods on a node."""
        return [pod for pod in self.pods if pod["spec"]["nodeName"] == node]


def decide(world: World, pod: JsonObject) -> dict[str, int]:
    """Return the scores of all nodes that are feasible for a pod."""
    feasible = [name for name in world.nodes if refusal(world, pod, name) is None]
    scores = dict.fromkeys(feasible, 0)
    for weight, plugin in (
        (WEIGHTS["taint"], taint_scores),
        (WEIGHTS["node"], node_scores),
        (WEIGHTS["spread"], spread_scores),
        (WEIGHTS["pods"], pod_scores),
        (WEIGHTS["fit"], fit_scores),
        (WEIGHTS["balanced"], balanced_scores),
        (WEIGHTS["images"], image_scores),
    ):
        for name, score in plugin(world, pod, feasible).items():
            assert 0 <= score <= 100, (plugin, score)
            scores[name] += weight * score
    return scores


def refusal(world: World, pod: JsonObject, name: str) -> str | None:
    """Return the first plugin that refuses a node."""
    node, spec = world.nodes[name], pod["spec"]
    if node["spec"].get("unschedulable"):
        taint = terms.Taint(terms.UNSCHEDULABLE_TAINT, "", "NoSchedule")
        if not any(one.tolerates(taint) for one in terms.parse_tolerations(spec)):
            return "NodeUnschedulable"
    if not tolerates(pod, node):
        return "TaintToleration"
    if not matches_node(spec, node):
        return "NodeAffinity"
    taken = [port for other in world.on(name) for port in host_ports(other["spec"])]
    if any(mine.clashes(port) for mine in host_ports(spec) for port in taken):
        return "NodePorts"
    if not fits(world, pod, name):
        return "NodeResourcesFit"
    if not spreads(world, pod, name):
        return "PodTopologySpread"
    if not affine(world, pod, name):
        return "InterPodAffinity"
    return None


def tolerates(pod: JsonObject, node: JsonObject) -> bool:
    """Whether no taint of a node keeps a pod away."""
    tolerations = terms.parse_tolerations(pod["spec"])
    return all(
        taint.effect == "PreferNoSchedule" or any(one.tolerates(taint) for one in tolerations)
        for taint in terms.parse_taints(node["spec"])
    )


def labels_of(obj: JsonObject) -> dict[str, str]:
    """Return an object's labels."""
    return dict(obj["metadata"].get("labels") or {})


def matches_node(spec: JsonObject, node: JsonObject) -> bool:
    """nodeSelector and required node affinity."""
    rules = terms.parse_node_rules(spec)
    labels = labels_of(node)
    if not all(one.matches(labels) for one in rules.selector):
        return False
    if rules.required is None:
        return True
    return any(matches_term(term, node) for term in rules.required)


def matches_term(term: terms.NodeTerm, node: JsonObject) -> bool:
    """One term of node affinity."""
    if term.is_empty:
        return False
    fields = {"metadata.name": node["metadata"]["name"]}
    return all(one.matches(labels_of(node)) for one in term.expressions) and all(
        one.matches(fields) for one in term.names
    )


def fits(world: World, pod: JsonObject, name: str) -> bool:
    """NodeResourcesFit."""
    allocatable = amounts_of(world.nodes[name]["status"]["allocatable"])
    there = world.on(name)
    if len(there) + 1 > allocatable.get("pods", 0):
        return False
    for resource, amount in pod_requests(pod["spec"]).items():
        used = sum(pod_requests(other["spec"]).get(resource, 0) for other in there)
        if amount and amount > allocatable.get(resource, 0) - used:
            return False
    return True


def counts_for_spread(world: World, pod: JsonObject, one: terms.Spread, name: str) -> int:
    """How many pods on a node a constraint counts."""
    return sum(
        other["metadata"]["namespace"] == pod["metadata"]["namespace"]
        and not other["metadata"].get("deletionTimestamp")
        and one.selector.matches(labels_of(other))
        for other in world.on(name)
    )


def is_counted(world: World, pod: JsonObject, one: terms.Spread, name: str) -> bool:
    """Whether a node's pods count for a constraint: its inclusion policies."""
    node = world.nodes[name]
    if one.honors_affinity and not matches_node(pod["spec"], node):
        return False
    return not one.honors_taints or tolerates(pod, node)


def constraints(pod: JsonObject, *, is_hard: bool) -> list[terms.Spread]:
    """A pod's constraints of one kind."""
    found = terms.parse_spreads(pod["spec"], labels_of(pod))
    return [one for one in found if one.is_hard is is_hard]


def spreads(world: World, pod: JsonObject, name: str) -> bool:
    """PodTopologySpread's filter."""
    hard = constraints(pod, is_hard=True)
    labels = labels_of(world.nodes[name])
    for one in hard:
        if one.key not in labels:
            return False
        counts: dict[str, int] = {}
        for other, node in world.nodes.items():
            theirs = labels_of(node)
            if all(each.key in theirs for each in hard) and is_counted(world, pod, one, other):
                value = theirs[one.key]
                counts[value] = counts.get(value, 0) + counts_for_spread(world, pod, one, other)
        least = min(counts.values(), default=0)
        if len(counts) < one.min_domains:
            least = 0
        own = int(one.selector.matches(labels_of(pod)))
        if counts.get(labels[one.key], 0) + own - least > one.max_skew:
            return False
    return True


def selects(world: World, term: terms.PodTerm, pod: JsonObject) -> bool:
    """Whether a term is about a pod."""
    namespace = pod["metadata"]["namespace"]
    is_there = namespace in term.namespaces or (
        term.of_namespaces is not None
        and term.of_namespaces.matches(world.namespaces.get(namespace, {}))
    )
    return is_there and term.selector.matches(labels_of(pod))


def terms_of(pod: JsonObject, kind: str) -> terms.PodTerms:
    """A pod's terms."""
    return terms.parse_pod_terms(pod["spec"], kind, pod["metadata"]["namespace"])


def shares(world: World, key: str, name: str, other: str) -> bool:
    """Whether two nodes are in one domain."""
    mine, theirs = labels_of(world.nodes[name]), labels_of(world.nodes[other])
    return key in mine and mine[key] == theirs.get(key)


def affine(world: World, pod: JsonObject, name: str) -> bool:
    """InterPodAffinity's filter."""
    labels = labels_of(world.nodes[name])
    wanted = terms_of(pod, "podAffinity").required
    if wanted:
        if any(term.key not in labels for term in wanted):
            return False
        matching = [
            other for other in world.pods if all(selects(world, term, other) for term in wanted)
        ]
        places = [other["spec"]["nodeName"] for other in matching]
        found = all(
            any(shares(world, term.key, name, place) for place in places) for term in wanted
        )
        any_counts = any(
            term.key in labels_of(world.nodes[place]) for term in wanted for place in places
        )
        is_first = not any_counts and all(selects(world, term, pod) for term in wanted)
        if not found and not is_first:
            return False
    for term in terms_of(pod, "podAntiAffinity").required:
        for other in world.pods:
            if selects(world, term, other) and shares(
                world, term.key, name, other["spec"]["nodeName"]
            ):
                return False
    return not any(
        selects(world, term, pod) and shares(world, term.key, name, other["spec"]["nodeName"])
        for other in world.pods
        for term in terms_of(other, "podAntiAffinity").required
    )


def normalized(raw: dict[str, int], *, is_reversed: bool) -> dict[str, int]:
    """DefaultNormalizeScore."""
    most = max(raw.values(), default=0)
    if not most:
        return dict.fromkeys(raw, 100 if is_reversed else 0)
    scaled = {name: 100 * score // most for name, score in raw.items()}
    return {name: 100 - score if is_reversed else score for name, score in scaled.items()}


def taint_scores(world: World, pod: JsonObject, names: list[str]) -> dict[str, int]:
    """TaintToleration."""
    tolerations = [
        one
        for one in terms.parse_tolerations(pod["spec"])
        if one.effect in ("", "PreferNoSchedule")
    ]
    raw = {}
    for name in names:
        raw[name] = sum(
            taint.effect == "PreferNoSchedule"
            and not any(one.tolerates(taint) for one in tolerations)
            for taint in terms.parse_taints(world.nodes[name]["spec"])
        )
    return normalized(raw, is_reversed=True)


def node_scores(world: World, pod: JsonObject, names: list[str]) -> dict[str, int]:
    """NodeAffinity."""
    preferred = terms.parse_node_rules(pod["spec"]).preferred
    raw = {
        name: sum(
            weight
            for weight, term in preferred
            if term.is_empty or matches_term(term, world.nodes[name])
        )
        for name in names
    }
    return normalized(raw, is_reversed=False)


def spread_scores(world: World, pod: JsonObject, names: list[str]) -> dict[str, int]:
    """PodTopologySpread."""
    soft = constraints(pod, is_hard=False)
    if not soft or not names:
        return dict.fromkeys(names, 0)
    scored = [n for n in names if all(one.key in labels_of(world.nodes[n]) for one in soft)]
    sizes: list[int] = []
    counts: list[dict[str, int]] = []
    for one in soft:
        values = {labels_of(world.nodes[n])[one.key] for n in scored}
        sizes.append(len(scored) if one.key == terms.HOSTNAME else len(values))
        found = dict.fromkeys(values, 0)
        for other, node in world.nodes.items():
            theirs = labels_of(node)
            has_all = all(each.key in theirs for each in soft)
            if has_all and theirs[one.key] in found and is_counted(world, pod, one, other):
                found[theirs[one.key]] += counts_for_spread(world, pod, one, other)
        counts.append(found)
    raw = {}
    for name in scored:
        total = 0.0
        for one, size, found in zip(soft, sizes, counts, strict=True):
            if one.key == terms.HOSTNAME:
                count = counts_for_spread(world, pod, one, name)
            else:
                count = found[labels_of(world.nodes[name])[one.key]]
            total += count * math.log(size + 2) + (one.max_skew - 1)
        raw[name] = math.floor(total + 0.5)
    most, least = max(raw.values(), default=0), min(raw.values(), default=0)
    result = dict.fromkeys(names, 0)
    for name, score in raw.items():
        result[name] = 100 if most == 0 else 100 * (most + least - score) // most
    return result


def pod_scores(world: World, pod: JsonObject, names: list[str]) -> dict[str, int]:
    """InterPodAffinity."""
    raw = dict.fromkeys(names, 0)
    for other in world.pods:
        found: list[tuple[int, str]] = []
        for sign, kind in ((1, "podAffinity"), (-1, "podAntiAffinity")):
            mine, theirs = terms_of(pod, kind), terms_of(other, kind)
            found += [(sign * w, t.key) for w, t in mine.preferred if selects(world, t, other)]
            found += [(sign * w, t.key) for w, t in theirs.preferred if selects(world, t, pod)]
            if sign == 1:
                found += [(1, t.key) for t in theirs.required if selects(world, t, pod)]
        for weight, key in found:
            for name in names:
                if shares(world, key, name, other["spec"]["nodeName"]):
                    raw[name] += weight
    most, least = max(raw.values(), default=0), min(raw.values(), default=0)
    if most == least:
        return dict.fromkeys(names, 0)
    return {
        n: int(100.0 * (float(score - least) / float(most - least))) for n, score in raw.items()
    }


def nonzero(spec: JsonObject) -> dict[str, int]:
    """What scores think a pod takes."""
    return pod_requests(spec, NONZERO_DEFAULTS)


def fit_scores(world: World, pod: JsonObject, names: list[str]) -> dict[str, int]:
    """NodeResourcesFit, LeastAllocated by cpu and memory."""
    result = {}
    for name in names:
        total = weights = 0
        have = amounts_of(world.nodes[name]["status"]["allocatable"])
        for resource in ("cpu", "memory"):
            capacity = have.get(resource, 0)
            if not capacity:
                continue
            pods = [*world.on(name), pod]
            taken = sum(nonzero(one["spec"]).get(resource, 0) for one in pods)
            total += 0 if taken > capacity else (capacity - taken) * 100 // capacity
            weights += 1
        result[name] = total // weights if weights else 0
    return result


def balanced_scores(world: World, pod: JsonObject, names: list[str]) -> dict[str, int]:
    """NodeResourcesBalancedAllocation by cpu and memory."""
    wanted = pod_requests(pod["spec"])
    if not any(wanted.get(resource) for resource in ("cpu", "memory")):
        return dict.fromkeys(names, 0)
    result = {}
    for name in names:
        have = amounts_of(world.nodes[name]["status"]["allocatable"])
        fractions: list[float] = []
        for resource in ("cpu", "memory"):
            capacity = have.get(resource, 0)
            if capacity:
                pods = [*world.on(name), pod]
                taken = sum(pod_requests(one["spec"]).get(resource, 0) for one in pods)
                fractions.append(min(1.0, taken / capacity))
        deviation = abs((fractions[0] - fractions[1]) / 2) if len(fractions) == 2 else 0.0
        result[name] = int((1 - deviation) * 100.0)
    return result


def image_scores(world: World, pod: JsonObject, names: list[str]) -> dict[str, int]:
    """ImageLocality."""
    mib = 1 << 20
    images: dict[str, dict[str, int]] = {}
    for name, node in world.nodes.items():
        for image in node["status"].get("images") or ():
            for tag in image["names"]:
                images.setdefault(tag, {})[name] = image["sizeBytes"]
    containers: list[Any] = pod["spec"]["containers"]
    most = 1000 * mib * len(containers)
    result = {}
    for name in names:
        total = 0
        for container in containers:
            having = images.get(container["image"], {})
            if name in having:
                total += int(having[name] * (len(having) / len(world.nodes)))
        bounded = min(max(total, 23 * mib), most)
        result[name] = 100 * (bounded - 23 * mib) // (most - 23 * mib)
    return result
