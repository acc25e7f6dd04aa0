"""Priority and fairness on a real server: its objects, and what they make of requests.

Seats are held by requests whose body is still to come, of users who may do next to nothing: what
counts here comes before anybody asks what they may.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.integration.api_calls import Collection, collection
from tests.integration.cluster import HOST, Answer, Cluster, run_cluster

GROUP = "flowcontrol.apiserver.k8s.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
REVIEW = orjson.dumps(
    {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}},
    }
)
SEATS = 12
PATIENCE_S = 10.0


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of twelve seats: each default level has one or a few."""
    server = {
        "max_requests_inflight": SEATS - 2,
        "max_mutating_requests_inflight": 2,
        "request_timeout_s": 8.0,
    }
    with run_cluster(tmp_path_factory.mktemp("small"), {"server": server}) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster without priority and fairness, of one read and one write at a time."""
    server = {
        "priority_and_fairness": False,
        "max_requests_inflight": 1,
        "max_mutating_requests_inflight": 1,
    }
    with run_cluster(tmp_path_factory.mktemp("plain"), {"server": server}) as cluster:
        yield cluster


def _levels(cluster: Cluster) -> Collection:
    return collection(cluster, "", "prioritylevelconfigurations", GROUP)


def _schemas(cluster: Cluster) -> Collection:
    return collection(cluster, "", "flowschemas", GROUP)


def _as(user: str) -> dict[str, str]:
    return {"Impersonate-User": user}


def _review(cluster: Cluster, user: str, **more: Any) -> Answer:
    return cluster.call("POST", REVIEWS, REVIEW, headers=_as(user), **more)


def _uid(answer: Answer, what: str) -> str:
    return answer.headers[f"x-kubernetes-pf-{what}-uid"]


def _until(found: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not found():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


@contextmanager
def held(cluster: Cluster, user: str, count: int) -> Iterator[list[socket.socket]]:
    """Hold requests of a user in the server: all of them but the body's last byte is sent."""
    head = (
        f"POST {REVIEWS} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {cluster.token}\r\n"
        f"Impersonate-User: {user}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(REVIEW)}\r\n\r\n"
    )
    with contextlib.ExitStack() as stack:
        links = []
        for _ in range(count):
            link = stack.enter_context(socket.create_connection((HOST, cluster.plain_port)))
            link.settimeout(PATIENCE_S)
            link.sendall(head.encode() + REVIEW[:-1])
            links.append(link)
        yield links


def _dumped(cluster: Cluster, user: str) -> tuple[int, int]:
    """Return how many requests of a user wait, and run."""
    path = "/debug/api_priority_and_fairness/dump_requests?includeRequestDetails=1"
    rows = cluster.call("GET", path).body.decode().splitlines()
    cells = [[cell.strip() for cell in row.split(",")] for row in rows]
    at = {name: index for index, name in enumerate(cells[0])}
    mine = [row for row in cells[1:] if row[at["UserName"]] == user]
    running = sum(row[at["RequestIndexInQueue"]] == "-1" for row in mine)
    return len(mine) - running, running


def _level(name: str, shares: int, response: dict[str, Any]) -> dict[str, Any]:
    limited = {
        "nominalConcurrencyShares": shares,
        "borrowingLimitPercent": 0,
        "limitResponse": response,
    }
    return {"metadata": {"name": name}, "spec": {"type": "Limited", "limited": limited}}


def _schema(name: str, level: str, users: list[str]) -> dict[str, Any]:
    rule = {
        "verbs": ["*"],
        "apiGroups": ["*"],
        "resources": ["*"],
        "namespaces": ["*"],
        "clusterScope": True,
    }
    subjects = [{"kind": "User", "user": {"name": user}} for user in users]
    spec = {
        "priorityLevelConfiguration": {"name": level},
        "matchingPrecedence": 500,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [{"subjects": subjects, "resourceRules": [rule]}],
    }
    return {"metadata": {"name": name}, "spec": spec}


QUEUES = {"type": "Queue", "queuing": {"queues": 64, "handSize": 1, "queueLengthLimit": 3}}


def _routed(cluster: Cluster, name: str, users: list[str], response: dict[str, Any]) -> str:
    """Make a level of one seat for some users, and return its uid once it is in force."""
    uid: str = _levels(cluster).made(_level(name, 1, response))["metadata"]["uid"]
    _schemas(cluster).made(_schema(name, name, users))
    _until(lambda: _uid(_review(cluster, users[0]), "prioritylevel") == uid)
    return uid


def test_default_objects_are_there_and_in_force(cluster: Cluster) -> None:
    names = {"catch-all", "exempt", "global-default", "leader-election", "node-high", "system"}
    assert names <= set(_levels(cluster).names())
    for name in _schemas(cluster).names():
        _until(lambda name=name: _schemas(cluster).get(name).json["status"] != {})
        schema = _schemas(cluster).get(name).json
        (condition,) = schema["status"]["conditions"]
        level = schema["spec"]["priorityLevelConfiguration"]["name"]
        text = f'references the PriorityLevelConfiguration object named "{level}" and it exists'
        assert (condition["type"], condition["status"]) == ("Dangling", "False")
        assert condition["message"] == f"This FlowSchema {text}"


