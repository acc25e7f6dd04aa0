"""What pods are told of their place in a group, as upstream's webhook for pods does it."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.leader_workers import names
from controllers.leader_workers.identity import complete, group_key, subgroup_of

Json = dict[str, Any]


def pod(
    name: str, labels: dict[str, str], annotations: dict[str, str] | None = None, **spec: Any
) -> Json:
    """Return a pod as its StatefulSet is about to create it."""
    return {
        "metadata": {
            "name": name,
            "labels": {names.NAME: "llm", **labels},
            "annotations": {names.SIZE: "4", **(annotations or {})},
        },
        "spec": {"subdomain": "llm", "containers": [{"name": "main"}], **spec},
    }


def leader(annotations: dict[str, str] | None = None, **spec: Any) -> Json:
    """Return the leader of group 7."""
    return pod("llm-7", {names.WORKER_INDEX: "0"}, annotations, **spec)


def worker(index: int, annotations: dict[str, str] | None = None, **spec: Any) -> Json:
    """Return a worker of group 7."""
    told = {names.LEADER_NAME: "llm-7", **(annotations or {})}
    return pod(f"llm-7-{index}", {names.GROUP_INDEX: "7", names.GROUP_KEY: "k"}, told, **spec)


def test_pods_of_no_group_stay_as_they_are() -> None:
    bare = {"metadata": {"name": "web-0"}, "spec": {"containers": [{"name": "main"}]}}
    assert complete(bare, "n") is bare
    strange = leader()
    del strange["metadata"]["annotations"][names.SIZE]
    assert complete(strange, "n") is strange


def test_a_pod_is_completed_once_and_what_is_given_is_not_changed() -> None:
    given = leader({names.EXCLUSIVE: "rack"})
    made = complete(given, "n")
    assert given == leader({names.EXCLUSIVE: "rack"})
    assert complete(made, "n") == made


@pytest.mark.parametrize(
    ("namespace", "name", "key"),
    [
        ("default", "test-sample", "95e88034e460983f51a9952fe128729fbc0663b5"),
        ("leaderworkerset", "test-sample", "39f5d7e9122b9d94d3932e3720b43fd3b56347e8"),
    ],
)
def test_keys_of_groups_are_upstreams(namespace: str, name: str, key: str) -> None:
    assert group_key(namespace, name) == key


def test_variables_come_first_and_replace_those_of_their_names() -> None:
    env = [{"name": "A", "value": "$(LWS_WORKER_INDEX)"}, {"name": "LWS_GROUP_SIZE", "value": "9"}]
    made = complete(
        worker(2, containers=[{"name": "main", "env": env}], initContainers=[{"name": "init"}]), "n"
    )
    told = [
        {"name": "LWS_LEADER_ADDRESS", "value": "llm-7.llm.n"},
        {"name": "LWS_GROUP_SIZE", "value": "4"},
        {"name": "LWS_WORKER_INDEX", "value": "2"},
    ]
    assert made["spec"]["containers"][0]["env"] == [*told, env[0]]
    assert made["spec"]["initContainers"][0]["env"] == told


def test_a_leader_of_a_subdomain_of_its_own_is_addressed_by_it() -> None:
    made = complete(leader({names.SUBDOMAIN: names.UNIQUE}), "n")
    assert made["spec"]["subdomain"] == "llm-7"
    assert made["spec"]["containers"][0]["env"][0]["value"] == "llm-7.llm-7.n"


def test_a_leader_in_a_topology_of_its_own_goes_where_no_other_group_is() -> None:
    made = complete(leader({names.EXCLUSIVE: "rack"}), "n")
    key = group_key("n", "llm-7")
    affinity = made["spec"]["affinity"]
    (near,) = affinity["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (far,) = affinity["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert near["topologyKey"] == far["topologyKey"] == "rack"
    assert near["labelSelector"]["matchExpressions"] == [
        {"key": names.GROUP_KEY, "operator": "In", "values": [key]}
    ]
    assert far["labelSelector"]["matchExpressions"] == [
        {"key": names.GROUP_KEY, "operator": "Exists"},
        {"key": names.GROUP_KEY, "operator": "NotIn", "values": [key]},
    ]


def test_subgroups_count_a_leader_too_many_for_nobody() -> None:
    # 5 pods in subgroups of 2: (0 1 2) (3 4); 4 pods: (0 1) (2 3).
    assert [subgroup_of(5, 2, index) for index in range(1, 5)] == [0, 0, 1, 1]
    assert [subgroup_of(4, 2, index) for index in range(1, 4)] == [0, 1, 1]


def test_members_of_a_subgroup_have_its_key_and_a_leader_left_out_has_none() -> None:
    annotations = {names.SUBGROUP_SIZE: "2", names.SUBGROUP_EXCLUSIVE: "rack"}
    last = complete(worker(3, annotations), "n")
    assert last["metadata"]["labels"][names.SUBGROUP_INDEX] == "1"
    assert last["metadata"]["labels"][names.SUBGROUP_KEY] == group_key("llm-7", "1")
    assert "podAffinity" in last["spec"]["affinity"]
    first = complete(leader(annotations), "n")
    assert first["metadata"]["labels"][names.SUBGROUP_KEY] == group_key("llm-7", "0")
    excluded = complete(leader({**annotations, names.SUBGROUP_TYPE: names.LEADER_EXCLUDED}), "n")
    assert names.SUBGROUP_INDEX not in excluded["metadata"]["labels"]


TPUS = {"resources": {"limits": {"google.com/tpu": "4"}}}


def variables(made: Json, container: int = 0) -> dict[str, str]:
    """Return a container's variables."""
    env = made["spec"]["containers"][container]["env"]
    return {one["name"]: one["value"] for one in env if one["name"].startswith("TPU_")}


