"""ValidatingAdmissionPolicy: what policies say against objects, and what their bindings do then."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import ClassVar, Final, NamedTuple

import orjson

from apiserver.admission.attributes import Attributes
from apiserver.policies.configuration import Binding, Bound, Policy, Relevant
from apiserver.policies.expressions import shown_namespace
from apiserver.policies.judging import INVALID, Judge, Judgement, Verdict
from apiserver.policies.metrics import NO_ERROR, PolicyMetrics, error_type
from apiserver.policies.params import ConfigurationError
from apiserver.policies.plugin import PolicyPlugin
from apiserver.webhooks.matching import ShownAs, View
from kube import status as st
from kube.cel.conditions import Activation
from kube.json_types import JsonObject

FAILURES_MAX: Final = 50
_FAILURES_KEY: Final = "validation.policy.admission.k8s.io/validation_failure"
_ANNOTATION_BYTES_MAX: Final = 10 * 1024
_CODES: Final = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}
_INVALID_CODE: Final = 422


class _Denial(NamedTuple):
    policy: str
    binding: str
    message: str
    reason: str


class _Findings:
    """What all policies have found of one operation."""

    def __init__(self, attributes: Attributes, metrics: PolicyMetrics) -> None:
        self.attributes = attributes
        self.denials: list[_Denial] = []
        self.failures: list[JsonObject] = []
        self._metrics = metrics

    def misconfigured(self, policy: Policy[Judge], binding: Binding | None, error: object) -> None:
        """Take that a policy or binding cannot be used."""
        if policy.fails_open:
            return
        what = "policy" if binding is None else "binding"
        message = f"failed to configure {what}: {error}"
        self.denials.append(_Denial(policy.name, binding.name if binding else "", message, ""))

    def take(self, policy: Policy[Judge], binding: Binding, found: Judgement) -> None:
        """Take what a policy says, for one binding and its params."""
        for verdict in found.verdicts:
            if verdict.is_failure and policy.fails_open:
                self._count(policy, binding, verdict, "allow")
                continue
            for action in binding.actions:
                self._act(policy, binding, verdict, action)
        for annotation in found.annotations:
            if annotation.fault and not policy.fails_open:
                self.denials.append(_Denial(policy.name, binding.name, annotation.fault, ""))

    def _act(self, policy: Policy[Judge], binding: Binding, verdict: Verdict, action: str) -> None:
        match action:
            case "Deny":
                self.denials.append(
                    _Denial(policy.name, binding.name, verdict.message, verdict.reason)
                )
            case "Audit":
                self.failures.append(
                    {
                        "message": verdict.message,
                        "policy": policy.name,
                        "binding": binding.name,
                        "expressionIndex": verdict.number,
                        "validationActions": list(binding.actions),
                    }
                )
            case _:
                self.attributes.warn(
                    f"Validation failed for ValidatingAdmissionPolicy '{policy.name}' with "
                    f"binding '{binding.name}': {verdict.message}"
                )
        self._count(policy, binding, verdict, action.lower())

    def _count(
        self, policy: Policy[Judge], binding: Binding, verdict: Verdict, action: str
    ) -> None:
        kind = error_type(verdict.message) if verdict.is_failure else "invalid_error"
        self._metrics.checked(
            verdict.duration_s, policy.name, binding.name, kind or NO_ERROR, action
        )

    def publish(self) -> None:
        """Tell the auditor, and refuse what is denied.

        Raises:
            StatusError: of the first denial, with its reason.
        """
        if self.failures:
            told = orjson.dumps(self.failures[:FAILURES_MAX]).decode()
            self.attributes.annotate(_FAILURES_KEY, told)
        if not self.denials:
            return
        first = self.denials[0]
        where = f" with binding '{first.binding}'" if first.binding else ""
        message = (
            f"ValidatingAdmissionPolicy '{first.policy}'{where} denied request: {first.message}"
        )
        error = self.attributes.forbidden(message)
        reason = first.reason or INVALID
        error.code = error.status["code"] = _CODES.get(reason, _INVALID_CODE)
        error.status["reason"] = reason
        error.status["details"]["causes"] = [{"message": message}]
        raise error


class ValidatingPolicies(PolicyPlugin[Judge]):
    """The plugin."""

    name: ClassVar[str] = "ValidatingAdmissionPolicy"
    validates: ClassVar[bool] = True

    def validate(self, attributes: Attributes) -> Awaitable[None]:
        """See Plugin."""
        return self._validate(attributes)

    async def _validate(self, attributes: Attributes) -> None:
        relevant = self._relevant(attributes)
        if relevant is None:
            return
        view = View(self._server, attributes)
        found = _Findings(attributes, self._metrics)
        for bound in relevant.bound:
            await self._judge(bound, relevant, view, found)
        found.publish()

    async def _judge(
        self, bound: Bound[Judge], relevant: Relevant[Judge], view: View, found: _Findings
    ) -> None:
        policy = bound.policy
        try:
            shown_as = await _brought_as(policy, relevant, view)
            if shown_as is None:
                return
            resource = self._param_resource(policy)
        except (ConfigurationError, st.StatusError) as error:
            found.misconfigured(policy, None, error)
            return
        annotations: dict[str, list[str]] = {}
        for binding in bound.bindings:
            try:
                params = await self._params(resource, binding, relevant, view)
            except (ConfigurationError, st.StatusError) as error:
                found.misconfigured(policy, binding, error)
                continue
            for param in params:
                judgement = await self._evaluate(policy, view, shown_as, param)
                found.take(policy, binding, judgement)
                _gather(annotations, judgement)
        for key, values in annotations.items():
            view.attributes.annotate(f"{policy.name}/{key}", ", ".join(values))

    async def _evaluate(
        self, policy: Policy[Judge], view: View, shown_as: ShownAs, param: JsonObject | None
    ) -> Judgement:
        space = shown_namespace(await view.namespace())

        def activation() -> Activation:
            values = view.activation(shown_as)
            values.params, values.namespace_object = param, space
            return values

        attributes, program = view.attributes, policy.program
        return await program.pace.run(
            attributes.caller.is_large,
            program.judge,
            activation,
            attributes.operation,
            self._webhook_metrics,
        )


async def _brought_as(
    policy: Policy[Judge], relevant: Relevant[Judge], view: View
) -> ShownAs | None:
    """Return what a policy sees the objects as, which are at hand then; None: not at all.

    Raises:
        StatusError: that cannot be told, or they cannot be converted.
    """
    shown_as = await policy.matching.shown_as(view, relevant.place, relevant.versions)
    if shown_as is not None:
        await view.bring(shown_as)
    return shown_as


def _gather(annotations: dict[str, list[str]], found: Judgement) -> None:
    """Gather what bindings say under a key; each distinct text once."""
    for annotation in found.annotations:
        if annotation.fault:
            continue
        values = annotations.setdefault(annotation.key, [])
        value = annotation.value.encode()[:_ANNOTATION_BYTES_MAX].decode(errors="ignore")
        if value not in values:
            values.append(value)
