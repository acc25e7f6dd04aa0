"""Which controllers there are of work that ends, and as whom they write."""

from __future__ import annotations

from typing import Final

from controllers.jobs.cron_jobs import CronJobController
from controllers.jobs.cron_sync import CRON_JOB
from controllers.jobs.ended_jobs import EndedJobsController
from controllers.jobs.job_controller import INDEXERS, JobController
from controllers.jobs.pod_garbage import PodCollector
from controllers.jobs.templates import JOB
from controllers.parts import PODS, Context, Controller, Part
from controllers.workloads.replica_sets import INDEXERS as OWNER_INDEXERS
from controllers.workloads.replica_sets import OWNER_INDEX

_JOBS: Final = "job-controller"
_CRON_JOBS: Final = "cronjob-controller"
_ENDED_JOBS: Final = "ttl-after-finished-controller"
_POD_GARBAGE: Final = "pod-garbage-collector"
_NODES: Final = "/api/v1/nodes"


def _jobs(context: Context) -> Controller:
    informers = context.informers
    # The book of all pods is fed before that of Jobs' pods.
    briefs = context.pods()
    return JobController(
        context.writer(_JOBS),
        context.recorder(_JOBS),
        informers.of(JOB.collection, indexers=INDEXERS),
        informers.of(PODS),
        briefs,
    )


def _cron_jobs(context: Context) -> Controller:
    informers = context.informers
    owner = {OWNER_INDEX: OWNER_INDEXERS[OWNER_INDEX]}
    return CronJobController(
        context.writer(_CRON_JOBS),
        context.recorder(_CRON_JOBS),
        informers.of(CRON_JOB.collection),
        informers.of(JOB.collection, indexers=owner),
    )


def _ended_jobs(context: Context) -> Controller:
    return EndedJobsController(context.writer(_ENDED_JOBS), context.informers.of(JOB.collection))


def _pod_garbage(context: Context) -> Controller:
    informers = context.informers
    briefs = context.pods()
    return PodCollector(
        context.writer(_POD_GARBAGE), briefs, informers.of(PODS), informers.of(_NODES)
    )


PARTS: Final = (
    Part(_JOBS, (_JOBS,), _jobs),
    Part(_CRON_JOBS, (_CRON_JOBS,), _cron_jobs),
    Part(_ENDED_JOBS, (_ENDED_JOBS,), _ended_jobs),
    Part("pod-garbage-collector-controller", (_POD_GARBAGE,), _pod_garbage),
)
