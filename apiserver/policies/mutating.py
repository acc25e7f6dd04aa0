"""MutatingAdmissionPolicy: policies that change objects, one after the other, by name.

A second round, when somebody has changed the object, is for those that want it, as with webhooks.
"""

from __future__ import annotations

from collections.abc import Awaitable
from time import monotonic
from typing import ClassVar, NamedTuple

from apiserver.admission.attributes import DELETE, Attributes
from apiserver.policies.configuration import Binding, Bound, Policy, Relevant
from apiserver.policies.expressions import conditions_of, scope_of, shown_namespace
from apiserver.policies.metrics import NO_ERROR, error_type
from apiserver.policies.params import ConfigurationError
from apiserver.policies.patching import Mutation, MutationFailed
from apiserver.policies.plugin import PolicyPlugin
from apiserver.resources import Resource
from apiserver.webhooks.conditions import ConditionsFailed
from apiserver.webhooks.matching import ShownAs, View
from apiserver.webhooks.mutating import Rounds, replace_object, settle
from apiserver.webhooks.pacing import Pace
from kube import status as st
from kube.cel.conditions import Activation
from kube.json_types import JsonObject
from kube.managed.atoms import root_type
from kube.schema.compile import builtin_schemas
from kube.schema.model import Type

_INVALID = "Invalid"


class Mutator:
    """A compiled MutatingAdmissionPolicy.

    Attributes:
        pace: how it is evaluated.
    """

    def __init__(self, policy: JsonObject) -> None:
        spec = policy.get("spec") or {}
        scope = scope_of(spec)
        self.pace = Pace(spec)
        self.conditions = conditions_of(policy, scope)
        self.mutations = [Mutation(one, scope.mutations) for one in spec.get("mutations") or ()]
        self.is_reinvoked = spec.get("reinvocationPolicy") == "IfNeeded"


class _Fault(NamedTuple):
    policy: Policy[Mutator]
    binding: str
    message: str
    reason: str

    def __str__(self) -> str:
        if self.binding:
            head = f"policy '{self.policy.name}' with binding '{self.binding}'"
        else:
            head = f'policy "{self.policy.name}"'
        return f"{head} denied request: {self.message}"


class _Invocation(NamedTuple):
    policy: Policy[Mutator]
    binding: Binding
    shown_as: ShownAs
    param: JsonObject | None

    @property
    def key(self) -> tuple[str, ...]:
        """What the rounds know it by."""
        metadata = (self.param or {}).get("metadata") or {}
        named = metadata.get("namespace", ""), metadata.get("name", "")
        return self.policy.name, self.binding.name, *named


