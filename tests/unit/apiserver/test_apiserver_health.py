"""Health when something is wrong, which no test of a whole cluster can arrange."""

from __future__ import annotations

import pytest
from starlette.datastructures import QueryParams

from apiserver.app import Health


@pytest.fixture
def health() -> Health:
    """Health with one check that fails, for readiness alone."""
    return Health(
        {"ping": lambda: ""},
        {"quota": lambda: ""},
        {"journal": lambda: "it is away"},
        lambda: ["warn: alarm memory-quota: read-only"],
    )


def test_a_failed_check_is_named_and_its_reason_withheld(health: Health) -> None:
    answer = health.answer("readyz", "", QueryParams())
    assert answer.status_code == 500
    assert answer.body == (
        b"[+]ping ok\n[+]quota ok\n[-]journal failed: reason withheld\n"
        b"warn: alarm memory-quota: read-only\nreadyz check failed\n"
    )


def test_a_check_by_itself_says_why_it_failed(health: Health) -> None:
    answer = health.answer("readyz", "journal", QueryParams())
    assert (answer.status_code, answer.body) == (500, b"internal server error: it is away\n")


def test_a_failing_check_that_is_left_out_does_not_count(health: Health) -> None:
    assert health.answer("readyz", "", QueryParams("exclude=journal")).body == b"ok"


def test_life_does_not_depend_on_readiness(health: Health) -> None:
    assert health.answer("livez", "", QueryParams()).body == b"ok"
    assert health.answer("livez", "journal", QueryParams()).status_code == 404


def test_an_alarm_is_a_line_and_no_reason_to_send_requests_elsewhere(health: Health) -> None:
    told = health.answer("readyz", "", QueryParams("verbose&exclude=journal"))
    assert told.status_code == 200
    assert b"\nwarn: alarm memory-quota: read-only\n" in told.body


def test_what_is_of_readiness_alone_does_not_fail_health(health: Health) -> None:
    assert health.answer("healthz", "", QueryParams()).body == b"ok"
