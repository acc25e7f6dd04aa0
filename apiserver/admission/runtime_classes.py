"""RuntimeClass: a pod takes over its class's overhead, node selector and tolerations."""

from __future__ import annotations

from typing import Any

from apiserver.admission.attributes import CREATE, Attributes
from apiserver.admission.chain import Plugin
from apiserver.admission.facts import RUNTIME_CLASSES, Facts
from apiserver.resources import Resource
from kube.field import quote
from kube.json_types import JsonObject
from kube.quantity import parse


class RuntimeClass(Plugin):
    """See the module's head."""

    name = "RuntimeClass"
    mutates = validates = True

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return resource.storage == "pods" and not subresource and operation == CREATE

    def admit(self, attributes: Attributes) -> None:
        """See Plugin."""
        assert attributes.obj is not None
        spec = attributes.obj["spec"]
        found = self._find(attributes, spec)
        if found is None:
            return
        overhead = _overhead_of(found)
        if overhead is not None:
            if "overhead" in spec and not _are_alike(spec["overhead"], overhead):
                raise attributes.forbidden(
                    "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
                )
            spec["overhead"] = dict(overhead)
        scheduling = found.get("scheduling")
        if scheduling is not None:
            _schedule(attributes, spec, scheduling)

    def validate(self, attributes: Attributes) -> None:
        """See Plugin."""
        assert attributes.obj is not None
        spec = attributes.obj["spec"]
        found = self._find(attributes, spec)
        overhead = None if found is None else _overhead_of(found)
        if overhead is None:
            if spec.get("overhead") is not None:
                raise attributes.forbidden(
                    "pod rejected: Pod Overhead set without corresponding RuntimeClass defined "
                    "Overhead"
                )
        elif not _are_alike(spec.get("overhead") or {}, overhead):
            raise attributes.forbidden(
                "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
            )

    def _find(self, attributes: Attributes, spec: JsonObject) -> JsonObject | None:
        name = spec.get("runtimeClassName")
        if name is None:
            return None
        found = self._facts.find(RUNTIME_CLASSES, name)
        if found is None:
            raise attributes.forbidden(f"pod rejected: RuntimeClass {quote(name)} not found")
        return found


def _overhead_of(runtime_class: JsonObject) -> dict[str, str] | None:
    overhead = runtime_class.get("overhead")
    if overhead is None:
        return None
    fixed: dict[str, str] = overhead.get("podFixed") or {}
    return fixed


def _are_alike(one: dict[str, str], other: dict[str, str]) -> bool:
    if one.keys() != other.keys():
        return False
    return all(parse(one[key]) == parse(other[key]) for key in one)


def _schedule(attributes: Attributes, spec: JsonObject, scheduling: JsonObject) -> None:
    wanted = scheduling.get("nodeSelector") or {}
    selector = dict(spec.get("nodeSelector") or {})
    for key, value in wanted.items():
        given = selector.setdefault(key, value)
        if given != value:
            raise attributes.forbidden(
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                f"pod.spec.nodeSelector[{key}] = {given}"
            )
    if selector:
        spec["nodeSelector"] = selector
    merged = merge_tolerations(spec.get("tolerations") or [], scheduling.get("tolerations") or [])
    if merged:
        spec["tolerations"] = merged


def merge_tolerations(first: list[Any], second: list[Any]) -> list[Any]:
    """Return the tolerations of both, without those that another takes in."""
    both = [*first, *second]
    merged: list[Any] = []
    for index, one in enumerate(both):
        if any(_takes_in(other, one) for other in merged):
            continue
        later = both[index + 1 :]
        if any(other != one and _takes_in(other, one) for other in later):
            continue
        merged.append(one)
    return merged


def _takes_in(wider: JsonObject, one: JsonObject) -> bool:
    if wider == one:
        return True
    key, operator = wider.get("key", ""), wider.get("operator", "")
    if one.get("key", "") != key and (key or operator != "Exists"):
        return False
    effect = wider.get("effect", "")
    if effect not in ("", one.get("effect", "")):
        return False
    if effect == "NoExecute" and (limit := wider.get("tolerationSeconds")) is not None:
        given = one.get("tolerationSeconds")
        if given is None or given > limit:
            return False
    if operator in ("Equal", ""):
        is_equal = one.get("operator", "") == "Equal"
        return bool(is_equal and one.get("value", "") == wider.get("value", ""))
    return bool(operator == "Exists")