class MutatingPolicies(PolicyPlugin[Mutator]):
    """The plugin."""

    name: ClassVar[str] = "MutatingAdmissionPolicy"
    mutates: ClassVar[bool] = True

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        if operation == DELETE:
            return False  # there is nothing to change
        return super().handles(resource, subresource, operation)

    def admit(self, attributes: Attributes) -> Awaitable[None]:
        """See Plugin."""
        return self._admit(attributes)

    async def _admit(self, attributes: Attributes) -> None:
        relevant = self._relevant(attributes)
        if relevant is None:
            return
        view = View(self._server, attributes)
        faults: list[_Fault] = []
        invocations: list[_Invocation] = []
        for bound in relevant.bound:
            invocations += await self._invocations(bound, relevant, view, faults)
        if invocations:
            await self._invoke(invocations, view, faults)
        _refuse(attributes, faults)

    async def _invocations(
        self,
        bound: Bound[Mutator],
        relevant: Relevant[Mutator],
        view: View,
        faults: list[_Fault],
    ) -> list[_Invocation]:
        """Return the policy's uses for this operation: one a binding and set of params."""
        policy = bound.policy
        found: list[_Invocation] = []
        try:
            shown_as = await policy.matching.shown_as(view, relevant.place, relevant.versions)
            if shown_as is None:
                return []
            resource = self._param_resource(policy)
        except (ConfigurationError, st.StatusError) as error:
            faults.append(_Fault(policy, "", f"failed to configure policy: {error}", ""))
            return []
        for binding in bound.bindings:
            try:
                params = await self._params(resource, binding, relevant, view)
            except (ConfigurationError, st.StatusError) as error:
                text = f"failed to configure binding: {error}"
                faults.append(_Fault(policy, binding.name, text, ""))
                continue
            found += [_Invocation(policy, binding, shown_as, param) for param in params]
        return found

    async def _invoke(
        self, invocations: list[_Invocation], view: View, faults: list[_Fault]
    ) -> None:
        attributes = view.attributes
        rounds: Rounds = attributes.reinvocation.notes.setdefault(self.name, Rounds())
        rounds.begin(attributes)
        space = shown_namespace(await view.namespace())
        for invocation in invocations:
            program = invocation.policy.program
            await view.bring(invocation.shown_as)
            try:
                if program.conditions is not None and not await program.pace.run(
                    attributes.caller.is_large,
                    program.conditions.are_met,
                    _activation(view, invocation, space),
                    attributes.operation,
                    self._webhook_metrics,
                ):
                    continue
            except ConditionsFailed as error:
                fault = _Fault(invocation.policy, invocation.binding.name, str(error), _INVALID)
                faults.append(fault)
                continue
            if attributes.reinvocation.is_second and invocation.key not in rounds.due:
                continue
            if await self._mutate(invocation, view, space, faults):
                rounds.require()
                attributes.reinvocation.wanted = True
            if program.is_reinvoked:
                rounds.asked.add(invocation.key)
        rounds.end(attributes)

    async def _mutate(
        self,
        invocation: _Invocation,
        view: View,
        space: JsonObject | None,
        faults: list[_Fault],
    ) -> bool:
        """Apply a policy's mutations; tell whether the object is another one then."""
        program, is_large = invocation.policy.program, view.attributes.caller.is_large
        changed = False
        for mutation in program.mutations:
            await view.bring(invocation.shown_as)
            values = _activation(view, invocation, space)
            began_s = monotonic()
            kind = NO_ERROR
            try:
                changed |= await program.pace.run(
                    is_large, _apply, mutation, invocation, view, values
                )
            except MutationFailed as error:
                kind = error_type(str(error))
                fault = _Fault(invocation.policy, invocation.binding.name, str(error), _INVALID)
                faults.append(fault)
            await settle(view)
            labels = invocation.policy.name, invocation.binding.name
            self._metrics.mutated(monotonic() - began_s, *labels, kind)
        return changed


def _apply(mutation: Mutation, invocation: _Invocation, view: View, values: Activation) -> bool:
    """Apply one mutation; tell whether the object is another one then.

    Raises:
        MutationFailed: it cannot be done.
    """
    before = view.object_as(invocation.shown_as)
    if before is None:
        return False
    after = mutation.apply(before, values, _type_of(view, invocation))
    return replace_object(view, invocation.shown_as, before, after)


def _activation(view: View, invocation: _Invocation, space: JsonObject | None) -> Activation:
    values = view.activation(invocation.shown_as)
    values.params, values.namespace_object = invocation.param, space
    return values


def _type_of(view: View, invocation: _Invocation) -> Type:
    part = view.attributes.part
    if part is not None:
        return root_type(builtin_schemas().struct(part.schema_name))
    resource = view.resource_as(invocation.shown_as)
    return resource.tracker.versions("").type_at(resource.api_version)


def _refuse(attributes: Attributes, faults: list[_Fault]) -> None:
    """Refuse an operation for the faults of policies that are to fail.

    Raises:
        StatusError: 403, with the first fault's message and reason.
    """
    counted = [fault for fault in faults if not fault.policy.fails_open]
    if not counted:
        return
    error = attributes.forbidden("")
    error.status["message"] = str(counted[0])
    if counted[0].reason:
        error.status["reason"] = counted[0].reason
    error.status["details"]["causes"] = [{"message": str(fault)} for fault in counted]
    raise error