def test_every_answer_names_schema_and_level(cluster: Cluster) -> None:
    uids = {
        kind: {
            item["metadata"]["name"]: item["metadata"]["uid"] for item in found.list().json["items"]
        }
        for kind, found in (("flowschema", _schemas(cluster)), ("prioritylevel", _levels(cluster)))
    }
    for path, user, schema, level in (
        ("/api/v1/namespaces", "", "exempt", "exempt"),
        ("/api/v1/namespaces/none", "", "exempt", "exempt"),
        ("/api/v1/namespaces", "jo", "global-default", "global-default"),
        ("/version", "jo", "global-default", "global-default"),
        ("/livez", "jo", "probes", "exempt"),
        ("/api/v1/namespaces?watch=1&timeoutSeconds=1", "", "exempt", "exempt"),
    ):
        answer = cluster.call("GET", path, headers=_as(user) if user else {})
        assert _uid(answer, "flowschema") == uids["flowschema"][schema], path
        assert _uid(answer, "prioritylevel") == uids["prioritylevel"][level], path


def test_a_schema_of_a_missing_level_is_told_so(cluster: Cluster) -> None:
    _schemas(cluster).made(_schema("dangling", "nowhere", ["nobody"]))

    def condition() -> tuple[str, str]:
        found = _schemas(cluster).get("dangling").json["status"].get("conditions") or [{}]
        return found[0].get("status", ""), found[0].get("reason", "")

    _until(lambda: condition() == ("True", "NotFound"))
    _levels(cluster).made(_level("nowhere", 1, {"type": "Reject"}))
    _until(lambda: condition() == ("False", "Found"))
    _schemas(cluster).delete("dangling")
    _levels(cluster).delete("nowhere")


def test_a_schema_of_ones_own_routes_and_an_edit_of_its_level_holds_at_once(
    small: Cluster,
) -> None:
    _routed(small, "edited", ["editor"], {"type": "Reject"})
    with held(small, "editor", 1):
        _until(lambda: _dumped(small, "editor") == (0, 1))
        answer = _review(small, "editor")
        assert answer.code == 429
        _levels(small).patch("edited", {"spec": {"limited": {"nominalConcurrencyShares": 400}}})
        _until(lambda: _review(small, "editor").code == 201)
    _schemas(small).delete("edited")
    _levels(small).delete("edited")


def test_who_is_refused_is_told_when_to_come_back(small: Cluster) -> None:
    uid = _routed(small, "refusing", ["refused"], {"type": "Reject"})
    with held(small, "refused", 1):
        _until(lambda: _dumped(small, "refused") == (0, 1))
        answer = _review(small, "refused")
        assert answer.code == 429
        assert answer.body == b"Too many requests, please try again later.\n"
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["retry-after"] == "1"
        assert _uid(answer, "prioritylevel") == uid
    metrics = small.call("GET", "/metrics").body.decode()
    line = 'apiserver_flowcontrol_rejected_requests_total{flow_schema="refusing"'
    assert f'{line},priority_level="refusing",reason="concurrency-limit"}} 1.0' in metrics


def test_who_speaks_cbor_is_refused_in_plain_text_too(small: Cluster) -> None:
    _routed(small, "cbor", ["packed"], {"type": "Reject"})
    with held(small, "packed", 1):
        _until(lambda: _dumped(small, "packed") == (0, 1))
        headers = {**_as("packed"), "Accept": "application/cbor", "Accept-Encoding": "gzip"}
        answer = small.call("POST", REVIEWS, REVIEW, headers=headers)
        assert (answer.code, answer.headers["content-type"]) == (429, "text/plain; charset=utf-8")
        assert answer.body == b"Too many requests, please try again later.\n"


def test_a_wrong_time_limit_leaves_nothing_in_a_queue(small: Cluster) -> None:
    _routed(small, "limited", ["hasty"], QUEUES)
    with held(small, "hasty", 1):
        _until(lambda: _dumped(small, "hasty") == (0, 1))
        for path in (REVIEWS, "/api/v1/pods", "/nothing", "/api/v1/nothings"):
            method = "POST" if path == REVIEWS else "GET"
            body = REVIEW if path == REVIEWS else None
            answer = small.call(method, f"{path}?timeout=never", body, headers=_as("hasty"))
            assert answer.code == 400, path
            assert _dumped(small, "hasty") == (0, 1)
    _until(lambda: _dumped(small, "hasty") == (0, 0))
    assert _review(small, "hasty").code == 201


