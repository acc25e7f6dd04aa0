"""What the two plugins of policies have in common: which policies an operation has to do with."""

from __future__ import annotations

from typing import Generic

from apiserver.admission.attributes import Attributes
from apiserver.admission.followed import FollowingPlugin
from apiserver.policies.configuration import Binding, FollowedPolicies, Policy, Program, Relevant
from apiserver.policies.metrics import PolicyMetrics
from apiserver.policies.params import collect_params, param_resource
from apiserver.resources import Resource
from apiserver.server import Server
from apiserver.webhooks.matching import View
from apiserver.webhooks.metrics import WebhookMetrics
from kube.json_types import JsonObject


class PolicyPlugin(FollowingPlugin[FollowedPolicies[Program]], Generic[Program]):
    """A plugin that goes by policies and their bindings."""

    def __init__(
        self,
        server: Server,
        policies: FollowedPolicies[Program],
        metrics: PolicyMetrics,
        webhook_metrics: WebhookMetrics,
    ) -> None:
        super().__init__(server, policies)
        self._metrics = metrics
        self._webhook_metrics = webhook_metrics

    def _relevant(self, attributes: Attributes) -> Relevant[Program] | None:
        return self._followed.about(
            attributes.resource, attributes.subresource, attributes.operation
        )

    def _param_resource(self, policy: Policy[Program]) -> Resource | None:
        """Return the type of a policy's params; None: it has none.

        Raises:
            ConfigurationError: there is no such type.
        """
        if policy.param_kind is None:
            return None
        return param_resource(self._server, policy.param_kind)

    async def _params(
        self,
        resource: Resource | None,
        binding: Binding,
        relevant: Relevant[Program],
        view: View,
    ) -> list[JsonObject | None]:
        """Return the params of a binding as `collect_params`, none if it is not about the object.

        Raises:
            ConfigurationError: as `collect_params`.
            StatusError: it cannot be told what the binding is about.
        """
        if binding.matching is not None and not await binding.matching.shown_as(
            view, relevant.place, relevant.versions
        ):
            return []
        return await collect_params(self._server, resource, binding, view.attributes.namespace)
