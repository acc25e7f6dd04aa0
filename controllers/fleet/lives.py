"""What happens to a pod, and when: stages, as built in, as API objects, as annotations.

A `Stage` says of one step in the life of the pods that it matches how long it takes, and how it
fails. For each step the matching stage of the highest priority counts, of equal ones the first by
name; what a pod's annotations say counts before all. Nothing here is left to chance: jitter and
shares come from the pod's uid, so that a fleet that was killed goes on with the same plans.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

from controllers.fleet.machines import GROUP
from kube.go_durations import parse_go_duration
from kube.json_types import JsonObject

INVALID_IMAGE: Final = "InvalidImageName"
_DELAY_S_MAX: Final = 10.0 * 365 * 86_400


class Step(Enum):
    """A step in the life of a pod; `FAULT` is what ails a node."""

    PULL = "Pull"
    INIT = "Init"
    START = "Start"
    READY = "Ready"
    RUN = "Run"
    TERMINATE = "Terminate"
    FAULT = "Fault"


@dataclass(frozen=True, slots=True)
class Stage:
    """See the module's head.

    Attributes:
        priority: of those that match, the highest counts.
        namespaces, images, owner_kinds: any of these; empty: all. Images may have wildcards.
        labels, annotations: all of these.
        share: of those that match, so many, from 0 to 1.
        delay_s: how long the step takes; None: as long as it otherwise does.
        jitter_s: at most so much more.
        reason: why it fails; empty: it does not. Of a RUN: the reason of a container that exits.
        message: what is said of that.
        exit_code: of a RUN or INIT.
        faults: of a FAULT: what is wrong with nodes that have these labels.
    """

    name: str
    step: Step
    priority: int = 0
    namespaces: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    owner_kinds: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    share: float = 1.0
    delay_s: float | None = None
    jitter_s: float = 0.0
    reason: str = ""
    message: str = ""
    exit_code: int = 0
    faults: tuple[str, ...] = ()


class Subject(NamedTuple):
    """What stages ask of a pod."""

    uid: str
    namespace: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    owner_kind: str
    images: tuple[str, ...]


class Life(NamedTuple):
    """What will happen to a pod, in seconds.

    Attributes:
        pull_s: until the images are there.
        pull_failure: why they never are; empty: they come.
        init_s: how long each init container runs.
        init_code: how it exits.
        start_s: until containers run.
        start_failure: why they never do.
        ready_s: until they are ready after that; None: as their probes say.
        run_s: how long they run; infinite: until the pod is deleted.
        exit_code, exit_reason: how they exit.
        terminate_s: how long they take to end when they are told to.
        says_run, says_init: whether a pod's stages or annotations say how its containers, or its
            init containers, go, so that their commands do not count.
    """

    pull_s: float = 0.0
    pull_failure: str = ""
    init_s: float = 0.0
    init_code: int = 0
    start_s: float = 0.0
    start_failure: str = ""
    ready_s: float | None = None
    run_s: float = math.inf
    exit_code: int = 0
    exit_reason: str = ""
    terminate_s: float = 0.0
    message: str = ""
    says_run: bool = False
    says_init: bool = False


DEFAULTS: Final = (Stage("job-run", Step.RUN, -1000, owner_kinds=("Job",), delay_s=1.0),)
"""Pods of Jobs exit after a second; nothing else takes any time."""
PREFIX: Final = f"{GROUP}/"


def life_of(stages: Sequence[Stage], subject: Subject) -> Life:
    """Return what will happen to a pod.

    Args:
        stages: in the order in which they count; see `in_order`.
        subject: the pod.
    """
    found: dict[Step, Stage] = {}
    for stage in stages:
        if stage.step not in found and _matches(stage, subject):
            found[stage.step] = stage
    life = _from_stages(found, subject.uid) if found else Life()
    own = {key: text for key, text in subject.annotations.items() if key.startswith(PREFIX)}
    return _from_annotations(life, own) if own else life


def unusable(life: Life, image: str) -> Life:
    """Return the life of a pod that has an image whose name is none."""
    why = f'couldn\'t parse image name "{image}": invalid reference format'
    text = f'Failed to apply default image tag "{image}": {why}'
    return life._replace(pull_failure=INVALID_IMAGE, message=text)


def in_order(stages: Iterable[Stage]) -> list[Stage]:
    """Return stages in the order in which they count."""
    return sorted(stages, key=lambda stage: (-stage.priority, stage.name))


def chance(uid: str, salt: str) -> float:
    """Return a number from 0 to 1 that is always the same for an object and a use."""
    return zlib.crc32(f"{salt}/{uid}".encode()) / 0x1_0000_0000


def faults_of(stages: Sequence[Stage], name: str, labels: Mapping[str, str]) -> list[str]:
    """Return what stages say is wrong with a node."""
    return [
        fault
        for stage in stages
        if stage.step is Step.FAULT
        and _has(labels, stage.labels)
        and chance(name, stage.name) < stage.share
        for fault in stage.faults
    ]


def _matches(stage: Stage, subject: Subject) -> bool:
    if stage.namespaces and subject.namespace not in stage.namespaces:
        return False
    if stage.owner_kinds and subject.owner_kind not in stage.owner_kinds:
        return False
    if not _has(subject.labels, stage.labels) or not _has(subject.annotations, stage.annotations):
        return False
    if stage.images and not any(_has_image(stage, image) for image in subject.images):
        return False
    return stage.share >= 1 or chance(subject.uid, stage.name) < stage.share


def _has_image(stage: Stage, image: str) -> bool:
    """Return whether a pattern matches an image's full name, or a name that people write for it."""
    short = image.removeprefix("docker.io/").removeprefix("library/")
    names = {image, short, short.removesuffix(":latest")}
    return any(fnmatchcase(name, pattern) for name in names for pattern in stage.images)


