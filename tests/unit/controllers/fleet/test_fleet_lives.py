"""Which stage counts for a pod, what annotations say, what ails nodes."""

from __future__ import annotations

import math
from typing import Any

import pytest

from controllers.fleet.fleet_node import ACCELERATOR, DISK_PRESSURE, NOT_READY, Node
from controllers.fleet.lives import (
    DEFAULTS,
    Life,
    Stage,
    Step,
    Subject,
    chance,
    faults_of,
    in_order,
    life_of,
    read_stage,
    seconds_of,
)
from controllers.fleet.node_status import conditions, told
from controllers.fleet.stages import definition

_OWN = "fleet.ultraplane.dev/"


def _subject(owner: str = "", uid: str = "u", **annotations: str) -> Subject:
    own = {_OWN + key.replace("_", "-"): text for key, text in annotations.items()}
    return Subject(uid, "ns", {"app": "web"}, own, owner, ("docker.io/library/nginx:latest",))


def _stage(name: str, step: str = "Pull", **spec: Any) -> Stage:
    return read_stage({"metadata": {"name": name}, "spec": {"step": step, **spec}})


def test_without_stages_and_annotations_nothing_takes_time_but_jobs() -> None:
    assert life_of(in_order(DEFAULTS), _subject()) == Life()
    assert life_of(in_order(DEFAULTS), _subject("Job")) == Life(run_s=1.0)


def test_the_highest_priority_that_matches_counts_and_then_the_first_name() -> None:
    stages = in_order(
        [
            _stage("b", delay="2s", priority=1),
            _stage("a", delay="1s", priority=1),
            _stage("c", delay="9s", priority=2, match={"labels": {"app": "db"}}),
        ]
    )
    assert life_of(stages, _subject()).pull_s == 1


@pytest.mark.parametrize(
    ("match", "counts"),
    [
        ({"namespaces": ["ns"]}, True),
        ({"namespaces": ["other"]}, False),
        ({"labels": {"app": "web"}}, True),
        ({"labels": {"app": "web", "tier": "x"}}, False),
        ({"images": ["docker.io/*/nginx:*"]}, True),
        # A name as people write it is that of the image that a runtime tells of.
        ({"images": ["nginx"]}, True),
        ({"images": ["nginx:latest"]}, True),
        ({"images": ["nginx:1"]}, False),
        ({"images": ["redis*"]}, False),
        ({"ownerKinds": ["Job"]}, False),
        ({"annotations": {"a": "b"}}, False),
        ({"share": 0}, False),
        ({"share": 1}, True),
    ],
)
def test_a_stage_counts_for_the_pods_it_matches(match: dict[str, Any], *, counts: bool) -> None:
    life = life_of([_stage("s", delay="3s", match=match)], _subject())
    assert life.pull_s == (3 if counts else 0)


def test_a_share_is_that_part_of_pods_and_always_the_same() -> None:
    stage = _stage("s", delay="3s", match={"share": 0.3})
    hit = [life_of([stage], _subject(uid=f"uid-{n}")).pull_s == 3 for n in range(2000)]
    assert 500 < sum(hit) < 700
    assert hit == [life_of([stage], _subject(uid=f"uid-{n}")).pull_s == 3 for n in range(2000)]


def test_jitter_adds_at_most_as_much_as_it_says() -> None:
    stage = _stage("s", "Ready", delay="2s", jitter="4s")
    found = [life_of([stage], _subject(uid=str(n))).ready_s or 0 for n in range(200)]
    assert 2 <= min(found) < 2.5
    assert 5.5 < max(found) <= 6


def test_each_step_has_its_stage() -> None:
    stages = [
        _stage("p", "Pull", failure={"reason": "ErrImagePull"}),
        _stage("i", "Init", delay="1s", failure={"exitCode": 4}),
        _stage("s", "Start", failure={"reason": "RunContainerError"}),
        _stage("r", "Run", delay="5s", failure={"exitCode": 9, "reason": "OOMKilled"}),
        _stage("t", "Terminate", delay="7s"),
    ]
    life = life_of(stages, _subject())
    assert (life.pull_failure, life.start_failure) == ("ErrImagePull", "RunContainerError")
    assert (life.init_s, life.init_code, life.terminate_s) == (1, 4, 7)
    assert (life.run_s, life.exit_code, life.exit_reason) == (5, 9, "OOMKilled")


