"""The plugins that users extend: webhooks and policies, in the order in which upstream has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from apiserver.admission.chain import Plugin
from apiserver.webhooks.calling import WebhookCalls
from apiserver.webhooks.configuration import ADMIT, MUTATING, VALIDATE, VALIDATING
from apiserver.webhooks.following import FollowedHooks
from apiserver.webhooks.metrics import WebhookMetrics
from apiserver.webhooks.mutating import MutatingWebhooks
from apiserver.webhooks.validating import ValidatingWebhooks

if TYPE_CHECKING:
    from apiserver.server import Server

ADMISSION_STORAGES: Final = (MUTATING, VALIDATING)
"""What every worker has to have before a change of it is acknowledged."""


def make_extensible(server: Server) -> list[Plugin]:
    """Return the plugins, in their order."""
    metrics = WebhookMetrics()
    server.metrics.gauges.append(metrics.collect)
    calls = WebhookCalls(server.webhooks, metrics)
    return [
        MutatingWebhooks(server, FollowedHooks(server, ADMIT), calls),
        ValidatingWebhooks(server, FollowedHooks(server, VALIDATE), calls),
    ]
