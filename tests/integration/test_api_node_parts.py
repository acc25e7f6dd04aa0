"""What only a kubelet, a pod or a service can answer: log, exec, attach, portforward, proxy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.integration.api_calls import Collection, check_status, collection, named, pod
from tests.integration.cluster import Cluster

STREAMS: Final = ("exec", "attach", "portforward")


@pytest.fixture
def pods(cluster: Cluster, namespace: str) -> Collection:
    """Pods of a new namespace."""
    return collection(cluster, namespace, "pods")


@pytest.fixture
def node(cluster: Cluster, namespace: str) -> Iterator[str]:
    """The name of a node of this test's own."""
    nodes = collection(cluster, "", "nodes")
    name = f"node-of-{namespace}"
    nodes.made(named(name))
    yield name
    nodes.delete(name)


def test_the_log_of_a_pod_without_a_node_is_empty(pods: Collection) -> None:
    """204: upstream has no place to read from and answers with no content."""
    pods.made(pod("a"))
    answer = pods.get("a/log")
    assert (answer.code, answer.body) == (204, b"")


@pytest.mark.parametrize("part", STREAMS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_streams_to_a_pod_without_a_node_are_refused(
    pods: Collection, part: str, method: str
) -> None:
    pods.made(pod("a"))
    answer = pods.cluster.call(method, f"{pods.path}/a/{part}?command=ls&stdout=true")
    check_status(answer, 400, "BadRequest", "pod a does not have a host assigned")


@pytest.mark.parametrize("part", ["log", *STREAMS])
def test_a_pod_whose_node_is_not_there_names_the_node(pods: Collection, part: str) -> None:
    pods.made(pod("a", node="absent"))
    check_status(pods.get(f"a/{part}"), 404, "NotFound", 'nodes "absent" not found')


@pytest.mark.parametrize("part", ["log", *STREAMS])
def test_a_node_without_a_kubelet_is_unavailable(pods: Collection, node: str, part: str) -> None:
    pods.made(pod("a", node=node))
    answer = pods.get(f"a/{part}")
    assert (answer.code, answer.json["reason"]) == (503, "ServiceUnavailable")


@pytest.mark.parametrize("part", ["log", *STREAMS, "proxy"])
def test_parts_of_a_pod_that_is_not_there_are_not_found(pods: Collection, part: str) -> None:
    check_status(pods.get(f"a/{part}"), 404, "NotFound", 'pods "a" not found')


@pytest.mark.parametrize("part", ["log", "exec", "attach"])
def test_the_container_must_be_one_of_the_pod(pods: Collection, part: str) -> None:
    body = pod("a")
    body["spec"]["containers"].append({"name": "side", "image": "example.com/side:1"})
    body["spec"]["initContainers"] = [{"name": "first", "image": "example.com/first:1"}]
    pods.made(body)
    choose = "a container name must be specified for pod a, choose one of: [first main side]"
    check_status(pods.get(f"a/{part}"), 400, "BadRequest", choose)
    wrong = pods.get(f"a/{part}?container=other")
    check_status(wrong, 400, "BadRequest", "container other is not valid for pod a")
    assert pods.get(f"a/{part}?container=first").code == (204 if part == "log" else 400)


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("tailLines=-1", "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ("limitBytes=0", "limitBytes: Invalid value: 0: must be greater than 0"),
        ("sinceSeconds=0", "sinceSeconds: Invalid value: 0: must be greater than 0"),
        ("stream=x", 'stream: Unsupported value: "x": supported values: "All", "Stderr", "Stdout"'),
    ],
)
def test_log_options_are_checked(pods: Collection, query: str, fault: str) -> None:
    pods.made(pod("a"))
    message = f'PodLogOptions "a" is invalid: {fault}'
    check_status(pods.get(f"a/log?{query}"), 422, "Invalid", message)


def test_log_options_of_the_wrong_type_are_a_bad_request(pods: Collection) -> None:
    pods.made(pod("a"))
    message = 'strconv.ParseInt: parsing "x": invalid syntax'
    check_status(pods.get("a/log?tailLines=x"), 400, "BadRequest", message)


def test_a_pod_without_an_address_is_not_proxied_to(pods: Collection) -> None:
    pods.made(pod("a"))
    for where in ("a/proxy", "a:80/proxy/x", "https:a:443/proxy/x"):
        check_status(pods.get(where), 400, "BadRequest", "address not allowed")
    for where in ("ftp:a:1/proxy", "a:b:c:d/proxy"):
        message = f'invalid pod request "{where.partition("/")[0]}"'
        check_status(pods.get(where), 400, "BadRequest", message)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_service_without_endpoints_is_not_proxied_to(
    cluster: Cluster, namespace: str, method: str
) -> None:
    services = collection(cluster, namespace, "services")
    services.made(named("a", spec={"ports": [{"port": 80}]}))
    for where in ("a/proxy", "a:80/proxy/some/where"):
        answer = cluster.call(method, f"{services.path}/{where}")
        message = 'no endpoints available for service "a"'
        check_status(answer, 503, "ServiceUnavailable", message)
    absent = cluster.call(method, f"{services.path}/b/proxy/x")
    check_status(absent, 404, "NotFound", 'services "b" not found')


def test_a_node_that_is_not_there_is_not_proxied_to(cluster: Cluster) -> None:
    nodes = collection(cluster, "", "nodes")
    check_status(nodes.get("absent/proxy/x"), 404, "NotFound", 'nodes "absent" not found')
