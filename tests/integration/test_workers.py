"""Several workers on one port: what one acknowledges, all of them show."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any, Final

import orjson
import pytest

from tests.integration.cluster import ROOT, Cluster, run_cluster
from tests.integration.personas import RBAC, grant, persona, rule
from tests.integration.worker_links import WorkerLink, link_all
from ultraplane.run_state import read_state, state_path

pytestmark = pytest.mark.slow

_WORKERS: Final = 3
_MAPS: Final = "/api/v1/namespaces/default/configmaps"
_names = (f"object-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of three workers."""
    directory = tmp_path_factory.mktemp("cluster")
    with run_cluster(directory, {"server": {"workers": _WORKERS}}) as running:
        yield running


@pytest.fixture
def links(cluster: Cluster) -> Iterator[list[WorkerLink]]:
    """A connection to each worker."""
    opened = link_all(cluster, _WORKERS)
    yield opened
    for link in opened:
        link.close()


def _map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


def _create(link: WorkerLink, name: str) -> int:
    code, stored = link.call("POST", _MAPS, _map(name))
    assert code == 201, stored
    return int(stored["metadata"]["resourceVersion"])


def test_what_one_worker_acknowledges_all_others_show_at_once(links: list[WorkerLink]) -> None:
    for number in range(60):
        writer, name = links[number % _WORKERS], next(_names)
        revision = _create(writer, name)
        for reader in links:
            code, found = reader.call("GET", f"{_MAPS}/{name}")
            assert (code, int(found["metadata"]["resourceVersion"])) == (200, revision)
            code, listed = reader.call("GET", f"{_MAPS}?fieldSelector=metadata.name%3D{name}")
            assert [item["metadata"]["name"] for item in listed["items"]] == [name]
            assert int(listed["metadata"]["resourceVersion"]) >= revision
        code, _ = writer.call("DELETE", f"{_MAPS}/{name}")
        assert code == 200
        assert [reader.call("GET", f"{_MAPS}/{name}")[0] for reader in links] == [404] * _WORKERS


def test_increments_of_one_object_through_all_workers_are_all_counted(
    links: list[WorkerLink],
) -> None:
    name = next(_names)
    code, _ = links[0].call("POST", _MAPS, _map(name, count="0"))
    assert code == 201
    done = []

    def count_up(link: WorkerLink) -> None:
        successes = 0
        while successes < 40:
            _, found = link.call("GET", f"{_MAPS}/{name}")
            found["data"]["count"] = str(int(found["data"]["count"]) + 1)
            code, told = link.call("PUT", f"{_MAPS}/{name}", found)
            assert code in (200, 409), told
            successes += code == 200
        done.append(successes)

    threads = [threading.Thread(target=count_up, args=(link,)) for link in links]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == _WORKERS
    assert links[0].call("GET", f"{_MAPS}/{name}")[1]["data"]["count"] == str(sum(done))


