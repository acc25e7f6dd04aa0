"""What a pod takes of a quota, and which scopes it is in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from kube import times
from kube.json_types import JsonObject
from kube.quota.amounts import Amounts, add, most, read
from kube.selectors import LabelSelector, Operator, Requirement

_ONE: Final = read({"pods": "1"})["pods"]
_COMPUTE: Final = ("cpu", "memory", "ephemeral-storage")
_HUGE: Final = "hugepages-"
_REQUESTS: Final = "requests."
_COUNTED: Final = frozenset(
    {"count/pods", "pods"}
    | set(_COMPUTE)
    | {f"{prefix}{name}" for prefix in (_REQUESTS, "limits.") for name in _COMPUTE}
)
_MUST_BE_SAID: Final = frozenset(
    f"{prefix}{name}" for prefix in ("", _REQUESTS, "limits.") for name in ("cpu", "memory")
)
_FINISHED: Final = frozenset({"Succeeded", "Failed"})
_AFFINITIES: Final = ("podAffinity", "podAntiAffinity")


def matching(names: Iterable[str]) -> list[str]:
    """Return those of a quota's names that count pods or what is in them."""
    return [
        name
        for name in names
        if name in _COUNTED
        or name.startswith((_HUGE, _REQUESTS + _HUGE))
        or (name.startswith(_REQUESTS) and not _is_native(name))
    ]


def _is_native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def usage(pod: JsonObject, now_s: float) -> Amounts:
    """Return what a pod takes; one that is over takes only its place in storage."""
    taken: Amounts = {"count/pods": _ONE}
    if not is_alive(pod, now_s):
        return taken
    return add(taken, _named(totals(pod, "requests"), totals(pod, "limits")))


def is_alive(pod: JsonObject, now_s: float) -> bool:
    """Tell whether a pod counts: it is not over, nor stuck in its end."""
    if (pod.get("status") or {}).get("phase") in _FINISHED:
        return False
    metadata = pod["metadata"]
    until, grace_s = metadata.get("deletionTimestamp"), metadata.get("deletionGracePeriodSeconds")
    return until is None or grace_s is None or now_s <= times.epoch_seconds(until) + grace_s


def _named(requests: Amounts, limits: Amounts) -> Amounts:
    """Return amounts under the names that quotas have for them."""
    named: Amounts = {"pods": _ONE}
    for name in _COMPUTE:
        if name in requests:
            named[name] = named[_REQUESTS + name] = requests[name]
        if name in limits:
            named["limits." + name] = limits[name]
    for name, amount in requests.items():
        if name.startswith(_HUGE):
            named[name] = named[_REQUESTS + name] = amount
        elif not _is_native(name):
            named[_REQUESTS + name] = amount
    return named


def totals(pod: JsonObject, side: str) -> Amounts:
    """Return a pod's requests or limits (`side`), as the scheduler counts them.

    What a container has been given counts where it is more than what it asks for: its resize has
    not been done yet.
    """
    spec = pod["spec"]
    given = _given(pod) if side == "requests" else {}
    total: Amounts = {}
    for container in spec.get("containers") or ():
        total = add(total, _asked(container, side, given))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        asked = _asked(container, side, given)
        if container.get("restartPolicy") == "Always":
            total, sidecars = add(total, asked), add(sidecars, asked)
            asked = sidecars
        else:
            asked = add(asked, sidecars)
        peak = most(peak, asked)
    total = most(total, peak)
    for name, amount in read((spec.get("resources") or {}).get(side)).items():
        total[name] = amount
    overhead = read(spec.get("overhead"))
    if side == "limits":
        overhead = {name: amount for name, amount in overhead.items() if name in total}
    return add(total, overhead)


def _asked(container: JsonObject, side: str, given: dict[str, tuple[bool, Amounts]]) -> Amounts:
    asked = read((container.get("resources") or {}).get(side))
    is_infeasible, known = given.get(container["name"], (False, {}))
    if not known:
        return asked
    return known if is_infeasible else most(asked, known)


