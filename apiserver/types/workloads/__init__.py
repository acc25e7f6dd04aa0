"""Workloads: the types that make pods from a template, and the template types themselves."""

from __future__ import annotations

from typing import Final

from apiserver.types.hooks import TypeHooks
from apiserver.types.workloads import cronjobs, daemons, jobs, replicated, stateful

HOOKS: Final[dict[str, TypeHooks]] = {
    **replicated.HOOKS,
    **stateful.HOOKS,
    **daemons.HOOKS,
    **jobs.HOOKS,
    **cronjobs.HOOKS,
}
