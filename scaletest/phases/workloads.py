"""The published workloads: pre-training on all nodes, fine-tunings side by side, mixed mode.

Each has a namespace of its own. How far one is is read off the status of its objects; pods are
never listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kube.json_types import JsonObject
from scaletest import manifests
from scaletest.plan import GROUP_PODS
from scaletest.samples import PhaseRecord
from scaletest.stage import PhaseFailed, Stage

PRE_TRAINING: Final = "scaletest-pretraining"
FINE_TUNING: Final = "scaletest-finetuning"
MIXED: Final = "scaletest-mixed"
_SETS: Final = "leaderworkersets"


async def pre_train(stage: Stage, phase: PhaseRecord) -> None:
    """One Job with a pod on each node: all run at once, then it is deleted."""
    await stage.namespace(PRE_TRAINING)
    await _start(stage, PRE_TRAINING, (stage.plan.nodes,))
    await _until_run(stage, phase, PRE_TRAINING, 1)
    await stage.client.clock.sleep(stage.plan.hold_s)
    began_s = stage.now_s()
    await remove(stage, phase, PRE_TRAINING)
    phase.figures["removed_s"] = stage.now_s() - began_s


async def fine_tune(stage: Stage, phase: PhaseRecord) -> None:
    """Ten Jobs side by side, whose pods end by themselves: all are counted as succeeded."""
    sizes = stage.plan.tunings
    await stage.namespace(FINE_TUNING)
    began_s = stage.now_s()
    await _start(stage, FINE_TUNING, sizes, run_s=stage.plan.tuning_s)

    async def succeeded() -> int:
        return await _jobs(stage, FINE_TUNING, len(sizes), "succeeded")

    await stage.until(phase, sum(sizes), succeeded)
    phase.figures["completed_s"] = stage.now_s() - began_s
    await remove(stage, phase, FINE_TUNING)


async def mix(stage: Stage, phase: PhaseRecord) -> None:
    """Fine-tuning on seven tenths of the nodes, inference on the others; both go on running."""
    sizes, inference = stage.plan.mixed_tunings, stage.plan.groups * GROUP_PODS
    await stage.namespace(MIXED)
    began_s = stage.now_s()
    await _start(stage, MIXED, sizes)
    path = await _serve(stage, phase)

    async def running() -> int:
        tuning = await _jobs(stage, MIXED, len(sizes), "ready")
        return tuning + await _serving(stage, path)

    await stage.until(phase, sum(sizes) + inference, running)
    _note_rate(phase, sum(sizes) + inference, stage.now_s() - began_s)
    await stage.client.clock.sleep(stage.plan.hold_s)


async def remove(stage: Stage, phase: PhaseRecord, space: str) -> None:
    """Delete all workloads of a namespace and wait until their pods are gone."""
    for group, plural in (
        ("/apis/batch/v1", "jobs"),
        (manifests.LWS_PATH, _SETS),
        ("/apis/apps/v1", "statefulsets"),
    ):
        path = f"{group}/namespaces/{space}/{plural}"
        found = await stage.get(path) or {}
        for obj in found.get("items") or ():
            await stage.delete(f"{path}/{obj['metadata']['name']}")
    await stage.until_empty(phase, space)


async def _start(
    stage: Stage, space: str, sizes: Sequence[int], run_s: float | None = None
) -> None:
    for number, pods in enumerate(sizes):
        if pods:
            job = manifests.job(_job_name(number), space, pods, run_s)
            await stage.create(f"/apis/batch/v1/namespaces/{space}/jobs", job)


def _job_name(number: int) -> str:
    return f"training-{number}"


async def _until_run(stage: Stage, phase: PhaseRecord, space: str, jobs: int) -> None:
    count = stage.plan.nodes

    async def ready() -> int:
        return await _jobs(stage, space, jobs, "ready")

    _note_rate(phase, count, await stage.until(phase, count, ready))


def _note_rate(phase: PhaseRecord, pods: int, took_s: float) -> None:
    phase.figures |= {"pods": pods, "running_s": took_s, "pods_per_s": pods / max(took_s, 1e-9)}


async def _jobs(stage: Stage, space: str, jobs: int, figure: str) -> int:
    """Return the sum of a figure over the statuses of the Jobs of a namespace.

    Raises:
        PhaseFailed: one of them has failed.
    """
    total = 0
    for number in range(jobs):
        path = f"/apis/batch/v1/namespaces/{space}/jobs/{_job_name(number)}"
        status: JsonObject = (await stage.get(path) or {}).get("status") or {}
        if status.get("failed"):
            raise PhaseFailed(f"{status['failed']} pods of {_job_name(number)} have failed")
        total += status.get(figure) or 0
    return total


async def _serve(stage: Stage, phase: PhaseRecord) -> str:
    """Start inference; return the path of what stands for it.

    Where LeaderWorkerSets are not served, one StatefulSet of as many pods stands in for them, and
    the report says so.
    """
    lws = await stage.get(manifests.LWS_PATH)
    served = [one["name"] for one in (lws or {}).get("resources", ())]
    phase.figures["is_leader_worker_set"] = float(_SETS in served)
    if _SETS in served:
        path = f"{manifests.LWS_PATH}/namespaces/{MIXED}/{_SETS}"
        await stage.create(path, manifests.leader_worker_set("inference", MIXED, stage.plan))
    else:
        path = f"/apis/apps/v1/namespaces/{MIXED}/statefulsets"
        await stage.create(path, manifests.stateful_set("inference", MIXED, stage.plan))
    return f"{path}/inference"


async def _serving(stage: Stage, path: str) -> int:
    """Return how many pods of inference run."""
    status: JsonObject = (await stage.get(path) or {}).get("status") or {}
    ready: int = status.get("readyReplicas") or 0
    # A replica of a LeaderWorkerSet is a group, ready when all of its pods are.
    return ready * GROUP_PODS if _SETS in path else ready