def test_services_made_through_all_workers_have_addresses_of_their_own(
    links: list[WorkerLink],
) -> None:
    path = "/api/v1/namespaces/default/services"
    given: list[tuple[str, int]] = []

    def make(link: WorkerLink, prefix: str) -> None:
        for number in range(25):
            spec = {"type": "NodePort", "ports": [{"port": 80}]}
            body = {"metadata": {"name": f"{prefix}-{number}"}, "spec": spec}
            code, made = link.call("POST", path, body)
            assert code == 201, made
            given.append((made["spec"]["clusterIP"], made["spec"]["ports"][0]["nodePort"]))

    threads = [
        threading.Thread(target=make, args=(link, f"service-{number}"))
        for number, link in enumerate(links)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(given) == 25 * _WORKERS
    assert len({address for address, _ in given}) == len({port for _, port in given}) == len(given)


def test_a_paged_list_goes_on_at_other_workers_as_of_its_first_page(
    links: list[WorkerLink],
) -> None:
    path = "/api/v1/namespaces/kube-public/configmaps"
    for number in range(20):
        assert links[0].call("POST", path, _map(f"page-{number:02d}"))[0] == 201
    before = [item["metadata"]["name"] for item in links[0].call("GET", path)[1]["items"]]
    seen, token, revisions = [], "", set()
    for number in itertools.count():
        reader, writer = links[number % _WORKERS], links[(number + 1) % _WORKERS]
        _, page = reader.call("GET", f"{path}?limit=3&continue={token}")
        seen += [item["metadata"]["name"] for item in page["items"]]
        revisions.add(page["metadata"]["resourceVersion"])
        # What comes and goes meanwhile is not of the list.
        assert writer.call("POST", path, _map(f"page-{number:02d}x"))[0] == 201
        assert writer.call("DELETE", f"{path}/page-{19 - number:02d}")[0] == 200
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert seen == before
    assert len(revisions) == 1


def _watched(link: WorkerLink, revision: int, count: int) -> list[tuple[str, str, int]]:
    """Return the next events after a revision, as a worker's watch gives them."""
    answer = link.open("GET", f"{_MAPS}?watch=1&resourceVersion={revision}")
    assert answer.status == 200
    found = []
    # Not what controllers make of their own accord.
    ours = (line for line in answer if b'"name":"object-' in line)
    for line in itertools.islice(ours, count):
        event = orjson.loads(line)
        metadata = event["object"]["metadata"]
        found.append((event["type"], metadata["name"], int(metadata["resourceVersion"])))
    answer.close()
    link.close()
    return found


def test_watches_at_every_worker_see_the_same_and_resume_at_any(
    cluster: Cluster, links: list[WorkerLink]
) -> None:
    _, listed = links[0].call("GET", f"{_MAPS}?limit=1")
    revision = int(listed["metadata"]["resourceVersion"])
    watchers, others = link_all(cluster, _WORKERS), link_all(cluster, _WORKERS)
    seen: list[list[tuple[str, str, int]]] = [[] for _ in watchers]

    def follow(number: int) -> None:
        # Half at one worker, and from there on at the next.
        seen[number] = _watched(watchers[number], revision, 50)
        other = others[(number + 1) % _WORKERS]
        seen[number] += _watched(other, seen[number][-1][2], 50)

    threads = [threading.Thread(target=follow, args=(number,)) for number in range(_WORKERS)]
    for thread in threads:
        thread.start()
    made = []
    for number in range(100):
        name = next(_names)
        made.append(("ADDED", name, _create(links[number % _WORKERS], name)))
    for thread in threads:
        thread.join()
    assert seen == [made] * _WORKERS


def test_metrics_of_any_worker_tell_of_all(links: list[WorkerLink]) -> None:
    path = "/api/v1/namespaces/default/secrets/nobody-else-asks-for-this"

    def counted() -> list[float]:
        counts = []
        for link in links:
            text = link.open("GET", "/metrics").read().decode()
            lines = [
                line
                for line in text.splitlines()
                if line.startswith("apiserver_request_total{")
                and 'code="404"' in line
                and 'resource="secrets"' in line
            ]
            counts.append(sum(float(line.rpartition(" ")[2]) for line in lines))
        return counts

    before = counted()
    for number, link in enumerate(links):
        for _ in range(number + 1):
            assert link.call("GET", path)[0] == 404
    assert [after - was for after, was in zip(counted(), before, strict=True)] == [6, 6, 6]


def test_status_names_all_processes_and_each_partition_once(cluster: Cluster) -> None:
    command = [sys.executable, "-m", "ultraplane.cli", "status", "-o", "json"]
    told = subprocess.run(
        [*command, "--data-dir", str(cluster.directory)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    status = json.loads(told.stdout)
    assert [process["name"] for process in status["processes"]] == [
        *("journal", "storage"),
        *(f"apiserver-{number}" for number in range(1, _WORKERS + 1)),
        "controllers",
    ]
    names = [partition["name"] for partition in status["partitions"]]
    assert sorted(names) == ["default", "events", "leases", "nodes", "pods"]
    # The controllers watch, at whichever worker.
    default = next(p for p in status["partitions"] if p["name"] == "default")
    assert default["watchers"] >= 3
    assert default["bytes"] > 0


def test_another_cluster_on_the_port_of_workers_is_refused(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    command = [sys.executable, "-m", "ultraplane.cli", "up", "--workers", "2"]
    for port in (cluster.port, cluster.plain_port):
        refused = subprocess.run(
            [*command, "--port", str(port), "--data-dir", str(other)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert refused.returncode == 1
        assert f"cannot listen on 127.0.0.1 port {port}" in refused.stderr


@pytest.mark.kubectl
def test_kubectl_works_with_workers(cluster: Cluster) -> None:
    cluster.kubectl("create", "configmap", "by-kubectl", "--from-literal=a=b")
    for _ in range(4):
        got = cluster.kubectl("get", "configmap", "by-kubectl", "-o", "jsonpath={.data.a}")
        assert got.stdout == "b"
    cluster.kubectl("delete", "configmap", "by-kubectl")


def test_partitions_with_processes_of_their_own_are_one_cluster(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    config = {"storage": {"process_per_partition": True}, "supervisor": {"restart_delay_s_max": 0}}
    with run_cluster(tmp_path_factory.mktemp("partitions"), config) as cluster:
        cluster.make_namespace("apart")
        pods = "/api/v1/namespaces/apart/pods"
        spec = {"containers": [{"name": "c", "image": "i"}]}
        pod = {"metadata": {"name": "a"}, "spec": spec}
        maps = _MAPS.replace("default", "kube-public")
        assert cluster.call("POST", maps, _map("a")).code == 201
        assert cluster.call("POST", pods, pod).code == 201
        os.kill(cluster.pid_of("storage-pods"), signal.SIGKILL)
        # The others go on, and this one comes back.
        assert cluster.call("POST", maps, _map("b")).code == 201
        cluster.wait_ready()
        assert cluster.call("GET", f"{pods}/a").code == 200
        assert cluster.call("DELETE", f"{pods}/a?gracePeriodSeconds=0").code == 200
        states = read_state(state_path(cluster.directory))
        assert states is not None
        assert {process.name for process in states.processes} == {
            *("journal", "apiserver", "controllers"),
            *(f"storage-{name}" for name in ("default", "events", "leases", "nodes", "pods")),
        }


def test_what_is_granted_or_taken_by_one_worker_is_so_at_all_others_at_once(
    cluster: Cluster, links: list[WorkerLink]
) -> None:
    user = persona(cluster)
    name = grant(user, "default", rule("list", "configmaps"))
    binding = f"{RBAC}/namespaces/default/rolebindings/{name}"
    code, found = links[0].call("GET", binding)
    assert code == 200
    headers = {"Impersonate-User": user.name}
    for number in range(60):
        writer = links[number % _WORKERS]
        subjects = [] if number % 2 == 0 else [user.subject()]
        found["metadata"].pop("resourceVersion", None)
        code, found = writer.call("PUT", binding, {**found, "subjects": subjects})
        assert code == 200, found
        for reader in links:
            code, _ = reader.call("GET", _MAPS + "?limit=1", headers=headers)
            assert code == (200 if subjects else 403), (number, subjects)


def test_the_consoles_figures_are_those_of_all_workers(links: list[WorkerLink]) -> None:
    first, second, third = links
    before = _figures(first)
    assert before["workers"] == _WORKERS
    for link in (second, third):
        for _ in range(20):
            link.call("GET", f"{_MAPS}/none")
    after = _figures(third)
    assert after["requests"]["GET"][0] >= before["requests"]["GET"][0] + 40


def _figures(link: WorkerLink) -> dict[str, Any]:
    """Return the first account of a stream that is asked of a worker; the link is used up."""
    answer = link.open("GET", "/console/api/live?cells=false")
    while (told := orjson.loads(answer.readline()))["type"] != "tick":
        pass
    link.close()
    return dict(told)