def test_workers_of_a_leader_without_tpus_count_from_nought() -> None:
    made = complete(worker(1, {names.SIZE: "3"}, containers=[{"name": "main", **TPUS}]), "n")
    assert variables(made) == {
        "TPU_WORKER_HOSTNAMES": "llm-7-1.llm,llm-7-2.llm",
        "TPU_WORKER_ID": "0",
        "TPU_NAME": "llm-7",
        "TPU_PROCESS_ADDRESSES": "llm-7-1.llm:8476,llm-7-2.llm:8476",
        "TPU_PROCESS_PORT": "8476",
    }


def test_each_container_with_tpus_is_a_process_of_its_own() -> None:
    asked = {names.SIZE: "2", names.LEADER_WANTS_TPUS: "true"}
    ported = {"name": "b", **TPUS, "env": [{"name": "TPU_PROCESS_PORT", "value": "9"}]}
    made = complete(worker(1, asked, containers=[{"name": "a", **TPUS}, ported]), "n")
    second = variables(made, 1)
    assert second["TPU_WORKER_ID"] == "3"
    assert second["TPU_WORKER_HOSTNAMES"] == "llm-7.llm,llm-7.llm,llm-7-1.llm,llm-7-1.llm"
    assert second["TPU_PROCESS_ADDRESSES"] == (
        "llm-7.llm:8476,llm-7.llm:9,llm-7-1.llm:8476,llm-7-1.llm:9"
    )
    assert second["TPU_PROCESS_PORT"] == "9"


@pytest.mark.parametrize(
    ("index", "leads", "hosts", "place"),
    [
        (3, True, "llm-7-2.llm,llm-7-3.llm", "1"),
        (1, True, "llm-7.llm,llm-7-1.llm", "1"),
        (3, False, "llm-7-3.llm,llm-7-4.llm", "0"),
    ],
)
def test_a_slice_is_a_subgroup_where_there_are_any(
    *, index: int, leads: bool, hosts: str, place: str
) -> None:
    annotations = {names.SUBGROUP_SIZE: "2"}
    if leads:
        annotations[names.LEADER_WANTS_TPUS] = "true"
    made = complete(worker(index, annotations, containers=[{"name": "main", **TPUS}]), "n")
    told = variables(made)
    assert (told["TPU_WORKER_HOSTNAMES"], told["TPU_WORKER_ID"]) == (hosts, place)
