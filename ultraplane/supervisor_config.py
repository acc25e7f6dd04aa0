"""The settings of `ultraplane up` itself: what it runs, and how it treats that."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ultraplane.sections import Location, Section


class SupervisorSection(Section):
    """How `ultraplane up` treats its processes."""

    controllers: bool | None = Field(
        default=None,
        description="Whether `up` runs the controllers, the scheduler and the fleet; one `up` of a "
        "cluster must, no more may. Unset: unless it joined another.",
    )
    without: tuple[Literal["controllers", "scheduler", "fleet"], ...] = Field(
        default=(), description="What `up` does not run of these; others may."
    )
    scheduler_config: Location | None = Field(
        default=None,
        description="A KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1): profiles, "
        "weights and arguments of plugins.",
    )
    ready_timeout_s: float = Field(
        default=300.0,
        gt=0,
        description="A process not ready by then is restarted. Recovery of a large cluster counts.",
    )
    stop_timeout_s: float = Field(
        default=10.0, gt=0, description="A process still running this long after SIGTERM is killed."
    )
    restart_delay_s_max: float = Field(
        default=10.0,
        ge=0,
        description="A process that died is started again at once, and one that keeps dying after "
        "1, 2, 4, ... seconds, but never more than this.",
    )
    log_bytes_max: int = Field(
        default=64 * 1024 * 1024, ge=1 << 16, description="A log file larger than this starts anew."
    )
