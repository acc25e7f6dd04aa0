"""Which controllers there are of work that ends, and as whom they write."""

from __future__ import annotations

from typing import Final

from controllers.jobs.job_controller import INDEXERS, JobController
from controllers.jobs.templates import JOB
from controllers.parts import PODS, Context, Controller, Part

_JOBS: Final = "job-controller"


def _jobs(context: Context) -> Controller:
    informers = context.informers
    briefs = context.pods()
    return JobController(
        context.writer(_JOBS),
        context.recorder(_JOBS),
        informers.of(JOB.collection, indexers=INDEXERS),
        informers.of(PODS),
        briefs,
    )


PARTS: Final = (Part(_JOBS, (_JOBS,), _jobs),)
