"""`?timeout=`: client-go sends its time limit with every request, printed as Go prints it."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.integration.cluster import Cluster


@pytest.mark.parametrize("text", ["1m0s", "1m30s", "90s", "0", "0s", "-1s", "876000h0m0s", ""])
def test_every_limit_that_go_can_print_is_taken(cluster: Cluster, text: str) -> None:
    assert cluster.call("GET", f"/api/v1/namespaces?timeout={quote(text)}").code == 200
    assert cluster.call("GET", f"/api/v1/namespaces/default?timeout={quote(text)}").code == 200


@pytest.mark.parametrize("text", ["invalid", "10", "1d", "nan"])
def test_what_is_no_duration_is_a_bad_request(cluster: Cluster, text: str) -> None:
    answer = cluster.call("GET", f"/api/v1/namespaces?timeout={text}")
    assert (answer.code, answer.json["reason"]) == (400, "BadRequest")
    start = "invalid timeout specified in the request URL - time: "
    assert answer.json["message"].startswith(start)


def test_a_limit_too_short_for_the_request_ends_in_a_timeout_status(cluster: Cluster) -> None:
    answer = cluster.call("GET", "/api/v1/namespaces?timeout=1ns")
    assert (answer.code, answer.json["reason"]) == (504, "Timeout")
