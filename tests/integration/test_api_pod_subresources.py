"""Subresources of pods: binding, eviction, ephemeralcontainers, resize."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.api_calls import (
    JSON_PATCH,
    MERGE,
    STRATEGIC,
    UNKNOWN_UID,
    Collection,
    Json,
    check_status,
    collection,
    named,
    pod,
)
from tests.integration.cluster import Answer, Cluster

SUCCESS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
OVER_BUDGET = "Cannot evict pod as it would violate the pod's disruption budget."


@pytest.fixture
def pods(cluster: Cluster, namespace: str) -> Collection:
    """Pods of a new namespace."""
    return collection(cluster, namespace, "pods")


@pytest.fixture
def budgets(cluster: Cluster, namespace: str) -> Collection:
    """Disruption budgets of the same namespace."""
    return collection(cluster, namespace, "poddisruptionbudgets", "policy/v1")


def _post(pods: Collection, where: str, body: Any, query: str = "") -> Answer:
    return pods.cluster.call("POST", f"{pods.path}/{where}{query}", body)


def _bind(pods: Collection, name: str, node: str = "n1", query: str = "", **meta: Any) -> Answer:
    target = {"kind": "Node", "name": node}
    body = {"metadata": {"name": name, **meta}, "target": target}
    return _post(pods, f"{name}/binding", body, query)


def test_a_binding_assigns_the_pod_and_says_so(pods: Collection) -> None:
    pods.made(pod("a"))
    answer = _bind(pods, "a", annotations={"k": "v"}, labels={"l": "w"})
    assert (answer.code, answer.json) == (201, SUCCESS)
    bound = pods.get("a").json
    assert bound["spec"]["nodeName"] == "n1"
    assert bound["metadata"]["annotations"] == {"k": "v"}
    assert bound["metadata"]["labels"] == {"l": "w"}
    scheduled = {one["type"]: one["status"] for one in bound["status"]["conditions"]}
    assert scheduled["PodScheduled"] == "True"


def test_a_bound_pod_is_not_bound_again(pods: Collection) -> None:
    pods.made(pod("a"))
    _bind(pods, "a")
    message = (
        'Operation cannot be fulfilled on pods/binding "a": pod a is already assigned to node "n1"'
    )
    for node in ("n1", "n2"):
        details = check_status(_bind(pods, "a", node), 409, "Conflict", message)
        assert details == {"name": "a", "kind": "pods/binding"}


def test_a_gated_or_deleted_pod_is_not_bound(pods: Collection) -> None:
    gated = pod("a")
    gated["spec"]["schedulingGates"] = [{"name": "example.com/x"}]
    pods.made(gated)
    where = 'Operation cannot be fulfilled on pods/binding "a": '
    refused = f"{where}pod a has non-empty .spec.schedulingGates"
    check_status(_bind(pods, "a"), 409, "Conflict", refused)
    held = pod("b")
    held["metadata"]["finalizers"] = ["example.com/x"]
    pods.made(held)
    pods.delete("b")
    refused = "pod b is being deleted, cannot be assigned to a host"
    assert refused in _bind(pods, "b").json["message"]
    pods.patch("b", {"metadata": {"finalizers": None}})


def test_a_binding_of_another_uid_or_revision_is_a_conflict(pods: Collection) -> None:
    made = pods.made(pod("a"))
    answer = _bind(pods, "a", uid=UNKNOWN_UID)
    assert (answer.code, answer.json["reason"]) == (409, "Conflict")
    assert f"UID in precondition: {UNKNOWN_UID}, UID in object meta" in answer.json["message"]
    stale = made["metadata"]["resourceVersion"]
    pods.patch("a", {"metadata": {"labels": {"k": "v"}}})
    assert _bind(pods, "a", resourceVersion=stale).code == 409
    assert "nodeName" not in pods.get("a").json["spec"]


def test_a_binding_must_name_its_pod_and_a_node(pods: Collection) -> None:
    pods.made(pod("a"))
    wrong = "name in URL does not match name in Binding object"
    for meta in ({}, {"name": "b"}):
        body = {"metadata": meta, "target": {"name": "n1"}}
        check_status(_post(pods, "a/binding", body), 400, "BadRequest", wrong)
    answer = _post(pods, "a/binding", named("a", target={"kind": "Pod"}))
    assert answer.json["message"].endswith(
        'target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>", '
        "target.name: Required value]"
    )
    elsewhere = _bind(pods, "a", namespace="default")
    text = "the namespace of the provided object does not match the namespace sent on the request"
    check_status(elsewhere, 400, "BadRequest", text)


def test_a_dry_run_binds_nothing(pods: Collection) -> None:
    made = pods.made(pod("a"))
    assert _bind(pods, "a", query="?dryRun=All").json == SUCCESS
    assert pods.get("a").json == made


def test_a_binding_is_also_created_in_the_collection(cluster: Cluster, pods: Collection) -> None:
    pods.made(pod("a"))
    body = {"metadata": {"name": "a"}, "target": {"name": "n1"}}
    answer = cluster.call("POST", pods.path.removesuffix("pods") + "bindings", body)
    assert (answer.code, answer.json) == (201, SUCCESS)
    assert pods.get("a").json["spec"]["nodeName"] == "n1"


def test_a_binding_of_what_is_not_there_is_not_found(pods: Collection) -> None:
    check_status(_bind(pods, "a"), 404, "NotFound", 'pods "a" not found')


def _evict(pods: Collection, name: str, query: str = "", **more: Any) -> Answer:
    return _post(pods, f"{name}/eviction", named(name, **more), query)


def _running(pods: Collection, name: str, *, ready: bool = True) -> Json:
    """Make a pod that runs, labelled app=x, and that a budget counts."""
    pods.made(pod(name, node="n1", app="x"))
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    status = {"status": {"phase": "Running", "conditions": conditions}}
    made: Json = pods.patch(f"{name}/status", status).json
    return made


def _budget(budgets: Collection, name: str = "b", **status: Any) -> Json:
    selector = {"matchLabels": {"app": "x"}}
    budgets.made(named(name, spec={"minAvailable": 1, "selector": selector}))
    status = {"observedGeneration": 1, "desiredHealthy": 1, "currentHealthy": 1, **status}
    made: Json = budgets.patch(f"{name}/status", {"status": status}).json
    return made


def test_an_eviction_deletes_with_the_grace_of_the_pod(pods: Collection) -> None:
    _running(pods, "a")
    answer = _evict(pods, "a")
    assert (answer.code, answer.json) == (201, SUCCESS)
    metadata = pods.get("a").json["metadata"]
    assert (metadata["deletionGracePeriodSeconds"], "deletionTimestamp" in metadata) == (30, True)


def test_an_eviction_takes_delete_options(pods: Collection) -> None:
    _running(pods, "a")
    options = {"gracePeriodSeconds": 0, "preconditions": {"uid": UNKNOWN_UID}}
    assert _evict(pods, "a", deleteOptions=options).code == 409
    assert "deletionTimestamp" not in pods.get("a").json["metadata"]
    assert _evict(pods, "a", deleteOptions={"gracePeriodSeconds": 0}).code == 201
    assert pods.get("a").code == 404


@pytest.mark.parametrize("how", ["query", "body"])
def test_a_dry_run_evicts_nothing(pods: Collection, budgets: Collection, how: str) -> None:
    before = _running(pods, "a")
    budget = _budget(budgets, disruptionsAllowed=1)
    query = "?dryRun=All" if how == "query" else ""
    more = {"deleteOptions": {"dryRun": ["All"]}} if how == "body" else {}
    assert _evict(pods, "a", query, **more).json == SUCCESS
    assert pods.get("a").json == before
    assert budgets.get("b").json == budget


def test_an_eviction_over_the_budget_is_refused_with_its_cause(
    pods: Collection, budgets: Collection
) -> None:
    before = _running(pods, "a")
    _budget(budgets, desiredHealthy=2, currentHealthy=1)
    answer = _evict(pods, "a")
    details = check_status(answer, 429, "TooManyRequests", OVER_BUDGET)
    text = "The disruption budget b needs 2 healthy pods and has 1 currently"
    assert details == {"causes": [{"reason": "DisruptionBudget", "message": text}]}
    assert "retry-after" not in answer.headers
    assert pods.get("a").json == before


def test_an_eviction_waits_for_a_budget_that_nobody_has_looked_at(
    pods: Collection, budgets: Collection
) -> None:
    _running(pods, "a")
    _budget(budgets, observedGeneration=0, disruptionsAllowed=1)
    answer = _evict(pods, "a")
    details = check_status(answer, 429, "TooManyRequests", OVER_BUDGET)
    assert (details["retryAfterSeconds"], answer.headers["retry-after"]) == (10, "10")
    text = "The disruption budget b is still being processed by the server."
    assert details["causes"] == [{"reason": "DisruptionBudget", "message": text}]


def test_an_eviction_spends_the_budget(pods: Collection, budgets: Collection) -> None:
    for name in "abc":
        _running(pods, name)
    _budget(budgets, disruptionsAllowed=2)
    assert _evict(pods, "a").code == 201
    status = budgets.get("b").json["status"]
    assert (status["disruptionsAllowed"], list(status["disruptedPods"])) == (1, ["a"])
    assert "conditions" not in status
    assert _evict(pods, "b").code == 201
    status = budgets.get("b").json["status"]
    assert (status["disruptionsAllowed"], sorted(status["disruptedPods"])) == (0, ["a", "b"])
    (condition,) = status["conditions"]
    assert (condition["type"], condition["status"]) == ("DisruptionAllowed", "False")
    assert condition["reason"] == "InsufficientPods"
    assert _evict(pods, "c").code == 429


def test_an_eviction_under_two_budgets_fails_in_an_answer_of_201(
    pods: Collection, budgets: Collection
) -> None:
    before = _running(pods, "a")
    _budget(budgets, "b", disruptionsAllowed=1)
    _budget(budgets, "c", disruptionsAllowed=1)
    answer = _evict(pods, "a")
    assert answer.code == 201
    assert answer.json == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": (
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does "
            "not support."
        ),
        "code": 500,
    }
    assert pods.get("a").json == before


def test_pods_that_do_not_run_are_evicted_over_the_budget(
    pods: Collection, budgets: Collection
) -> None:
    _budget(budgets)
    for phase in ("Pending", "Succeeded", "Failed"):
        pods.made(pod(phase.lower(), node="n1", app="x"))
        pods.patch(f"{phase.lower()}/status", {"status": {"phase": phase}})
        assert _evict(pods, phase.lower()).code == 201, phase


@pytest.mark.parametrize(("healthy", "code"), [(2, 201), (1, 429)])
def test_an_unready_pod_goes_where_the_budget_is_healthy(
    pods: Collection, budgets: Collection, healthy: int, code: int
) -> None:
    """unhealthyPodEvictionPolicy unset is IfHealthyBudget; the budget is not spent."""
    _running(pods, "a", ready=False)
    _budget(budgets, desiredHealthy=2, currentHealthy=healthy)
    assert _evict(pods, "a").code == code
    assert "disruptedPods" not in budgets.get("b").json["status"]


def test_an_unready_pod_goes_in_any_case_if_the_budget_allows_it(
    pods: Collection, budgets: Collection
) -> None:
    _running(pods, "a", ready=False)
    _budget(budgets, desiredHealthy=2, currentHealthy=1)
    budgets.patch("b", {"spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}})
    assert _evict(pods, "a").code == 201


def test_an_eviction_must_name_its_pod(pods: Collection) -> None:
    pods.made(pod("a"))
    wrong = "name in URL does not match name in Eviction object"
    for meta in ({}, {"name": "b"}):
        answer = _post(pods, "a/eviction", {"metadata": meta})
        check_status(answer, 400, "BadRequest", wrong)
    check_status(_evict(pods, "b"), 404, "NotFound", 'pods "b" not found')


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_an_eviction_is_taken_in_both_versions(pods: Collection, version: str) -> None:
    pods.made(pod("a"))
    body = named("a", kind="Eviction", apiVersion=f"policy/{version}")
    assert _post(pods, "a/eviction", body).code == 201


DEBUGGER = {"name": "debug", "image": "example.com/debug:1"}


@pytest.mark.parametrize(
    ("content_type", "patch"),
    [
        (STRATEGIC, {"spec": {"ephemeralContainers": [DEBUGGER]}}),
        (MERGE, {"spec": {"ephemeralContainers": [DEBUGGER]}}),
        (JSON_PATCH, [{"op": "add", "path": "/spec/ephemeralContainers", "value": [DEBUGGER]}]),
    ],
)
def test_ephemeral_containers_are_added_by_their_subresource(
    pods: Collection, content_type: str, patch: Any
) -> None:
    before = pods.made(pod("a"))
    answer = pods.patch("a/ephemeralcontainers", patch, content_type=content_type)
    assert answer.code == 200
    patched = answer.json
    (added,) = patched["spec"].pop("ephemeralContainers")
    assert (added["name"], added["terminationMessagePolicy"]) == ("debug", "File")
    assert patched["spec"] == before["spec"]
    assert patched["metadata"]["generation"] == 2
    assert pods.get("a/ephemeralcontainers").json == pods.get("a").json


def test_ephemeral_containers_are_neither_changed_nor_removed(pods: Collection) -> None:
    pods.made(pod("a"))
    added = {"spec": {"ephemeralContainers": [DEBUGGER]}}
    pods.patch("a/ephemeralcontainers", added)
    existing = 'existing ephemeral containers "debug" may not be'
    removed = pods.patch("a/ephemeralcontainers", {"spec": {"ephemeralContainers": None}})
    assert removed.code == 422
    assert f"spec.ephemeralContainers: Forbidden: {existing} removed" in removed.json["message"]
    changed = {"spec": {"ephemeralContainers": [{**DEBUGGER, "image": "example.com/x:1"}]}}
    refused = pods.patch("a/ephemeralcontainers", changed)
    assert refused.code == 422
    assert f"{existing} changed" in refused.json["message"]


def test_ephemeral_containers_are_no_part_of_the_pod_itself(pods: Collection) -> None:
    pods.made(pod("a"))
    answer = pods.patch("a", {"spec": {"ephemeralContainers": [DEBUGGER]}})
    assert answer.code == 422
    assert "pod updates may not change fields other than" in answer.json["message"]
    made_with = pod("b")
    made_with["spec"]["ephemeralContainers"] = [DEBUGGER]
    refused = pods.create(made_with)
    assert refused.code == 422
    assert "cannot be set on create" in refused.json["message"]


def test_resize_changes_cpu_and_memory_alone(pods: Collection) -> None:
    body = pod("a")
    body["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "100m"}}
    before = pods.made(body)
    container = {"name": "main", "image": "example.com/x:2", "resources": {}}
    container["resources"] = {"requests": {"cpu": "200m"}}
    patched = pods.patch("a/resize", {"spec": {"containers": [container]}}, "", STRATEGIC)
    assert patched.code == 200
    (resized,) = patched.json["spec"]["containers"]
    assert resized["resources"] == {"requests": {"cpu": "200m"}}
    assert resized["image"] == before["spec"]["containers"][0]["image"]
    assert patched.json["metadata"]["generation"] == 2
    assert pods.get("a/resize").json == pods.get("a").json


def test_resize_keeps_the_quality_of_service(pods: Collection) -> None:
    pods.made(pod("a"))
    container = {"name": "main", "resources": {"requests": {"cpu": "200m"}}}
    answer = pods.patch("a/resize", {"spec": {"containers": [container]}}, "", STRATEGIC)
    assert answer.code == 422
    assert "Pod QOS Class may not change as a result of resizing" in answer.json["message"]


def test_resources_are_not_changed_without_resize(pods: Collection) -> None:
    body = pod("a")
    body["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "100m"}}
    pods.made(body)
    container = {"name": "main", "resources": {"requests": {"cpu": "200m"}}}
    answer = pods.patch("a", {"spec": {"containers": [container]}}, "", STRATEGIC)
    assert answer.code == 422
    assert "pod updates may not change fields other than" in answer.json["message"]