def _has(present: Mapping[str, str], wanted: Iterable[tuple[str, str]]) -> bool:
    return all(present.get(key) == value for key, value in wanted)


def _from_stages(found: Mapping[Step, Stage], uid: str) -> Life:
    changes: dict[str, Any] = {}
    for step, stage in found.items():
        seconds = stage.delay_s
        if stage.jitter_s:
            seconds = (seconds or 0.0) + stage.jitter_s * chance(uid, step.value)
        if seconds is not None and step is not Step.FAULT:
            changes[f"{step.value.lower()}_s"] = seconds
        if step in (Step.PULL, Step.START) and stage.reason:
            changes[f"{step.value.lower()}_failure"] = stage.reason
        elif step is Step.INIT:
            changes |= {"init_code": stage.exit_code, "says_init": True}
        elif step is Step.RUN:
            changes |= {"exit_code": stage.exit_code, "exit_reason": stage.reason}
            changes["says_run"] = stage not in DEFAULTS
        if stage.message:
            changes["message"] = stage.message
    return Life(**changes)


_SECONDS: Final = {
    f"{PREFIX}{name}": f"{name}_s" for name in ("pull", "init", "start", "ready", "run")
} | {f"{PREFIX}terminate": "terminate_s"}
_NUMBERS: Final = {f"{PREFIX}exit-code": "exit_code", f"{PREFIX}init-exit-code": "init_code"}
_RUN_FIELDS: Final = frozenset({"run_s", "exit_code", "exit_reason"})
_INIT_FIELDS: Final = frozenset({"init_s", "init_code"})
_TEXTS: Final = {
    f"{PREFIX}pull-failure": "pull_failure",
    f"{PREFIX}start-failure": "start_failure",
    f"{PREFIX}exit-reason": "exit_reason",
    f"{PREFIX}message": "message",
}


def _from_annotations(life: Life, own: Mapping[str, str]) -> Life:
    changes: dict[str, Any] = {}
    for key, text in own.items():
        if (field := _TEXTS.get(key)) is not None:
            changes[field] = text[:256]
        elif (field := _NUMBERS.get(key)) is not None:
            if text.isascii() and text.isdigit() and int(text[:4]) <= 255:
                changes[field] = int(text[:4])
        elif (field := _SECONDS.get(key)) is not None and (seconds := seconds_of(text)) is not None:
            changes[field] = seconds
    changes["says_run"] = life.says_run or not _RUN_FIELDS.isdisjoint(changes)
    changes["says_init"] = life.says_init or not _INIT_FIELDS.isdisjoint(changes)
    if ("exit_code" in changes or "exit_reason" in changes) and math.isinf(life.run_s):
        changes.setdefault("run_s", 0.0)
    return life._replace(**changes)


def seconds_of(text: str) -> float | None:
    """Return what `1.5s`, `2m` or a bare number of seconds says; None: it says nothing."""
    try:
        seconds = float(text) if text.replace(".", "", 1).isdecimal() else parse_go_duration(text)
    except ValueError:
        return None
    return seconds if 0 <= seconds <= _DELAY_S_MAX else None


def read_stage(obj: JsonObject) -> Stage:
    """Return what a Stage object says.

    Raises:
        ValueError: it says nothing that can be used, and what is wrong.
    """
    try:
        spec, name = obj["spec"], obj["metadata"]["name"]
        match = spec.get("match") or {}
        failure = spec.get("failure") or {}
        return Stage(
            name,
            Step(spec["step"]),
            int(spec.get("priority") or 0),
            namespaces=_texts(match.get("namespaces")),
            images=_texts(match.get("images")),
            owner_kinds=_texts(match.get("ownerKinds")),
            labels=tuple((str(k), str(v)) for k, v in (match.get("labels") or {}).items()),
            annotations=tuple(
                (str(k), str(v)) for k, v in (match.get("annotations") or {}).items()
            ),
            share=float(match.get("share", 1.0)),
            delay_s=_seconds(spec.get("delay")),
            jitter_s=_seconds(spec.get("jitter")) or 0.0,
            reason=str(failure.get("reason") or "")[:256],
            message=str(failure.get("message") or "")[:1024],
            exit_code=int(failure.get("exitCode") or 0),
            faults=_texts(spec.get("faults")),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a Stage that cannot be read: {error!r}") from error


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(one) for one in value or ())


def _seconds(value: Any) -> float | None:
    if value is None:
        return None
    seconds = seconds_of(str(value))
    if seconds is None:
        raise ValueError(f"{value!r} is no duration")
    return seconds