def test_a_full_queue_of_one_flow_leaves_room_for_another(small: Cluster) -> None:
    _routed(small, "shared", ["greedy", "modest"], QUEUES)
    with held(small, "greedy", 4) as links:
        _until(lambda: _dumped(small, "greedy") == (3, 1))
        assert _review(small, "greedy").code == 429
        with held(small, "modest", 1) as (modest,):
            _until(lambda: _dumped(small, "modest") == (1, 0))
            # One of the greedy ones ends: it is the modest one's turn, not the next greedy one's.
            links[0].sendall(REVIEW[-1:])
            assert links[0].recv(4096).startswith(b"HTTP/1.1 201")
            modest.sendall(REVIEW[-1:])
            assert modest.recv(4096).startswith(b"HTTP/1.1 201")
        _until(lambda: _dumped(small, "greedy") == (2, 1))


def test_who_waits_too_long_is_refused_and_who_goes_is_forgotten(small: Cluster) -> None:
    _routed(small, "slow", ["patient"], QUEUES)
    with held(small, "patient", 1):
        _until(lambda: _dumped(small, "patient") == (0, 1))
        with held(small, "patient", 1):
            _until(lambda: _dumped(small, "patient") == (1, 1))
        _until(lambda: _dumped(small, "patient") == (0, 1))
        start_s = time.monotonic()
        answer = small.call("POST", f"{REVIEWS}?timeout=2s", REVIEW, headers=_as("patient"))
        assert answer.code == 429
        assert 0.4 < time.monotonic() - start_s < 2.0
    _until(lambda: _dumped(small, "patient") == (0, 0))


def test_probes_are_answered_while_all_seats_are_taken(small: Cluster) -> None:
    with held(small, "flood", 60):
        _until(lambda: sum(_dumped(small, "flood")) >= 40)
        for path in ("/livez", "/readyz"):
            assert small.call("GET", path, headers=_as("flood")).code == 200
        assert small.call("GET", "/api/v1/namespaces").code == 200


@pytest.mark.parametrize("name", ["catch-all", "exempt"])
def test_a_deleted_mandatory_object_comes_back(small: Cluster, name: str) -> None:
    for found in (_schemas(small), _levels(small)):
        before = found.get(name).json
        assert found.delete(name).code == 200
        _until(lambda found=found: found.get(name).code == 200)
        after = found.get(name).json
        assert after["metadata"]["uid"] != before["metadata"]["uid"]
        assert after["spec"] == before["spec"]
    assert _review(small, "somebody").code == 201


def test_mandatory_objects_cannot_be_edited(cluster: Cluster) -> None:
    patch = {"spec": {"limited": {"nominalConcurrencyShares": 50}}}
    answer = _levels(cluster).patch("catch-all", patch)
    assert answer.code == 422
    assert "spec of 'catch-all' must equal the fixed value" in answer.json["message"]


def test_debug_tables_have_upstreams_columns(cluster: Cluster) -> None:
    heads = {
        "dump_priority_levels": "PriorityLevelName, ActiveQueues, IsIdle,",
        "dump_queues": "PriorityLevelName, Index, PendingRequests, ExecutingRequests, SeatsInUse,",
        "dump_requests": "PriorityLevelName, FlowSchemaName, QueueIndex, RequestIndexInQueue,",
    }
    for name, head in heads.items():
        answer = cluster.call("GET", f"/debug/api_priority_and_fairness/{name}")
        assert answer.code == 200
        assert " ".join(answer.body.decode().splitlines()[0].split()).startswith(head)
        refused = cluster.call("GET", f"/debug/api_priority_and_fairness/{name}", headers=_as("jo"))
        assert refused.code == 403


def test_without_priority_and_fairness_plain_limits_hold(plain: Cluster) -> None:
    with held(plain, "jo", 1):

        def refused() -> bool:
            return _review(plain, "jo").code == 429

        _until(refused)
        answer = _review(plain, "jo")
        assert answer.headers["retry-after"] == "1"
        assert "x-kubernetes-pf-flowschema-uid" not in answer.headers
        assert plain.call("GET", "/version", headers=_as("jo")).code == 200
        assert plain.call("POST", REVIEWS, REVIEW).code == 201
    assert plain.call("GET", "/debug/api_priority_and_fairness/dump_queues").code == 404


def test_connections_over_the_limit_are_closed_without_an_answer(tmp_path: Path) -> None:
    with (
        run_cluster(tmp_path, {"server": {"connections_max": 16}}) as cluster,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(16):
            stack.enter_context(socket.create_connection((HOST, cluster.plain_port)))

        def is_closed() -> bool:
            link = http.client.HTTPConnection(HOST, cluster.plain_port, timeout=PATIENCE_S)
            try:
                link.request("GET", "/livez")
                link.getresponse().read()
            except (ConnectionResetError, http.client.RemoteDisconnected, BrokenPipeError):
                return True
            finally:
                link.close()
            return False

        _until(is_closed)
        stack.close()
        _until(lambda: not is_closed())
