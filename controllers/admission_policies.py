"""Tells the authors of ValidatingAdmissionPolicies, in their status, which expressions cannot hold.

Expressions are evaluated without types, so one that names a field which no object has compiles, and
fails each request. Here they are compiled again, against the types that a policy's rules name; what
is found there changes nothing but the status.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from controllers.policy_types import NamedType, types_of
from controllers.workqueue import Backoff, WorkQueue, run_worker
from kube.cel.conditions import Declarations, Result, compile_condition
from kube.cel.errors import CompileError
from kube.client import ApiClient
from kube.informers.changes import Change
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

PATH: Final = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
_AGAIN_S: Final = 1.0
_HEAD: Final = "compilation failed: "


class AdmissionPolicyController:
    """See the module's head."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._queue: WorkQueue[str] = WorkQueue(Backoff(first_s=0.1, most_s=30.0))
        self._policies: dict[str, JsonObject] = {}

    def start(self, scope: TaskScope) -> None:
        """Start the worker in `scope`."""
        scope.spawn(run_worker(self._queue, self.reconcile), name="admission policies")

    def observe(self, change: Change, policy: JsonObject) -> None:
        """Take note of a policy's change."""
        name = policy["metadata"]["name"]
        if change is Change.DELETED:
            self._policies.pop(name, None)
            return
        self._policies[name] = policy
        self._queue.add(name)

    async def reconcile(self, name: str) -> float | None:
        """Check a policy that has changed; return in how many seconds to look again."""
        policy = self._policies.get(name)
        if policy is None:
            return None
        generation = policy["metadata"].get("generation", 0)
        if generation <= policy.get("status", {}).get("observedGeneration", 0):
            return None
        types = await types_of(self._client, policy.get("spec") or {})
        warnings = expression_warnings(policy, types)
        status = {
            **policy.get("status", {}),
            "observedGeneration": generation,
            "typeChecking": {"expressionWarnings": warnings} if warnings else {},
        }
        try:
            await self._client.request("PUT", f"{PATH}/{name}/status", {**policy, "status": status})
        except StatusError as error:
            if error.reason == "NotFound":
                return None
            if error.reason != "Conflict":
                raise
            return _AGAIN_S  # the watch is about to show what is there now
        return None


def expression_warnings(policy: JsonObject, types: Sequence[NamedType]) -> list[JsonObject]:
    """Return what is wrong with a policy's validations for the types that it is about."""
    spec = policy.get("spec") or {}
    found: list[JsonObject] = []
    for index, validation in enumerate(spec.get("validations") or ()):
        for key in ("expression", "messageExpression"):
            expression = validation.get(key) or ""
            texts = [_check(one, expression, spec) for one in types] if expression else []
            told = "\n".join(text for text in texts if text)
            if told:
                field = f"spec.validations[{index}].{key}"
                found.append({"fieldRef": field, "warning": told})
    return found


def _check(known: NamedType, expression: str, spec: JsonObject) -> str:
    """Return what is wrong with an expression for objects of one kind, "" for nothing."""
    declarations = Declarations(object_type=known.type, params=spec.get("paramKind") is not None)
    for variable in spec.get("variables") or ():
        name, text = variable.get("name", ""), variable.get("expression", "")
        declarations = declarations.with_variable(name, text)
    try:
        compile_condition(expression, declarations, result=Result.ANY)
    except CompileError as error:
        return f"{known.name}: {str(error).removeprefix(_HEAD)}\n"
    return ""
