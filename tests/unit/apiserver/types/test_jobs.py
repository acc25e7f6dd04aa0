"""Jobs and CronJobs: generated selectors, what may change, schedules, status transitions."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from pod_fixtures import make_template

from apiserver.types.workloads import HOOKS
from apiserver.types.workloads.indexes import IndexesError, count_indexes, first_overlap
from kube.cron import schedule_fault, zone_fault
from kube.json_types import JsonObject

JOBS = HOOKS["batch/jobs"]
CRON_JOBS = HOOKS["batch/cronjobs"]
UID = "1234"
START, END = "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"


def make_job(**spec: Any) -> JsonObject:
    template = make_template(restartPolicy="Never")
    meta = {"name": "task", "namespace": "d", "uid": UID}
    return {"metadata": meta, "spec": {"template": template, **copy.deepcopy(spec)}}


def created(**spec: Any) -> JsonObject:
    job = make_job(**spec)
    JOBS.default(job)
    JOBS.prepare_create(job)
    return job


def faults(**spec: Any) -> list[str]:
    return [str(error) for error in JOBS.validate_create(created(**spec))]


def updated(change: Callable[[JsonObject], None], **spec: Any) -> list[str]:
    old = created(**spec)
    new = copy.deepcopy(old)
    change(new)
    return [str(error) for error in JOBS.validate_update(new, old)]


def _set(name: str, value: Any) -> Callable[[JsonObject], None]:
    def change(obj: JsonObject) -> None:
        obj["spec"][name] = value

    return change


def test_job_defaults() -> None:
    job = make_job()
    JOBS.default(job)
    spec = dict(job["spec"])
    del spec["template"]
    assert spec == {
        "completions": 1,
        "parallelism": 1,
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
        "suspend": False,
        "podReplacementPolicy": "TerminatingOrFailed",
        "manualSelector": False,
    }
    assert job["metadata"]["labels"] == {"app": "web"}


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ({"parallelism": 3}, "completions", None),
        ({"completions": 3}, "parallelism", 1),
        ({"backoffLimitPerIndex": 1}, "backoffLimit", 2147483647),
        ({"podFailurePolicy": {"rules": []}}, "podReplacementPolicy", "Failed"),
    ],
)
def test_job_defaults_depend_on_each_other(given: dict[str, Any], name: str, value: Any) -> None:
    job = make_job(**given)
    JOBS.default(job)
    assert job["spec"].get(name) == value


def test_a_job_gets_a_selector_of_its_own() -> None:
    job = created()
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": UID}}
    assert job["spec"]["template"]["metadata"]["labels"] == {
        "app": "web",
        "job-name": "task",
        "batch.kubernetes.io/job-name": "task",
        "controller-uid": UID,
        "batch.kubernetes.io/controller-uid": UID,
    }
    assert JOBS.validate_create(job) == []


def test_a_manual_selector_is_left_alone() -> None:
    job = created(manualSelector=True, selector={"matchLabels": {"app": "web"}})
    assert job["spec"]["template"]["metadata"]["labels"] == {"app": "web"}
    assert JOBS.validate_create(job) == []


def test_a_selector_of_ones_own_needs_to_be_declared() -> None:
    template = make_template({"controller-uid": "other"}, restartPolicy="Never")
    assert (
        'spec.template.metadata.labels[controller-uid]: Invalid value: {"controller-uid":"other",'
    ) in faults(template=template)[0]
    job_selector = {"matchLabels": {"app": "web"}}
    assert [fault.split(": ")[-1] for fault in faults(selector=job_selector)] == [
        "`selector` not auto-generated"
    ]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"template": make_template()},
            [
                "spec.template.spec.restartPolicy: Required value: "
                'valid values: "OnFailure", "Never"'
            ],
        ),
        (
            {"completionMode": "Indexed", "parallelism": 1},
            ["spec.completions: Required value: when completion mode is Indexed"],
        ),
        (
            {"backoffLimitPerIndex": 1},
            ["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
        ),
        (
            {"parallelism": -1},
            ["spec.parallelism: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            {"managedBy": "me"},
            [
                'spec.managedBy: Invalid value: "me": '
                'must be a domain-prefixed path (such as "acme.io/foo")'
            ],
        ),
        (
            {"podFailurePolicy": {"rules": [{"action": "Ignore"}]}},
            [
                "spec.podFailurePolicy.rules[0]: Invalid value: "
                "specifying one of OnExitCodes and OnPodConditions is required"
            ],
        ),
        (
            {
                "podFailurePolicy": {
                    "rules": [
                        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2, 0]}}
                    ]
                }
            },
            [
                "spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: "
                "must not be 0 for the In operator",
                "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [2,0]: "
                "must be ordered",
            ],
        ),
        (
            {
                "completionMode": "Indexed",
                "completions": 3,
                "successPolicy": {"rules": [{"succeededIndexes": "0-3"}]},
            },
            [
                'spec.successPolicy.rules[0].succeededIndexes: Invalid value: "0-3": '
                'error parsing succeededIndexes: too large index: "3"'
            ],
        ),
        (
            {"podReplacementPolicy": "Never"},
            [
                'spec.podReplacementPolicy: Unsupported value: "Never": supported values: '
                '"Failed", "TerminatingOrFailed"'
            ],
        ),
    ],
)
def test_job_specs(spec: dict[str, Any], expected: list[str]) -> None:
    assert faults(**spec) == expected


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("completions", 1, 2),
        ("backoffLimitPerIndex", None, 1),
        ("completionMode", "NonIndexed", "Indexed"),
        ("managedBy", None, "a.io/b"),
    ],
)
def test_job_fields_are_immutable(name: str, before: Any, after: Any) -> None:
    given = {} if before is None else {name: before}
    expected = "field is immutable"
    assert any(
        fault.startswith(f"spec.{name}:") and fault.endswith(expected)
        for fault in updated(_set(name, after), **given)
    )


def test_indexed_jobs_are_elastic() -> None:
    spec = {"completionMode": "Indexed", "completions": 2, "parallelism": 2}

    def grow(job: JsonObject) -> None:
        job["spec"] |= {"completions": 4, "parallelism": 4}

    assert updated(grow, **spec) == []
    assert updated(_set("completions", 4), **spec) == [
        "spec.completions: Invalid value: 4: can only be modified in tandem with spec.parallelism"
    ]


def _select_node(job: JsonObject) -> None:
    job["spec"]["template"]["spec"]["nodeSelector"] = {"a": "b"}


def test_the_template_is_immutable_once_the_job_runs() -> None:
    (fault,) = updated(_select_node)
    assert fault.startswith("spec.template: Invalid value:")
    assert fault.endswith("field is immutable")


def test_a_suspended_job_may_be_scheduled_elsewhere() -> None:
    assert updated(_select_node, suspend=True) == []


def _status_faults(new: JsonObject, old: JsonObject, **spec: Any) -> list[str]:
    job = created(**spec)
    errors = JOBS.validate_status({**job, "status": new}, {**job, "status": old})
    return [str(error) for error in errors]


def _true(*kinds: str) -> list[JsonObject]:
    return [{"type": kind, "status": "True"} for kind in kinds]


def test_a_job_completes() -> None:
    old = {"startTime": START, "active": 1}
    new = {
        "startTime": START,
        "completionTime": END,
        "succeeded": 1,
        "conditions": _true("SuccessCriteriaMet", "Complete"),
    }
    assert _status_faults(new, old) == []


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        (
            {"startTime": START, "conditions": _true("SuccessCriteriaMet", "Complete")},
            {"startTime": START},
            ["status.completionTime: Required value: completionTime is required for Complete jobs"],
        ),
        (
            {"startTime": START, "conditions": _true("Failed")},
            {"startTime": START},
            [
                "status.conditions: Invalid value: "
                "cannot set Failed=True condition without the FailureTarget=true condition"
            ],
        ),
        (
            {"startTime": START, "active": 1, "conditions": _true("FailureTarget", "Failed")},
            {"startTime": START, "active": 1},
            ["status.active: Invalid value: 1: active>0 is invalid for finished job"],
        ),
        (
            {"startTime": START},
            {"startTime": START, "conditions": _true("FailureTarget")},
            [
                "status.conditions: Invalid value: "
                "cannot disable the terminal FailureTarget=True condition"
            ],
        ),
        (
            {"failed": 1},
            {"failed": 2},
            ["status.failed: Invalid value: 1: cannot decrease the failed counter"],
        ),
        (
            {"ready": 2, "active": 1},
            {},
            ["status.ready: Invalid value: 2: cannot set more ready pods than active"],
        ),
        (
            {"completedIndexes": "0"},
            {},
            [
                'status.completedIndexes: Invalid value: "0": '
                "cannot set non-empty completedIndexes when non-indexed completion mode"
            ],
        ),
        (
            {"uncountedTerminatedPods": {"succeeded": ["a"], "failed": ["a"]}},
            {},
            ['status.uncountedTerminatedPods.failed[0]: Duplicate value: "a"'],
        ),
    ],
)
def test_job_statuses(new: JsonObject, old: JsonObject, expected: list[str]) -> None:
    assert _status_faults(new, old) == expected


@pytest.mark.parametrize(("text", "count"), [("", 0), ("0", 1), ("0-2,4", 4)])
def test_indexes_are_counted(text: str, count: int) -> None:
    assert count_indexes(text, 10) == count


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1,1", "non-increasing order, previous: 1, current: 1"),
        ("2-1", "non-increasing order, previous: 2, current: 1"),
        ("x", 'cannot convert string to integer for index: "x"'),
        ("10", 'too large index: "10"'),
        ("1-2-3", "at most two parts"),
    ],
)
def test_malformed_indexes_are_refused(text: str, why: str) -> None:
    with pytest.raises(IndexesError, match=why):
        count_indexes(text, 10)


@pytest.mark.parametrize(
    ("left", "right", "index"), [("0-2", "2", 2), ("0,5", "1-4", None), ("", "1", None)]
)
def test_overlaps_are_found(left: str, right: str, index: int | None) -> None:
    assert first_overlap(left, right, 10) == index


def make_cron_job(**spec: Any) -> JsonObject:
    template = {"spec": {"template": make_template(restartPolicy="Never")}}
    body = {"schedule": "*/5 * * * *", "jobTemplate": template, **copy.deepcopy(spec)}
    return {"metadata": {"name": "nightly", "namespace": "d"}, "spec": body}


def cron_faults(**spec: Any) -> list[str]:
    obj = make_cron_job(**spec)
    CRON_JOBS.default(obj)
    CRON_JOBS.prepare_create(obj)
    return [str(error) for error in CRON_JOBS.validate_create(obj)]


def test_cron_job_defaults() -> None:
    obj = make_cron_job()
    CRON_JOBS.default(obj)
    spec = obj["spec"]
    assert spec["concurrencyPolicy"] == "Allow"
    assert spec["suspend"] is False
    assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (3, 1)
    assert "backoffLimit" not in spec["jobTemplate"]["spec"]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        ({"schedule": ""}, ["spec.schedule: Required value"]),
        (
            {"schedule": "* * *"},
            ['spec.schedule: Invalid value: "* * *": expected exactly 5 fields, found 3: [* * *]'],
        ),
        (
            {"schedule": "TZ=UTC * * * * *"},
            [
                'spec.schedule: Invalid value: "TZ=UTC * * * * *": '
                "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            ],
        ),
        (
            {"timeZone": ""},
            ['spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string'],
        ),
        (
            {"timeZone": "Mars/Base"},
            ['spec.timeZone: Invalid value: "Mars/Base": unknown time zone Mars/Base'],
        ),
        (
            {"concurrencyPolicy": "Queue"},
            [
                'spec.concurrencyPolicy: Unsupported value: "Queue": supported values: '
                '"Allow", "Forbid", "Replace"'
            ],
        ),
        (
            {
                "jobTemplate": {
                    "spec": {
                        "manualSelector": True,
                        "template": make_template(restartPolicy="Never"),
                    }
                }
            },
            [
                "spec.jobTemplate.spec.manualSelector: Unsupported value: true: "
                'supported values: "nil", "false"'
            ],
        ),
    ],
)
def test_cron_jobs(spec: dict[str, Any], expected: list[str]) -> None:
    assert cron_faults(**spec) == expected


def test_cron_job_names_leave_room_for_a_suffix() -> None:
    obj = make_cron_job()
    CRON_JOBS.default(obj)
    obj["metadata"]["name"] = "n" * 53
    (error,) = CRON_JOBS.validate_create(obj)
    assert error.detail == "must be no more than 52 characters"
    assert CRON_JOBS.validate_update(obj, obj) == []


@pytest.mark.parametrize(
    "schedule",
    [
        "* * * * *",
        "0 0 1 1 0",
        "*/15 1-5 1,15 JAN-MAR mon-fri",
        "5/10 * ? * *",
        "@hourly",
        "@every 1h30m",
        "CRON_TZ=UTC 0 0 * * *",
    ],
)
def test_schedules_that_parse(schedule: str) -> None:
    assert schedule_fault(schedule) == ""


@pytest.mark.parametrize(
    ("schedule", "fault"),
    [
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("*/1/2 * * * *", "too many slashes: */1/2"),
        (
            "x * * * *",
            'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax',
        ),
        ("@nightly", "unrecognized descriptor: @nightly"),
        (
            "@every soon",
            'failed to parse duration @every soon: time: invalid duration "soon"',
        ),
        (
            "TZ=Mars/Base * * * * *",
            "provided bad location Mars/Base: unknown time zone Mars/Base",
        ),
    ],
)
def test_schedules_that_do_not_parse(schedule: str, fault: str) -> None:
    assert schedule_fault(schedule) == fault


@pytest.mark.parametrize("zone", ["UTC", "Etc/UTC", "Europe/Berlin"])
def test_time_zones_are_known(zone: str) -> None:
    assert zone_fault(zone) == ""
