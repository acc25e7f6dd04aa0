"""LeaderWorkerSets on simulated nodes: groups are made, replaced, recreated and scaled together."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.cluster import Cluster, run_cluster

_WAIT_S = 30.0
_APIS = "/apis/leaderworkerset.x-k8s.io/v1"
_OWN = "leaderworkerset.sigs.k8s.io/"
_numbers = itertools.count(1)
Json = dict[str, Any]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with simulated nodes in two racks, its scheduler, and all controllers."""
    templates = [
        {"name": f"rack{rack}", "labels": {"example.com/rack": str(rack)}} for rack in range(2)
    ]
    settings = {
        "fleet": {"nodes": 4, "templates": templates},
        "supervisor": {"without": []},
    }
    with run_cluster(tmp_path_factory.mktemp("leaders"), settings) as running:
        running.wait_started()
        _until(lambda: running.call("GET", f"{_APIS}/leaderworkersets").code == 200)
        yield running


class Place:
    """A namespace of the cluster."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self.sets = f"{_APIS}/namespaces/{name}/leaderworkersets"

    def get(self, plural: str, name: str, api: str = "apis/apps/v1") -> Json | None:
        """Return an object, None: there is none."""
        answer = self.cluster.call("GET", f"/{api}/namespaces/{self.name}/{plural}/{name}")
        return answer.json if answer.code == 200 else None

    def pods(self) -> dict[str, Json]:
        """Return the pods by name."""
        found = self.cluster.call("GET", f"/api/v1/namespaces/{self.name}/pods").json["items"]
        return {pod["metadata"]["name"]: pod for pod in found}

    def create(self, **changes: Any) -> Json:
        """Create the set llm."""
        answer = self.cluster.call("POST", self.sets, group_set(**changes))
        assert answer.code == 201, answer.body
        made: Json = answer.json
        return made

    def patch(self, change: Json) -> None:
        """Merge a change into the set."""
        answer = self.cluster.call(
            "PATCH", f"{self.sets}/llm", change, content_type="application/merge-patch+json"
        )
        assert answer.code == 200, answer.body

    def conditions(self) -> dict[str, str]:
        """Return the set's conditions that say something of its present generation."""
        found = self.cluster.call("GET", f"{self.sets}/llm").json
        if found.get("status", {}).get("observedGeneration") != found["metadata"]["generation"]:
            return {}
        return {one["type"]: one["status"] for one in found["status"]["conditions"]}

    def is_available(self) -> bool:
        """Tell whether all groups are there, as the set tells."""
        return self.conditions().get("Available") == "True"

    def reasons(self) -> set[str]:
        """Return the reasons of what was told of the set."""
        query = "?fieldSelector=involvedObject.kind=LeaderWorkerSet"
        path = f"/api/v1/namespaces/{self.name}/events{query}"
        return {event["reason"] for event in self.cluster.call("GET", path).json["items"]}


@pytest.fixture
def place(fleet: Cluster) -> Place:
    """A namespace of this test's own."""
    name = f"leaders-{next(_numbers)}"
    fleet.make_namespace(name)
    return Place(fleet, name)


def group_set(image: str = "example.com/llm:1", **changes: Any) -> Json:
    """Return a set of two groups of three pods."""
    template = {"spec": {"containers": [{"name": "main", "image": image}]}}
    annotations = changes.pop("annotations", {})
    own = {"size": 3, "workerTemplate": template, **changes.pop("template", {})}
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": "llm", "annotations": annotations},
        "spec": {"replicas": 2, "leaderWorkerTemplate": own, **changes},
    }


def _until(is_so: Callable[[], Any], wait_s: float = _WAIT_S) -> Any:
    deadline_s = time.monotonic() + wait_s
    while not (found := is_so()):
        assert time.monotonic() < deadline_s, "it did not become so"
        time.sleep(0.05)
    return found


def _variables(pod: Json) -> dict[str, str]:
    return {one["name"]: one["value"] for one in pod["spec"]["containers"][0].get("env", ())}


def _images(pods: dict[str, Json]) -> set[str]:
    return {pod["spec"]["containers"][0]["image"] for pod in pods.values()}


def test_each_group_has_a_leader_and_workers_who_know_their_place(place: Place) -> None:
    place.create()
    _until(place.is_available)
    pods = place.pods()
    assert pods.keys() == {"llm-0", "llm-0-1", "llm-0-2", "llm-1", "llm-1-1", "llm-1-2"}
    worker, leader = pods["llm-1-2"], pods["llm-1"]
    assert _variables(worker) == {
        "LWS_LEADER_ADDRESS": f"llm-1.llm.{place.name}",
        "LWS_GROUP_SIZE": "3",
        "LWS_WORKER_INDEX": "2",
    }
    assert _variables(leader)["LWS_WORKER_INDEX"] == "0"
    labels = worker["metadata"]["labels"]
    assert labels[f"{_OWN}group-index"] == "1"
    assert labels[f"{_OWN}group-key"] == leader["metadata"]["labels"][f"{_OWN}group-key"]
    workers = place.get("statefulsets", "llm-1")
    assert workers is not None
    assert workers["metadata"]["ownerReferences"][0]["uid"] == leader["metadata"]["uid"]
    service = place.get("services", "llm", "api/v1")
    assert service is not None
    assert service["spec"]["clusterIP"] == "None"
    assert {"GroupsProgressing", "AllGroupsReady"} <= _until(
        lambda: (found := place.reasons()) >= {"AllGroupsReady"} and found
    )


