"""Priority: a pod's priority is that of its class; and one class at most is the default."""

from __future__ import annotations

from typing import Final

from apiserver.admission.attributes import CREATE, UPDATE, Attributes
from apiserver.admission.chain import Plugin
from apiserver.admission.facts import PRIORITY_CLASSES, Facts
from apiserver.resources import Resource
from kube.json_types import JsonObject

_KEPT: Final = ("priority", "preemptionPolicy")
_PREEMPTS: Final = "PreemptLowerPriority"


class Priority(Plugin):
    """See the module's head."""

    name = "Priority"
    mutates = validates = True

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        if subresource or operation not in {CREATE, UPDATE}:
            return False
        return resource.storage in {"pods", PRIORITY_CLASSES}

    def admit(self, attributes: Attributes) -> None:
        """See Plugin."""
        if attributes.resource.storage != "pods":
            return
        assert attributes.obj is not None
        spec = attributes.obj["spec"]
        if attributes.old is not None:
            # A client that writes the pod as it once sent it does not mean to take this away.
            stored = attributes.old["spec"]
            for key in _KEPT:
                if key in stored:
                    spec.setdefault(key, stored[key])
            return
        self._resolve(attributes, spec)

    def validate(self, attributes: Attributes) -> None:
        """See Plugin."""
        new = attributes.obj
        if new is None or attributes.resource.storage == "pods" or not new.get("globalDefault"):
            return
        known = self._default()
        if known is None:
            return
        name = known["metadata"]["name"]
        if attributes.operation == CREATE or name != new["metadata"]["name"]:
            raise attributes.forbidden(
                f"PriorityClass {name} is already marked as default. Only one default can exist"
            )

    def _default(self) -> JsonObject | None:
        marked = [one for one in self._facts.all_of(PRIORITY_CLASSES) if one.get("globalDefault")]
        return min(marked, key=lambda one: (one["value"], one["metadata"]["name"]), default=None)

    def _resolve(self, attributes: Attributes, spec: JsonObject) -> None:
        name = spec.get("priorityClassName", "")
        if name:
            found = self._facts.find(PRIORITY_CLASSES, name)
            if found is None:
                raise attributes.forbidden(f"no PriorityClass with name {name} was found")
        else:
            found = self._default()
            if found is not None:
                spec["priorityClassName"] = found["metadata"]["name"]
        value = 0 if found is None else found["value"]
        policy = _PREEMPTS if found is None else found.get("preemptionPolicy")
        given = spec.get("priority")
        if given is not None and given != value:
            raise attributes.forbidden(
                f"the integer value of priority ({given}) must not be provided in pod spec; "
                f"priority admission controller computed {value} from the given PriorityClass name"
            )
        spec["priority"] = value
        if policy is None:
            return
        asked = spec.get("preemptionPolicy")
        if asked is not None and asked != policy:
            raise attributes.forbidden(
                f"the string value of PreemptionPolicy ({asked}) must not be provided in pod spec; "
                f"priority admission controller computed {policy} from the given PriorityClass name"
            )
        spec["preemptionPolicy"] = policy
