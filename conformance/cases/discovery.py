"""Discovery, one group at a time and all in one, and the server's version."""

from __future__ import annotations

import re
from typing import Final

from conformance.api import Call
from conformance.checks import check, eventually, has, same
from conformance.custom import custom_resource
from conformance.registry import case
from conformance.stage import Stage
from kube.client import AGGREGATED_DISCOVERY
from kube.json_types import JsonObject

_EXPECTED: Final = (
    ("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations"),
    ("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
    ("apiregistration.k8s.io", "v1", "apiservices"),
    ("apps", "v1", "deployments"),
    ("authentication.k8s.io", "v1", "tokenreviews"),
    ("authorization.k8s.io", "v1", "selfsubjectaccessreviews"),
    ("autoscaling", "v1", "horizontalpodautoscalers"),
    ("autoscaling", "v2", "horizontalpodautoscalers"),
    ("batch", "v1", "jobs"),
    ("certificates.k8s.io", "v1", "certificatesigningrequests"),
    ("coordination.k8s.io", "v1", "leases"),
    ("discovery.k8s.io", "v1", "endpointslices"),
    ("events.k8s.io", "v1", "events"),
    ("networking.k8s.io", "v1", "ingresses"),
    ("node.k8s.io", "v1", "runtimeclasses"),
    ("policy", "v1", "poddisruptionbudgets"),
    ("scheduling.k8s.io", "v1", "priorityclasses"),
    ("storage.k8s.io", "v1", "csinodes"),
)
# What client-go sends: it takes the newest that the server has, and plain JSON from old ones.
_CLIENT_ACCEPT: Final = (
    f"{AGGREGATED_DISCOVERY},"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)


@case(
    "[sig-api-machinery] Discovery should validate PreferredVersion for each APIGroup [Conformance]"
)
async def preferred_versions(stage: Stage) -> None:
    """Each group prefers a version that it has."""
    groups = (await stage.api.get("/apis"))["groups"]
    check(groups, "there are groups")
    for group in groups:
        # Other cases come and go with groups of such names.
        if group["name"].endswith((".example.com", ".e2e-example.com")):
            continue
        document = await stage.api.get(f"/apis/{group['name']}")
        preferred = document["preferredVersion"]
        versions = [entry["groupVersion"] for entry in document["versions"]]
        has(versions, preferred["groupVersion"], f"versions of {group['name']}")


@case(
    "[sig-api-machinery] Discovery should locate the groupVersion and a resource within each "
    "APIGroup [Conformance]"
)
async def group_versions(stage: Stage) -> None:
    """Each of the groups that there must be has its version and its resource."""
    for group, version, plural in (*_EXPECTED, ("rbac.authorization.k8s.io", "v1", "roles")):
        document = await stage.api.get(f"/apis/{group}/{version}")
        same(document["groupVersion"], f"{group}/{version}", f"groupVersion of {group}")
        has([entry["name"] for entry in document["resources"]], plural, f"resources of {group}")


@case("[sig-api-machinery] server version should find the server version [Conformance]")
async def server_version(stage: Stage) -> None:
    """Major and minor are numbers; a vendor may put signs behind them."""
    version = await stage.api.get("/version")
    check(re.fullmatch(r"\d+", version["major"]), f"major is a number: {version['major']}")
    minor = re.sub(r"[^0-9]+", "", version["minor"])
    check(minor.isdigit(), f"minor has a number: {version['minor']}")


async def _aggregated(stage: Stage, path: str, accept: str) -> JsonObject:
    answer = await stage.api.call(Call("GET", path, headers=[("Accept", accept)]))
    same(answer["kind"], "APIGroupDiscoveryList", f"kind of {path}")
    return answer


def _present(document: JsonObject, group: str, version: str, plural: str) -> bool:
    return any(
        resource["resource"] == plural
        for entry in document["items"]
        if entry["metadata"].get("name", "") == group
        for found in entry["versions"]
        if found["version"] == version
        for resource in found["resources"]
    )


async def _check_builtins(stage: Stage, accept: str) -> None:
    groups = await _aggregated(stage, "/apis", accept)
    for group, version, plural in _EXPECTED:
        check(_present(groups, group, version, plural), f"{group}/{version} {plural} is there")
    legacy = await _aggregated(stage, "/api", accept)
    check(_present(legacy, "", "v1", "namespaces"), "v1 namespaces is there")


@case(
    "[sig-api-machinery] AggregatedDiscovery should support raw aggregated discovery endpoint "
    "Accept headers [Conformance]"
)
async def aggregated_raw(stage: Stage) -> None:
    """Both roots tell of all there is, to whoever accepts it."""
    await _check_builtins(stage, AGGREGATED_DISCOVERY)


@case(
    "[sig-api-machinery] AggregatedDiscovery should support aggregated discovery interface "
    "[Conformance]"
)
async def aggregated_client(stage: Stage) -> None:
    """A client that accepts everything gets the newest form."""
    await _check_builtins(stage, _CLIENT_ACCEPT)


async def _check_custom(stage: Stage, accept: str) -> None:
    group = f"{stage.unique}.example.com"
    custom = await custom_resource(stage, group, "testcrd", scope="Namespaced")

    async def told() -> bool:
        document = await _aggregated(stage, "/apis", accept)
        return _present(document, group, "v1", custom.plural)

    await eventually("the custom resource is in the document", told)


@case(
    "[sig-api-machinery] AggregatedDiscovery should support raw aggregated discovery request for "
    "CRDs [Conformance]"
)
async def aggregated_raw_custom(stage: Stage) -> None:
    """The document tells of a new custom resource."""
    await _check_custom(stage, AGGREGATED_DISCOVERY)


@case(
    "[sig-api-machinery] AggregatedDiscovery should support aggregated discovery interface for "
    "CRDs [Conformance]"
)
async def aggregated_client_custom(stage: Stage) -> None:
    """So does the form that clients get."""
    await _check_custom(stage, _CLIENT_ACCEPT)