def test_a_set_is_scaled_by_its_subresource_which_finds_leaders(place: Place) -> None:
    place.create()
    _until(place.is_available)
    scale = place.cluster.call("GET", f"{place.sets}/llm/scale").json
    assert scale["status"] == {
        "replicas": 2,
        "selector": f"{_OWN}name=llm,{_OWN}worker-index=0",
    }
    scale["spec"]["replicas"] = 3
    assert place.cluster.call("PUT", f"{place.sets}/llm/scale", scale).code == 200
    _until(lambda: place.is_available() and len(place.pods()) == 9)
    place.patch({"spec": {"replicas": 1}})
    _until(lambda: place.is_available() and len(place.pods()) == 3)
    assert place.pods().keys() == {"llm-0", "llm-0-1", "llm-0-2"}


def test_an_update_goes_group_by_group_and_forgets_the_old_template(place: Place) -> None:
    place.create(replicas=3)
    _until(place.is_available)
    fewest = 3
    place.patch(group_set("example.com/llm:2", replicas=3))

    def is_updated() -> bool:
        nonlocal fewest
        status = place.cluster.call("GET", f"{place.sets}/llm").json["status"]
        fewest = min(fewest, status.get("readyReplicas", 0))
        return place.is_available() and status.get("updatedReplicas") == 3

    _until(is_updated, 60)
    assert fewest >= 2, "more than maxUnavailable groups were missing"
    assert _images(place.pods()) == {"example.com/llm:2"}
    _until(lambda: len(_revisions(place)) == 1)
    assert {"CreatingRevision", "GroupsUpdating"} <= place.reasons()


def _revisions(place: Place) -> list[str]:
    path = f"/apis/apps/v1/namespaces/{place.name}/controllerrevisions"
    query = f"?labelSelector={_OWN}name=llm"
    items = place.cluster.call("GET", path + query).json["items"]
    return [
        one["metadata"]["name"]
        for one in items
        if one["metadata"]["ownerReferences"][0]["kind"] == "LeaderWorkerSet"
    ]


def test_groups_below_the_partition_keep_their_template_even_when_made_anew(place: Place) -> None:
    rolling = {"rolloutStrategy": {"rollingUpdateConfiguration": {"partition": 1}}}
    place.create(**rolling)
    _until(place.is_available)
    place.patch(group_set("example.com/llm:2", **rolling))
    new = {"llm-1", "llm-1-1", "llm-1-2"}

    def are_new() -> bool:
        pods = place.pods()
        return pods.keys() >= new and _images({name: pods[name] for name in new}) == {
            "example.com/llm:2"
        }

    _until(are_new)
    _until(place.is_available)
    before = place.pods()["llm-0"]["metadata"]["uid"]
    path = f"/api/v1/namespaces/{place.name}/pods/llm-0-1"
    assert place.cluster.call("DELETE", path).code == 200
    _until(
        lambda: place.pods().get("llm-0", {}).get("metadata", {}).get("uid") not in (None, before)
    )
    _until(lambda: place.is_available() and len(place.pods()) == 6)
    pods = place.pods()
    assert _images({name: pods[name] for name in pods.keys() - new}) == {"example.com/llm:1"}


def test_surplus_groups_take_the_place_of_those_updated_and_go(place: Place) -> None:
    rolling = {"maxUnavailable": 0, "maxSurge": 1}
    strategy = {"rolloutStrategy": {"rollingUpdateConfiguration": rolling}}
    place.create(**strategy)
    _until(place.is_available)
    place.patch(group_set("example.com/llm:2", **strategy))
    most, fewest = 2, 2

    def is_updated() -> bool:
        nonlocal most, fewest
        status = place.cluster.call("GET", f"{place.sets}/llm").json["status"]
        most = max(most, status.get("replicas", 0))
        fewest = min(fewest, status.get("readyReplicas", 0))
        return status.get("updatedReplicas") == 2 == status.get("replicas") and place.is_available()

    _until(is_updated, 60)
    assert (most, fewest) == (3, 2)
    assert _images(place.pods()) == {"example.com/llm:2"}


