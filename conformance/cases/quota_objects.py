"""ResourceQuotas as objects: updates, status, collections, and scopes."""

from __future__ import annotations

from typing import Any, Final

from conformance.checks import eventually, has, same
from conformance.quotas import measured_pod, quota, quotas, used
from conformance.registry import case
from conformance.samples import pod
from conformance.stage import Stage
from kube.json_types import JsonObject

_CONFIG_MAPS: Final = {"cpu": "1", "memory": "500Mi"}


@case(
    "[sig-api-machinery] ResourceQuota should be able to update and delete ResourceQuota. "
    "[Conformance]"
)
async def update_and_delete(stage: Stage) -> None:
    """A quota's limits are what was written last."""
    resource = quotas(stage)
    created = await resource.create(quota("test-quota", _CONFIG_MAPS))
    same(created["spec"]["hard"], _CONFIG_MAPS, "limits of the new quota")
    gotten = await resource.get("test-quota")
    same(gotten["spec"]["hard"], _CONFIG_MAPS, "limits of the quota gotten")

    def change(obj: JsonObject) -> None:
        obj["spec"]["hard"] = {"cpu": "2", "memory": "1Gi"}

    updated = await resource.update("test-quota", change)
    same(updated["spec"]["hard"], {"cpu": "2", "memory": "1Gi"}, "limits after the update")
    gotten = await resource.get("test-quota")
    same(gotten["spec"]["hard"], {"cpu": "2", "memory": "1Gi"}, "limits of the quota gotten")
    await resource.delete("test-quota")
    await resource.absent("test-quota")


@case(
    "[sig-api-machinery] ResourceQuota should manage the lifecycle of a ResourceQuota [Conformance]"
)
async def lifecycle(stage: Stage) -> None:
    """Create, list in all namespaces, patch, delete by label."""
    resource = quotas(stage)
    name = f"e2e-quota-{stage.unique}"
    wanted = quota(name, _CONFIG_MAPS)
    wanted["metadata"]["labels"] = {name: "present"}
    await resource.create(wanted)
    await resource.get(name)
    same(await resource.anywhere().names(labelSelector=name), [name], "quotas in all namespaces")
    patch = {"metadata": {"labels": {name: "patched"}}, "spec": {"hard": {"memory": "750Mi"}}}
    patched = await resource.patch(name, patch)
    same(patched["metadata"]["labels"][name], "patched", "the label")
    same(patched["spec"]["hard"]["memory"], "750Mi", "the limit")
    await resource.delete_all(f"{name}=patched")
    await eventually("the quota is gone", lambda: resource.gone(name))


@case(
    "[sig-api-machinery] ResourceQuota should apply changes to a resourcequota status [Conformance]"
)
async def status(stage: Stage) -> None:
    """The status is written by /status alone, and the counting sets it right again."""
    resource = quotas(stage)
    name = f"e2e-rq-status-{stage.unique}"
    await resource.create(quota(name, {"cpu": "500m", "memory": "500Mi"}))

    async def counted(hard: dict[str, str]) -> None:
        async def look() -> bool:
            found = (await resource.get(name)).get("status") or {}
            same(found.get("hard"), hard, "limits that the status tells of")
            return True

        await eventually("the status follows the spec", look)

    await counted({"cpu": "500m", "memory": "500Mi"})

    def change(obj: JsonObject) -> None:
        obj["spec"]["hard"] = {"cpu": "1", "memory": "1Gi"}
        obj["status"]["hard"] = {"cpu": "1", "memory": "1Gi"}

    updated = await resource.update(name, change, "status")
    same(updated["status"]["hard"], {"cpu": "1", "memory": "1Gi"}, "the status as updated")
    same(updated["spec"]["hard"], {"cpu": "500m", "memory": "500Mi"}, "the spec, left alone")
    await counted({"cpu": "500m", "memory": "500Mi"})
    patch: Any = {"spec": {"hard": {"cpu": "2", "memory": "2Gi"}}}
    await resource.patch(name, patch)
    await counted({"cpu": "2", "memory": "2Gi"})
    patched = await resource.patch(name, {"status": {"hard": {"memory": "3Gi"}}}, part="status")
    has(patched["status"]["hard"], {"memory": "3Gi"}, "the status as patched")
    same(patched["spec"]["hard"], {"cpu": "2", "memory": "2Gi"}, "the spec, left alone")
    await counted({"cpu": "2", "memory": "2Gi"})
    same((await resource.get(name, "status"))["status"]["hard"]["memory"], "2Gi", "/status")


@case(
    "[sig-api-machinery] ResourceQuota should verify ResourceQuota with best effort scope. "
    "[Conformance]"
)
async def best_effort(stage: Stage) -> None:
    """A Pod without requests is counted by one quota, a Pod with them by the other."""
    resource = quotas(stage)
    both = ("quota-besteffort", "quota-not-besteffort")
    await resource.create(quota(both[0], {"pods": "5"}, scopes=["BestEffort"]))
    await resource.create(quota(both[1], {"pods": "5"}, scopes=["NotBestEffort"]))
    await _counts(stage, both, "0", "0")
    await stage.pods.create(pod("besteffort-pod"))
    await _counts(stage, both, "1", "0")
    await stage.pods.delete("besteffort-pod", gracePeriodSeconds=0)
    await _counts(stage, both, "0", "0")
    amounts = {"cpu": "500m", "memory": "200Mi"}
    burst = {"cpu": "1", "memory": "400Mi"}
    await stage.pods.create(measured_pod("burstable-pod", amounts, burst))
    await _counts(stage, both, "0", "1")
    await stage.pods.delete("burstable-pod", gracePeriodSeconds=0)
    await _counts(stage, both, "0", "0")


@case(
    "[sig-api-machinery] ResourceQuota should verify ResourceQuota with terminating scopes. "
    "[Conformance]"
)
async def terminating(stage: Stage) -> None:
    """A Pod with a deadline is counted by one quota, a Pod without by the other."""
    resource = quotas(stage)
    both = ("quota-terminating", "quota-not-terminating")
    hard = {
        "pods": "5",
        "requests.cpu": "1",
        "requests.memory": "500Mi",
        "limits.cpu": "2",
        "limits.memory": "1Gi",
    }
    await resource.create(quota(both[0], hard, scopes=["Terminating"]))
    await resource.create(quota(both[1], hard, scopes=["NotTerminating"]))
    await _counts(stage, both, "0", "0")
    amounts, limits = {"cpu": "500m", "memory": "200Mi"}, {"cpu": "1", "memory": "400Mi"}
    usage = {
        "pods": "1",
        "requests.cpu": "500m",
        "requests.memory": "200Mi",
        "limits.cpu": "1",
        "limits.memory": "400Mi",
    }
    await stage.pods.create(measured_pod("test-pod", amounts, limits))
    await used(stage, both[1], usage)
    await used(stage, both[0], dict.fromkeys(usage, "0"))
    await stage.pods.delete("test-pod", gracePeriodSeconds=0)
    await used(stage, both[1], dict.fromkeys(usage, "0"))
    ending = measured_pod("terminating-pod", amounts, limits)
    ending["spec"]["activeDeadlineSeconds"] = 3600
    await stage.pods.create(ending)
    await used(stage, both[0], usage)
    await used(stage, both[1], dict.fromkeys(usage, "0"))
    await stage.pods.delete("terminating-pod", gracePeriodSeconds=0)
    await used(stage, both[0], dict.fromkeys(usage, "0"))


async def _counts(stage: Stage, names: tuple[str, str], first: str, second: str) -> None:
    await used(stage, names[0], {"pods": first})
    await used(stage, names[1], {"pods": second})
