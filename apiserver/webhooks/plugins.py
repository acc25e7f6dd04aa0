"""The plugins that users extend: webhooks and policies, in the order in which upstream has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from apiserver.admission.chain import Plugin
from apiserver.policies import configuration
from apiserver.policies.configuration import FollowedPolicies
from apiserver.policies.judging import Judge
from apiserver.policies.metrics import PolicyMetrics
from apiserver.policies.mutating import MutatingPolicies, Mutator
from apiserver.policies.validating import ValidatingPolicies
from apiserver.webhooks.calling import WebhookCalls
from apiserver.webhooks.configuration import ADMIT, MUTATING, VALIDATE, VALIDATING
from apiserver.webhooks.following import FollowedHooks
from apiserver.webhooks.metrics import WebhookMetrics
from apiserver.webhooks.mutating import MutatingWebhooks
from apiserver.webhooks.validating import ValidatingWebhooks

if TYPE_CHECKING:
    from apiserver.server import Server

MUTATING_POLICIES: Final = (configuration.MUTATING, configuration.MUTATING_BINDINGS)
VALIDATING_POLICIES: Final = (configuration.VALIDATING, configuration.VALIDATING_BINDINGS)
ADMISSION_STORAGES: Final = (MUTATING, VALIDATING, *MUTATING_POLICIES, *VALIDATING_POLICIES)
"""What every worker has to have before a change of it is acknowledged."""


def make_extensible(server: Server) -> list[Plugin]:
    """Return the plugins, in their order."""
    metrics = WebhookMetrics()
    server.metrics.gauges.append(metrics.collect)
    policy_metrics = PolicyMetrics()
    server.metrics.gauges.append(policy_metrics.collect)
    calls = WebhookCalls(server.webhooks, metrics)
    mutators = FollowedPolicies(server, MUTATING_POLICIES, Mutator)
    judges = FollowedPolicies(server, VALIDATING_POLICIES, Judge)
    return [
        MutatingPolicies(server, mutators, policy_metrics, metrics),
        MutatingWebhooks(server, FollowedHooks(server, ADMIT), calls),
        ValidatingPolicies(server, judges, policy_metrics, metrics),
        ValidatingWebhooks(server, FollowedHooks(server, VALIDATE), calls),
    ]