@pytest.mark.parametrize("policy", ["RecreateGroupOnPodRestart", "None"])
def test_a_lost_worker_takes_its_group_along_if_the_set_says_so(place: Place, policy: str) -> None:
    place.create(template={"restartPolicy": policy})
    _until(place.is_available)
    before = {name: pod["metadata"]["uid"] for name, pod in place.pods().items()}
    path = f"/api/v1/namespaces/{place.name}/pods/llm-0-1"
    assert place.cluster.call("DELETE", path).code == 200

    def replaced() -> set[str]:
        after = {name: pod["metadata"]["uid"] for name, pod in place.pods().items()}
        is_whole = after.keys() == before.keys()
        return {name for name in after if after[name] != before[name]} if is_whole else set()

    expected = {"llm-0", "llm-0-1", "llm-0-2"} if policy != "None" else {"llm-0-1"}
    _until(lambda: replaced() == expected)
    _until(place.is_available)
    assert replaced() == expected
    assert ("RecreateGroup" in place.reasons()) == (policy != "None")


def test_groups_of_a_topology_of_their_own_share_none(place: Place) -> None:
    place.create(annotations={f"{_OWN}exclusive-topology": "example.com/rack"})
    _until(place.is_available)
    nodes = {
        node["metadata"]["name"]: node["metadata"]["labels"]["example.com/rack"]
        for node in place.cluster.call("GET", "/api/v1/nodes").json["items"]
    }
    racks: dict[str, set[str]] = {}
    for pod in place.pods().values():
        index = pod["metadata"]["labels"][f"{_OWN}group-index"]
        racks.setdefault(index, set()).add(nodes[pod["spec"]["nodeName"]])
    assert sorted(racks.values(), key=str) == [{"0"}, {"1"}]


def test_groups_with_subdomains_of_their_own_have_a_service_each(place: Place) -> None:
    place.create(networkConfig={"subdomainPolicy": "UniquePerReplica"})
    _until(place.is_available)
    worker = place.pods()["llm-1-1"]
    assert worker["spec"]["subdomain"] == "llm-1"
    assert _variables(worker)["LWS_LEADER_ADDRESS"] == f"llm-1.llm-1.{place.name}"
    assert place.get("services", "llm-0", "api/v1") is not None
    assert place.get("services", "llm", "api/v1") is None


def test_workers_wait_for_their_leader_where_that_is_asked(place: Place) -> None:
    place.create(startupPolicy="LeaderReady")
    _until(place.is_available)
    pods = place.pods()
    ready = {
        one["type"]: one["lastTransitionTime"] for one in pods["llm-0"]["status"]["conditions"]
    }["Ready"]
    assert pods["llm-0-1"]["metadata"]["creationTimestamp"] >= ready


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"template": {"size": 0}}, "should be greater than or equal to 1"),
        ({"replicas": 1_000_000, "template": {"size": 3000}}, "the product of replicas and worker"),
        (
            {"template": {"subGroupPolicy": {"subGroupSize": 4}}},
            "subGroupSize cannot be larger than size",
        ),
        (
            {
                "rolloutStrategy": {
                    "rollingUpdateConfiguration": {"maxUnavailable": 0, "maxSurge": "0%"}
                }
            },
            "must not be 0 when `maxSurge` is 0",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_upstreams_words(
    place: Place, change: Json, text: str
) -> None:
    answer = place.cluster.call("POST", place.sets, group_set(**change))
    assert answer.code == 422
    assert text in answer.json["message"]


def test_a_killed_process_of_controllers_leaves_no_update_half_done(place: Place) -> None:
    place.create(replicas=4, template={"size": 2})
    _until(place.is_available)
    place.patch(group_set("example.com/llm:2", replicas=4, template={"size": 2}))
    for images in ({"example.com/llm:1", "example.com/llm:2"}, {"example.com/llm:2"}):
        _until(lambda images=images: _images(place.pods()) == images, 60)
        os.kill(place.cluster.pid_of("controllers"), signal.SIGKILL)
    _until(lambda: place.is_available() and len(place.pods()) == 8, 60)
    _until(lambda: len(_revisions(place)) == 1, 60)


def test_a_set_that_is_deleted_takes_all_of_its_own_along(place: Place) -> None:
    place.create(networkConfig={"subdomainPolicy": "UniquePerReplica"})
    _until(place.is_available)
    assert place.cluster.call("DELETE", f"{place.sets}/llm").code == 200

    def left() -> list[str]:
        paths = (
            f"/apis/apps/v1/namespaces/{place.name}/statefulsets",
            f"/apis/apps/v1/namespaces/{place.name}/controllerrevisions",
            f"/api/v1/namespaces/{place.name}/services",
            f"/api/v1/namespaces/{place.name}/pods",
        )
        return [
            item["metadata"]["name"]
            for path in paths
            for item in place.cluster.call("GET", path).json["items"]
        ]

    _until(lambda: not left(), 60)
