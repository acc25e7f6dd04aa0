"""A Pod completed by what was remembered of another is the Pod it would have been without."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest

from tests.integration.cluster import Cluster

OWN = ("name", "uid", "resourceVersion", "creationTimestamp")


def _pod(name: str, **metadata: Any) -> dict[str, Any]:
    spec = {
        "containers": [
            {
                "name": "web",
                "image": "nginx:1.27",
                "ports": [{"containerPort": 80}],
                "resources": {"limits": {"memory": "1024Mi", "cpu": "1000m"}},
            }
        ],
        "nodeSelector": {"disk": "ssd"},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **metadata},
        "spec": spec,
    }


def _rest(pod: dict[str, Any]) -> dict[str, Any]:
    kept = copy.deepcopy(pod)
    for key in OWN:
        kept["metadata"].pop(key)
    return kept


@pytest.fixture
def path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def _create(cluster: Cluster, path: str, pod: dict[str, Any]) -> dict[str, Any]:
    answer = cluster.call("POST", path, pod)
    assert answer.code == 201, answer.body
    created: dict[str, Any] = answer.json
    return created


def test_pods_of_one_spec_are_alike_but_for_their_own_metadata(cluster: Cluster, path: str) -> None:
    first, second, third = (_create(cluster, path, _pod(f"alike-{n}")) for n in range(3))
    assert _rest(first) == _rest(second) == _rest(third)
    assert first["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "1", "memory": "1Gi"}
    assert third["status"] == {"phase": "Pending", "qosClass": "Guaranteed"}
    assert third["spec"]["tolerations"], "admission's defaults belong to what is remembered"


def test_a_twin_is_found_by_field_and_label_selectors(cluster: Cluster, path: str) -> None:
    for number in range(2):
        _create(cluster, path, _pod(f"found-{number}", labels={"app": f"a{number}"}))
    query = "?fieldSelector=status.phase=Pending,spec.restartPolicy=Always&labelSelector=app=a1"
    items = cluster.call("GET", path + query).json["items"]
    assert [item["metadata"]["name"] for item in items] == ["found-1"]


def test_a_twins_name_is_checked_and_warned_of(cluster: Cluster, path: str) -> None:
    _create(cluster, path, _pod("plain"))
    refused = cluster.call("POST", path, _pod("Not-a-name"))
    assert (refused.code, refused.json["reason"]) == (422, "Invalid")
    dotted = cluster.call("POST", path, _pod("with.dot"))
    assert "hostname" in dotted.headers["warning"]
    assert "warning" not in cluster.call("POST", path, _pod("plain-2")).headers


def test_a_spec_with_other_annotations_is_no_twin(cluster: Cluster, path: str) -> None:
    _create(cluster, path, _pod("bare"))
    annotation = {"container.apparmor.security.beta.kubernetes.io/web": "unconfined"}
    created = _create(cluster, path, _pod("profiled", annotations=annotation))
    profile = created["spec"]["containers"][0]["securityContext"]["appArmorProfile"]
    assert profile == {"type": "Unconfined"}


def test_own_labels_are_selected_by_each_twin_for_itself(cluster: Cluster, path: str) -> None:
    keys = []
    for number in range(2):
        pod = _pod(f"spread-{number}", labels={"group": f"g{number}"})
        pod["spec"]["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "zone",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"x": "y"}},
                "matchLabelKeys": ["group"],
            }
        ]
        created = _create(cluster, path, pod)
        selector = created["spec"]["topologySpreadConstraints"][0]["labelSelector"]
        keys.append(selector["matchExpressions"][0]["values"])
    assert keys == [["g0"], ["g1"]]


def test_duplicate_fields_are_found_in_a_twin(cluster: Cluster, namespace: str, path: str) -> None:
    _create(cluster, path, _pod("known"))
    body = (
        b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"twice","labels":{"a":"1","a":"2"}},'
        b'"spec":{"containers":[{"name":"web","image":"nginx:1.27","ports":[{"containerPort":80}],'
        b'"resources":{"limits":{"memory":"1024Mi","cpu":"1000m"}}}],"nodeSelector":{"disk":"ssd"}}}'
    )
    answer = cluster.call("POST", f"{path}?fieldValidation=Strict", body)
    assert answer.code == 400
    assert 'duplicate field "metadata.labels.a"' in answer.json["message"]


def test_generated_names_work_for_twins(cluster: Cluster, path: str) -> None:
    pod = _pod("x", generateName="gen-")
    del pod["metadata"]["name"]
    names = {_create(cluster, path, pod)["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("gen-") for name in names)


def test_bodies_alike_but_for_the_name_make_like_pods(cluster: Cluster, path: str) -> None:
    metadata = {"labels": {"app": "web"}, "annotations": {"note": 'a "quoted" name'}}
    made = [_create(cluster, path, _pod(f"stencil-{n}", **metadata)) for n in range(6)]
    assert [pod["metadata"]["name"] for pod in made] == [f"stencil-{n}" for n in range(6)]
    assert all(_rest(pod) == _rest(made[0]) for pod in made)
    assert len({pod["metadata"]["uid"] for pod in made}) == 6
    listed = cluster.call(
        "GET", f"{path}?labelSelector=app%3Dweb&fieldSelector=status.phase%3DPending"
    )
    assert len(listed.json["items"]) == 6


def test_bodies_with_a_generated_name_make_pods_of_different_names(
    cluster: Cluster, path: str
) -> None:
    pod = _pod("", generateName="web-", labels={"app": "generated"})
    del pod["metadata"]["name"]
    names = {_create(cluster, path, pod)["metadata"]["name"] for _ in range(6)}
    assert len(names) == 6
    assert all(name.startswith("web-") for name in names)


def test_a_bad_or_taken_name_in_a_repeated_body_is_refused(cluster: Cluster, path: str) -> None:
    for n in range(4):
        _create(cluster, path, _pod(f"good-{n}"))
    refused = cluster.call("POST", path, _pod("-bad"))
    assert refused.code == 422
    assert "metadata.name: Invalid value" in refused.json["message"]
    assert cluster.call("POST", path, _pod("Bad")).code == 422
    assert cluster.call("POST", path, _pod("good-1")).json["reason"] == "AlreadyExists"
    missing = cluster.call("POST", path.replace("test-", "absent-"), _pod("good-9"))
    assert (missing.code, missing.json["reason"]) == (404, "NotFound")


def test_the_name_is_found_in_metadata_though_it_stands_elsewhere_too(
    cluster: Cluster, path: str
) -> None:
    # The container's name comes first in the body and is the same: no hole can be cut there.
    for n in range(5):
        pod = _pod(f"web{n}")
        pod = {"spec": copy.deepcopy(pod["spec"]), **pod}
        pod["spec"]["containers"][0]["name"] = f"web{n}"
        created = _create(cluster, path, pod)
        assert created["metadata"]["name"] == f"web{n}"
        assert created["spec"]["containers"][0]["name"] == f"web{n}"


def test_a_repeated_body_with_a_duplicate_field_goes_on_being_warned_of(
    cluster: Cluster, path: str
) -> None:
    for n in range(5):
        text = orjson.dumps(_pod(f"twice-{n}"))
        body = text.replace(b'"nodeSelector":', b'"priority":0,"priority":0,"nodeSelector":')
        answer = cluster.call("POST", path, body)
        assert answer.code == 201, answer.body
        headers = {name.lower(): value for name, value in answer.headers.items()}
        assert r"duplicate field \"spec.priority\"" in headers["warning"]


@pytest.mark.parametrize("status", ["", [], 0, False])
def test_a_twins_status_must_be_one_though_it_is_dropped(
    cluster: Cluster, path: str, status: Any
) -> None:
    _create(cluster, path, _pod("known"))
    answer = cluster.call("POST", path, {**_pod("odd"), "status": status})
    assert answer.code == 400, answer.body
    assert "into Go struct field Pod.status" in answer.json["message"]
    _create(cluster, path, {**_pod("empty"), "status": {}})
    _create(cluster, path, {**_pod("null"), "status": None})
