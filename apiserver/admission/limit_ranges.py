"""LimitRanger: a namespace's LimitRanges give containers their defaults, and bound what is asked.

What is set is noted in an annotation of the pod. Several LimitRanges count all, by their names'
order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from apiserver.admission.attributes import CREATE, UPDATE, Attributes
from apiserver.admission.chain import Plugin
from apiserver.admission.facts import LIMIT_RANGES, Facts
from apiserver.resources import Resource
from kube.json_types import JsonObject
from kube.quantity import Quantity
from kube.quota.amounts import Amounts, read
from kube.quota.pods import totals

ANNOTATION: Final = "kubernetes.io/limit-ranger"
_CLAIMS: Final = "persistentvolumeclaims"
_HANDLED: Final = frozenset(
    {
        ("pods", "", CREATE),
        ("pods", "resize", UPDATE),
        (_CLAIMS, "", CREATE),
        (_CLAIMS, "", UPDATE),
    }
)
_ZERO: Final = Quantity(0)


class LimitRanger(Plugin):
    """See the module's head."""

    name = "LimitRanger"
    mutates = validates = True

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return (resource.storage, subresource, operation) in _HANDLED

    def admit(self, attributes: Attributes) -> None:
        """See Plugin."""
        if attributes.resource.storage != "pods" or _is_ending(attributes):
            return
        assert attributes.obj is not None
        for limit_range in self._ranges(attributes.namespace):
            complete(attributes.obj, limit_range)

    def validate(self, attributes: Attributes) -> None:
        """See Plugin."""
        if _is_ending(attributes):
            return
        obj = attributes.obj
        assert obj is not None
        find = _pod_faults if attributes.resource.storage == "pods" else _claim_faults
        for limit_range in self._ranges(attributes.namespace):
            faults = [
                text
                for limit in limit_range["spec"].get("limits") or ()
                for text in find(obj, limit)
            ]
            if faults:
                why = faults[0] if len(faults) == 1 else f"[{', '.join(dict.fromkeys(faults))}]"
                raise attributes.forbidden(why)

    def _ranges(self, namespace: str) -> list[JsonObject]:
        found = self._facts.all_of(LIMIT_RANGES, namespace)
        return sorted(found, key=lambda one: one["metadata"]["name"]) if found else []


def _is_ending(attributes: Attributes) -> bool:
    return bool(attributes.old and attributes.old["metadata"].get("deletionTimestamp"))


def complete(pod: JsonObject, limit_range: JsonObject) -> None:
    """Give containers the defaults of a LimitRange, in place, and note what was set."""
    requests: dict[str, str] = {}
    limits: dict[str, str] = {}
    for limit in limit_range["spec"].get("limits") or ():
        if limit["type"] == "Container":
            requests.update(limit.get("defaultRequest") or {})
            limits.update(limit.get("default") or {})
    notes: list[str] = []
    for key, kind in (("containers", "container"), ("initContainers", "init container")):
        for container in pod["spec"].get(key) or ():
            for side, defaults in (("requests", requests), ("limits", limits)):
                names = _fill(container, side, defaults)
                if names:
                    word = side.removesuffix("s")
                    notes.append(f"{', '.join(names)} {word} for {kind} {container['name']}")
    if notes:
        annotations = pod["metadata"].get("annotations") or {}
        text = f"LimitRanger plugin set: {'; '.join(notes)}"
        pod["metadata"]["annotations"] = {**annotations, ANNOTATION: text}


def _fill(container: JsonObject, side: str, defaults: dict[str, str]) -> list[str]:
    given = (container.get("resources") or {}).get(side) or {}
    missing = sorted(defaults.keys() - given.keys())
    if missing:
        resources = container.get("resources") or {}
        added = {name: defaults[name] for name in missing}
        container["resources"] = {**resources, side: {**given, **added}}
    return missing


def _pod_faults(pod: JsonObject, limit: JsonObject) -> Iterator[str]:
    kind = limit["type"]
    if kind == "Container":
        spec = pod["spec"]
        for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
            resources = container.get("resources") or {}
            yield from _faults(
                limit, read(resources.get("requests")), read(resources.get("limits"))
            )
    elif kind == "Pod":
        yield from _faults(limit, totals(pod, "requests"), totals(pod, "limits"))


def _faults(limit: JsonObject, requests: Amounts, limits: Amounts) -> Iterator[str]:
    kind = limit["type"]
    for name, bound in sorted(read(limit.get("min")).items()):
        yield from _too_little(
            f"minimum {name} usage per {kind} is {bound}", name, bound, (requests, limits)
        )
    for name, bound in sorted(read(limit.get("max")).items()):
        yield from _too_much(
            f"maximum {name} usage per {kind} is {bound}", name, bound, (requests, limits)
        )
    for name, bound in sorted(read(limit.get("maxLimitRequestRatio")).items()):
        text = f"{name} max limit to request ratio per {kind} is {bound}"
        yield from _too_uneven(text, bound, requests.get(name, _ZERO), limits.get(name, _ZERO))


def _too_little(
    text: str, name: str, bound: Quantity, asked: tuple[Amounts, Amounts]
) -> Iterator[str]:
    request, limit = (amounts.get(name) for amounts in asked)
    if request is None:
        yield f"{text}.  No request is specified"
    elif request < bound:
        yield f"{text}, but request is {request}"
    elif limit is not None and limit < bound:
        yield f"{text}, but limit is {limit}"


def _too_much(
    text: str, name: str, bound: Quantity, asked: tuple[Amounts, Amounts]
) -> Iterator[str]:
    request, limit = (amounts.get(name) for amounts in asked)
    if limit is None:
        yield f"{text}.  No limit is specified"
    elif bound < limit:
        yield f"{text}, but limit is {limit}"
    elif request is not None and bound < request:
        yield f"{text}, but request is {request}"


def _too_uneven(text: str, bound: Quantity, request: Quantity, limit: Quantity) -> Iterator[str]:
    if request.is_zero():
        yield f"{text}, but no request is specified or request is 0"
    elif limit.is_zero():
        yield f"{text}, but no limit is specified or limit is 0"
    else:
        ratio = limit.milli_value / request.milli_value
        if ratio > float(bound):
            yield f"{text}, but provided ratio is {ratio:.6f}"


def _claim_faults(claim: JsonObject, limit: JsonObject) -> Iterator[str]:
    if limit["type"] != "PersistentVolumeClaim":
        return
    requests = read((claim["spec"].get("resources") or {}).get("requests"))
    for word, bounds in (("minimum", limit.get("min")), ("maximum", limit.get("max"))):
        for name, bound in sorted(read(bounds).items()):
            text = f"{word} {name} usage per PersistentVolumeClaim is {bound}"
            request = requests.get(name)
            if request is None:
                yield f"{text}.  No request is specified"
            elif request < bound if word == "minimum" else bound < request:
                yield f"{text}, but request is {request}"
