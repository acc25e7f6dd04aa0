"""ImagePolicyWebhook: a server of the operator's is asked which images pods may run.

It is sent an ImageReview of imagepolicy.k8s.io; what it answered is kept for a while. Off unless
asked for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from apiserver.admission.attributes import CREATE, UPDATE, Attributes
from apiserver.admission.chain import Plugin
from apiserver.config_reader import ConfigReader
from apiserver.remembered import Remembered
from apiserver.resources import Resource
from kube import field as fld
from kube.access import read_access
from kube.client import ApiClient, ClientLimits, Unreachable
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.clock import Clock

_KEPT_MAX: Final = 1024
_VERSION: Final = "imagepolicy.k8s.io/v1alpha1"
_SECTION: Final = "imagePolicy"
_SHOWN: Final = ".image-policy.k8s.io/"
_FAILED_OPEN: Final = "alpha.image-policy.k8s.io/failed-open"
_DURATIONS: Final = {
    # Of each: what it is without a word, the most it may be, and what one of it is in seconds.
    "allowTTL": (300.0, 1800.0, 1.0),
    "denyTTL": (30.0, 1800.0, 1.0),
    "retryBackoff": (0.5, 300.0, 0.001),
}
_log: Final = logging.getLogger(__name__)


class ImagePolicy(NamedTuple):
    """A configuration.

    Attributes:
        file: a kubeconfig that says where the webhook is.
        allowed_s, denied_s: for how long answers are kept; 0: not at all.
        pause_s: before the first retry.
        allows_at_failure: what counts while it does not answer.
    """

    file: Path
    allowed_s: float
    denied_s: float
    pause_s: float
    allows_at_failure: bool


def read_policy(document: Mapping[str, Any]) -> ImagePolicy:
    """Return a configuration.

    Raises:
        ConfigurationUseless: it is wrong.
    """
    reader, whole = ConfigReader(), dict(document)
    reader.known(whole, "", {_SECTION})
    known = {*_DURATIONS, "kubeConfigFile", "defaultAllow"}
    policy = reader.part(whole, "", _SECTION, known)
    name = reader.get(policy, _SECTION, "kubeConfigFile", str, "")
    if not name:
        reader.faults.append(fld.required(f"{_SECTION}.kubeConfigFile"))
    seconds = {}
    for key, (default_s, most_s, unit_s) in _DURATIONS.items():
        given = reader.get(policy, _SECTION, key, int, 0)
        # As upstream: 0 is for what is usual, -1 for not at all.
        value_s = default_s if given == 0 else 0.0 if given == -1 else given * unit_s
        if not 0 <= value_s <= most_s:
            text = f"valid value is between 1 and {most_s / unit_s:g}"
            reader.faults.append(fld.invalid(f"{_SECTION}.{key}", given, text))
        seconds[key] = value_s
    allows = reader.get(policy, _SECTION, "defaultAllow", bool, False)
    reader.check()
    durations = (seconds["allowTTL"], seconds["denyTTL"], seconds["retryBackoff"])
    return ImagePolicy(Path(name), *durations, allows)


class ImagePolicyWebhook(Plugin):
    """See the module's head."""

    name = "ImagePolicyWebhook"
    validates = True
    allows_twins = False

    def __init__(self, configuration: Mapping[str, Any], clock: Clock) -> None:
        self._policy = policy = read_policy(configuration)
        limits = ClientLimits(
            request_timeout_s=30.0, retries_max=4, pause_s_min=max(policy.pause_s, 0.01)
        )
        self._client = ApiClient(read_access(policy.file), clock=clock, limits=limits)
        self._opening: asyncio.Future[ApiClient] | None = None
        self._kept: Remembered[JsonObject] = Remembered(_KEPT_MAX, clock)

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        is_pod = resource.storage == "pods" and subresource in {"", "ephemeralcontainers"}
        return is_pod and operation in {CREATE, UPDATE}

    def validate(self, attributes: Attributes) -> Awaitable[None] | None:
        """See Plugin."""
        spec = _review_spec(attributes)
        key = orjson.dumps(spec, option=orjson.OPT_SORT_KEYS)
        status = self._kept.get(key)
        if status is None:
            return self._ask(attributes, spec, key)
        _judge(attributes, status)
        return None

    async def close(self) -> None:
        """See Plugin."""
        if self._opening is not None:
            await self._client.__aexit__(None, None, None)

    async def _ask(self, attributes: Attributes, spec: JsonObject, key: bytes) -> None:
        review = {"apiVersion": _VERSION, "kind": "ImageReview", "spec": spec}
        try:
            if self._opening is None:
                self._opening = asyncio.ensure_future(self._client.__aenter__())
            await self._opening
            answer = await self._client.request("POST", "", review)
            status = answer.get("status")
            if not isinstance(status, dict):
                raise Unreachable("it answers without a status")
        except (StatusError, Unreachable) as error:
            _log.warning("the image policy webhook does not answer: %s", error)
            if not self._policy.allows_at_failure:
                raise attributes.forbidden(str(error)) from error
            attributes.annotate(_FAILED_OPEN, "true")
            return
        policy = self._policy
        lasts_s = policy.allowed_s if status.get("allowed") is True else policy.denied_s
        self._kept.put(key, status, lasts_s)
        _judge(attributes, status)


def _review_spec(attributes: Attributes) -> JsonObject:
    pod = attributes.obj
    assert pod is not None
    # Of a part only what it may change is asked about.
    lists = ("ephemeralContainers",) if attributes.subresource else ("containers", "initContainers")
    images = [one.get("image", "") for key in lists for one in pod["spec"].get(key) or ()]
    annotations = pod["metadata"].get("annotations") or {}
    shown = {key: value for key, value in annotations.items() if _SHOWN in key}
    spec: JsonObject = {
        "containers": [{"image": image} for image in images],
        "namespace": attributes.namespace,
    }
    return {**spec, "annotations": shown} if shown else spec


def _judge(attributes: Attributes, status: JsonObject) -> None:
    for key, value in (status.get("auditAnnotations") or {}).items():
        attributes.annotate(f"{ImagePolicyWebhook.name}.image-policy.k8s.io/{key}", str(value))
    if status.get("allowed") is True:
        return
    if reason := status.get("reason"):
        raise attributes.forbidden(
            f"image policy webhook backend denied one or more images: {reason}"
        )
    raise attributes.forbidden("one or more images rejected by webhook backend")