def test_annotations_count_before_stages() -> None:
    subject = _subject(pull="4s", run="1m", exit_code="3", terminate="2.5")
    life = life_of([_stage("s", delay="3s")], subject)
    assert (life.pull_s, life.run_s, life.exit_code, life.terminate_s) == (4, 60, 3, 2.5)
    assert life_of([], _subject(exit_code="1")).run_s == 0


@pytest.mark.parametrize(
    "text", ["", "soon", "-1s", "1e400s", "nan", "99999999999h", ".", "\uff11"]
)
def test_a_duration_that_is_none_changes_nothing(text: str) -> None:
    found = seconds_of(text)
    assert found is None or (math.isfinite(found) and found >= 0)
    assert life_of([], _subject(exit_code=text)).exit_code in (0, 1)


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"step": "Dance"},
        {"step": "Pull", "delay": "soon"},
        {"step": "Pull", "match": {"share": "x"}},
        {"step": "Pull", "match": 3},
        None,
    ],
)
def test_a_stage_that_says_nothing_usable_is_refused(spec: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_stage({"metadata": {"name": "s"}, "spec": spec})


def test_the_type_of_stages_allows_exactly_the_steps_there_are() -> None:
    (version,) = definition()["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    assert schema["step"]["enum"] == [step.value for step in Step]


def test_faults_of_stages_hit_their_share_of_nodes() -> None:
    stage = _stage("f", "Fault", match={"labels": {"z": "a"}, "share": 0.5}, faults=["lost"])
    hit = [faults_of([stage], f"n{number}", {"z": "a"}) for number in range(400)]
    assert 150 < sum(map(bool, hit)) < 250
    assert faults_of([stage], "n0", {"z": "b"}) == []


def test_conditions_tell_what_faults_make_of_a_node() -> None:
    well = {one[0]: one[1:3] for one in told((), "nvidia.com/gpu")}
    assert well["Ready"] == ("True", "KubeletReady")
    assert well["DiskPressure"] == ("False", "KubeletHasNoDiskPressure")
    assert well["MemoryPressure"] == ("False", "KubeletHasSufficientMemory")
    assert well["AcceleratedHardwareReady"][0] == "True"
    ill = {
        one[0]: one[1:3] for one in told((DISK_PRESSURE, NOT_READY, ACCELERATOR), "nvidia.com/gpu")
    }
    assert ill["Ready"] == ("False", "KubeletNotReady")
    assert ill["DiskPressure"] == ("True", "KubeletHasDiskPressure")
    assert ill["AcceleratedHardwareReady"] == ("False", "NvidiaXID79Error")
    assert "AcceleratedHardwareReady" not in {one[0] for one in told((), "")}


def test_a_condition_keeps_its_time_until_it_changes() -> None:
    node = Node("n")
    first = {one["type"]: one["lastTransitionTime"] for one in conditions(node, "", 1000.0)}
    later = {one["type"]: one["lastTransitionTime"] for one in conditions(node, "", 2000.0)}
    assert first == later
    node.faults = (DISK_PRESSURE,)
    changed = {one["type"]: one["lastTransitionTime"] for one in conditions(node, "", 3000.0)}
    assert changed["Ready"] == first["Ready"]
    assert changed["DiskPressure"] != first["DiskPressure"]


def test_addresses_of_a_node_are_given_once_and_taken_back() -> None:
    node = Node("n")
    node.network = (10 << 24) + (128 << 16)
    given = [node.take_address() for _ in range(253)]
    assert given[0] == "10.128.0.2"
    assert given[-1] == "10.128.0.254"
    assert len(set(given)) == 253
    assert node.take_address() == ""
    node.free_address("10.128.0.77")
    node.free_address("10.9.0.3")
    node.free_address("127.0.0.1")
    node.free_address("10.128.0.1")
    assert node.take_address() == "10.128.0.77"
    assert node.take_address() == ""


def test_chances_are_spread_evenly() -> None:
    found = [chance(f"uid-{number}", "s") for number in range(5000)]
    assert min(found) >= 0
    assert max(found) < 1
    assert 2300 < sum(one < 0.5 for one in found) < 2700
