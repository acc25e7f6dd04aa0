"""Whether an extension API server can be sent requests: the condition Available of its APIService.

As upstream's controllers: the Service must be there and have the port, somebody must serve it, and
one of a few attempts at its discovery must succeed. Certificates are not checked for that.
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from apiserver.aggregation.asking import ask
from apiserver.aggregation.endpoints import Endpoints, has_endpoint
from apiserver.aggregation.extensions import Unreachable
from apiserver.aggregation.model import ApiService, Reference
from apiserver.proxying.places import port_of
from apiserver.proxying.wire import Address, BackendFailed, Backends
from kube.field import quote
from kube.json_types import JsonObject
from kube.status import StatusError

ATTEMPTS: Final = 5
_CHECK_S_MAX: Final = 6.0
_ANSWER_BYTES_MAX: Final = 4 << 20


class Condition(NamedTuple):
    """The condition Available, without its time."""

    status: str
    reason: str
    message: str

    @property
    def is_met(self) -> bool:
        """Whether requests may be sent."""
        return self.status == "True"

    def matches(self, shown: JsonObject) -> bool:
        """Tell whether an object shows just this."""
        return (shown.get("status"), shown.get("reason"), shown.get("message")) == self


LOCAL: Final = Condition("True", "Local", "Local APIServices are always available")
PASSED: Final = Condition("True", "Passed", "all checks passed")


def condition_of_service(reference: Reference, endpoints: Endpoints) -> Condition | None:
    """Return what is wrong with an APIService's Service, None if it may be asked."""
    service = endpoints.service(reference)
    where = f"service/{reference.name} in {quote(reference.namespace)}"
    if service is None:
        return Condition("False", "ServiceNotFound", f"{where} is not present")
    spec = service.get("spec") or {}
    if spec.get("type", "ClusterIP") != "ClusterIP":
        return None
    port = port_of(spec, reference.port)
    if port is None:
        text = f"{where} is not listening on port {reference.port}"
        return Condition("False", "ServicePortError", text)
    slices = endpoints.slices(reference)
    if not slices:
        text = f"cannot find endpointslices for {where}"
        return Condition("False", "EndpointsNotFound", text)
    name = port.get("name", "")
    if not has_endpoint(slices, name):
        text = f"endpointslices for {where} have no addresses with port name {quote(name)}"
        return Condition("False", "MissingEndpoints", text)
    return None


async def condition_of_discovery(
    api: ApiService, endpoints: Endpoints, backends: Backends, tls: Address
) -> Condition:
    """Return whether an extension API server answers for its version.

    Args:
        api: the APIService.
        endpoints: where its Service is.
        backends: who dials.
        tls: how to speak to it; host and port do not count.
    """
    path = f"/apis/{api.group}/{api.version}"
    try:
        async with asyncio.timeout(_CHECK_S_MAX):
            fault = await _try_discovery(api, endpoints, backends, tls, path)
    except TimeoutError:
        fault = f"timed out waiting for {path}"
    except Unreachable as error:
        fault = str(error)
    return Condition("False", "FailedDiscoveryCheck", fault) if fault else PASSED


async def _try_discovery(
    api: ApiService, endpoints: Endpoints, backends: Backends, tls: Address, path: str
) -> str:
    """Return why no attempt has succeeded, "" if one has.

    Raises:
        Unreachable: there is nobody to be asked.
    """
    assert api.service is not None
    fault = ""
    for _ in range(ATTEMPTS):
        host, port = _endpoint(endpoints, api.service)
        address = tls._replace(host=host, port=port)
        url = f"https://{address.authority}{path}"
        try:
            answer = await ask(backends, address, path, bytes_max=_ANSWER_BYTES_MAX)
        except BackendFailed as error:
            fault = f'failing or missing response from {url}: Get "{url}": {error}'
            continue
        if 200 <= answer.code < 300:
            return ""
        fault = f"failing or missing response from {url}: bad status from {url}: {answer.code}"
    return fault


def _endpoint(endpoints: Endpoints, reference: Reference) -> tuple[str, int]:
    try:
        return endpoints.address(reference)
    except StatusError as error:
        raise Unreachable(error.message) from error