def _given(pod: JsonObject) -> dict[str, tuple[bool, Amounts]]:
    """Return what containers have: what is allocated to them, and what they run with."""
    status = pod.get("status") or {}
    is_infeasible = any(
        one.get("type") == "PodResizePending" and one.get("reason") == "Infeasible"
        for one in status.get("conditions") or ()
    )
    given = {}
    for key in ("containerStatuses", "initContainerStatuses"):
        for one in status.get(key) or ():
            actual = read((one.get("resources") or {}).get("requests"))
            known = most(actual, read(one.get("allocatedResources")))
            given[one["name"]] = is_infeasible, known
    return given


def fault(pod: JsonObject, required: Iterable[str]) -> str:
    """Return what containers do not say though a quota limits it; "" for nothing."""
    spec = pod["spec"]
    own = spec.get("resources") or {}
    if own.get("requests") or own.get("limits"):
        return ""  # then the pod as a whole has said it
    wanted = _MUST_BE_SAID.intersection(required)
    missing: dict[str, set[str]] = {}
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        resources = container.get("resources") or {}
        said = _named(read(resources.get("requests")), read(resources.get("limits")))
        for name in wanted - said.keys():
            missing.setdefault(name, set()).add(container["name"])
    if not missing:
        return ""
    texts = (f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing))
    return f"must specify {'; '.join(texts)}"


def is_in_scope(scope: JsonObject, pod: JsonObject) -> bool:
    """Tell whether a pod is in a scope: an element of a scope selector's matchExpressions."""
    decide = _SCOPES.get(scope["scopeName"])
    return decide is not None and decide(scope, pod["spec"], pod)


def selects(scope: JsonObject, values: Iterable[str]) -> bool:
    """Tell whether a scope's operator and values take one of `values`, or their absence."""
    name = scope["scopeName"]
    operator = {
        "In": Operator.IN,
        "NotIn": Operator.NOT_IN,
        "Exists": Operator.EXISTS,
        "DoesNotExist": Operator.NOT_EXISTS,
    }.get(scope.get("operator", ""))
    if operator is None:
        return False
    requirement = Requirement(name, operator, tuple(scope.get("values") or ()))
    selector = LabelSelector((requirement,))
    labelled = [{name: value} for value in values] or [{}]
    return any(selector.matches(labels) for labels in labelled)


def _has_priority_class(scope: JsonObject, spec: JsonObject, _pod: JsonObject) -> bool:
    name = spec.get("priorityClassName")
    if scope.get("operator") == "Exists":
        return bool(name)
    return selects(scope, [name] if name else [])


def _is_terminating(_scope: JsonObject, spec: JsonObject, _pod: JsonObject) -> bool:
    seconds = spec.get("activeDeadlineSeconds")
    return seconds is not None and bool(seconds >= 0)


def _is_best_effort(_scope: JsonObject, spec: JsonObject, pod: JsonObject) -> bool:
    known = (pod.get("status") or {}).get("qosClass")
    if known:
        return bool(known == "BestEffort")
    holders = [spec, *(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    asked = [
        (holder.get("resources") or {}).get(side) or {}
        for holder in holders
        for side in ("requests", "limits")
    ]
    return not any(name in amounts for amounts in asked for name in ("cpu", "memory"))


def _crosses_namespaces(_scope: JsonObject, spec: JsonObject, _pod: JsonObject) -> bool:
    return any(
        term.get("namespaces") or term.get("namespaceSelector") is not None
        for term in _terms(spec.get("affinity") or {})
    )


def _terms(affinity: JsonObject) -> Iterator[Any]:
    for kind in _AFFINITIES:
        known = affinity.get(kind) or {}
        yield from known.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        for one in known.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            yield one.get("podAffinityTerm") or {}


_Decide = Callable[[JsonObject, JsonObject, JsonObject], bool]


def _not(decide: _Decide) -> _Decide:
    return lambda scope, spec, pod: not decide(scope, spec, pod)


_SCOPES: Final[dict[str, _Decide]] = {
    "Terminating": _is_terminating,
    "NotTerminating": _not(_is_terminating),
    "BestEffort": _is_best_effort,
    "NotBestEffort": _not(_is_best_effort),
    "PriorityClass": _has_priority_class,
    "CrossNamespacePodAffinity": _crosses_namespaces,
}
