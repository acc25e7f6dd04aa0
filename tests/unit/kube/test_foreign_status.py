"""What is told of foreign answers, as upstream's NewGenericServerResponse words it."""

from __future__ import annotations

import pytest

from kube.foreign_status import foreign_answer, unexpected_answer


@pytest.mark.parametrize(
    ("code", "reason", "message"),
    [
        (403, "Forbidden", "no"),
        (404, "NotFound", "the server could not find the requested resource"),
        (406, "NotAcceptable", "no"),
        (409, "AlreadyExists", "the server reported a conflict"),
        (415, "UnsupportedMediaType", "no"),
        (
            418,
            "",
            "the server responded with the status code 418 but did not return more information",
        ),
        (
            500,
            "InternalError",
            'an error on the server ("no") has prevented the request from succeeding',
        ),
        (503, "ServiceUnavailable", "the server is currently unable to handle the request"),
    ],
)
def test_a_post_that_ends_in_no_status_is_told_by_its_code(
    code: int, reason: str, message: str
) -> None:
    status = unexpected_answer(code, "no").status
    assert (status.get("reason", ""), status["message"]) == (reason, message)
    assert status["details"]["causes"] == [{"reason": "UnexpectedServerResponse", "message": "no"}]


def test_not_acceptable_without_a_word_is_told_for_the_server() -> None:
    said = "the server was unable to respond with a content type that the client supports"
    assert unexpected_answer(406, "unknown").status["message"] == said


def test_a_get_that_meets_a_conflict_is_no_already_exists() -> None:
    status = foreign_answer(409, "", "pods/log", "web", "busy").status
    assert status["reason"] == "Conflict"
    assert status["message"] == "the server reported a conflict ( pods/log web)"
