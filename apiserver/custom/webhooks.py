"""How reviews reach the webhooks that convert: by the client that all webhooks are called with."""

from __future__ import annotations

import base64
import binascii

from apiserver.custom.conversion import TIMEOUT_S, CallFailed
from apiserver.simulated import SimulatedNetworks
from apiserver.webhooks import client
from apiserver.webhooks.client import WebhookClient
from apiserver.webhooks.target import BadTarget, target_of
from kube.json_types import JsonObject
from storage.store_view import StoreView


class ConversionCaller:
    """Sends reviews; `close` it when the server stops."""

    def __init__(self, store: StoreView, simulated: SimulatedNetworks) -> None:
        self._client = WebhookClient(store, simulated)

    async def ask(self, config: JsonObject, review: bytes) -> JsonObject:
        """See `apiserver.custom.conversion.Ask`."""
        try:
            target = target_of(_without_blank_bundle(config))
            return await self._client.call(target, review, timeout_s=TIMEOUT_S)
        except (client.CallFailed, BadTarget) as error:
            raise CallFailed(str(error)) from error

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()


def _without_blank_bundle(config: JsonObject) -> JsonObject:
    """Return a clientConfig in which a bundle of white space alone is none."""
    given = config.get("caBundle")
    if not given:
        return config
    try:
        is_blank = not base64.b64decode(given, validate=True).strip()
    except (binascii.Error, ValueError):
        return config
    return {**config, "caBundle": ""} if is_blank else config
