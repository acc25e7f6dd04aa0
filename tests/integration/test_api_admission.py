"""Admission over HTTP: what the built-in plugins of a default server make of writes, and refuse."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.api_calls import Json, named, pod
from tests.integration.cluster import Answer, Cluster
from tests.integration.personas import made

ENFORCE = "pod-security.kubernetes.io/enforce"
WARN = "pod-security.kubernetes.io/warn"


@pytest.fixture
def space(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}"


def _limited(cluster: Cluster, space: str, hard: Json, **spec: object) -> None:
    """Make a quota that was counted, as its controller would leave it."""
    made(cluster, f"{space}/resourcequotas", named("q", spec={"hard": hard, **spec}))
    quota = cluster.call("GET", f"{space}/resourcequotas/q").json
    quota["status"] = {"hard": hard, "used": dict.fromkeys(hard, "0")}
    assert cluster.call("PUT", f"{space}/resourcequotas/q/status", quota).code == 200


def _used(cluster: Cluster, space: str) -> Json:
    used: Json = cluster.call("GET", f"{space}/resourcequotas/q").json["status"]["used"]
    return used


def _refused(answer: Answer, why: str) -> bool:
    return answer.code == 403 and why in answer.json["message"]


def test_a_pod_gets_the_default_account_and_its_token(cluster: Cluster, space: str) -> None:
    made(cluster, f"{space}/pods", pod("p"))
    spec = cluster.call("GET", f"{space}/pods/p").json["spec"]
    assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
    (volume,) = spec["volumes"]
    assert volume["name"].startswith("kube-api-access-")
    sources = volume["projected"]["sources"]
    assert sources[0] == {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}
    (mount,) = spec["containers"][0]["volumeMounts"]
    assert mount == {
        "name": volume["name"],
        "readOnly": True,
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    }


def test_a_pod_of_an_unknown_account_is_refused(cluster: Cluster, space: str) -> None:
    obj = pod("p")
    obj["spec"]["serviceAccountName"] = "nobody"
    answer = cluster.call("POST", f"{space}/pods", obj)
    assert _refused(answer, 'pods "p" is forbidden: error looking up service account ')
    assert answer.json["message"].endswith('/nobody: serviceaccount "nobody" not found')


def test_pull_secrets_of_an_account_count_from_the_next_pod_on(
    cluster: Cluster, space: str
) -> None:
    for number in range(3):  # the third is a twin
        made(cluster, f"{space}/pods", pod(f"before-{number}"))
    change = {"imagePullSecrets": [{"name": "registry"}]}
    path = f"{space}/serviceaccounts/default"
    merge = "application/merge-patch+json"
    assert cluster.call("PATCH", path, change, content_type=merge).code == 200
    made(cluster, f"{space}/pods", pod("after"))
    spec = cluster.call("GET", f"{space}/pods/after").json["spec"]
    assert spec["imagePullSecrets"] == [{"name": "registry"}]


def test_limits_of_a_namespace_count_from_the_next_pod_on(cluster: Cluster, space: str) -> None:
    for number in range(3):
        made(cluster, f"{space}/pods", pod(f"before-{number}"))
    limit = {"type": "Container", "default": {"memory": "64Mi"}, "max": {"memory": "128Mi"}}
    made(cluster, f"{space}/limitranges", named("l", spec={"limits": [limit]}))
    made(cluster, f"{space}/pods", pod("after"))
    found = cluster.call("GET", f"{space}/pods/after").json
    resources = found["spec"]["containers"][0]["resources"]
    assert resources == {"limits": {"memory": "64Mi"}, "requests": {"memory": "64Mi"}}
    note = found["metadata"]["annotations"]["kubernetes.io/limit-ranger"]
    assert note.startswith("LimitRanger plugin set: memory request for container ")
    greedy = pod("greedy")
    greedy["spec"]["containers"][0]["resources"] = {"limits": {"memory": "1Gi"}}
    answer = cluster.call("POST", f"{space}/pods", greedy)
    why = (
        'pods "greedy" is forbidden: maximum memory usage per Container is 128Mi, but limit is 1Gi'
    )
    assert _refused(answer, why)


def test_a_stricter_namespace_refuses_the_twin_of_a_pod_it_let_in(
    cluster: Cluster, namespace: str, space: str
) -> None:
    for number in range(3):
        made(cluster, f"{space}/pods", pod(f"before-{number}"))
    labels = {"metadata": {"labels": {ENFORCE: "restricted"}}}
    merge = "application/merge-patch+json"
    path = f"/api/v1/namespaces/{namespace}"
    answer = cluster.call("PATCH", path, labels, content_type=merge)
    assert answer.code == 200
    assert "existing pods in namespace" in answer.headers["warning"]
    answer = cluster.call("POST", f"{space}/pods", pod("after"))
    assert _refused(answer, 'pods "after" is forbidden: violates PodSecurity "restricted:latest": ')
    assert "must set securityContext.allowPrivilegeEscalation=false), " in answer.json["message"]


def test_each_pod_that_would_be_refused_is_warned_of(
    cluster: Cluster, namespace: str, space: str
) -> None:
    labels = {"metadata": {"labels": {WARN: "baseline"}}}
    merge = "application/merge-patch+json"
    path = f"/api/v1/namespaces/{namespace}"
    assert cluster.call("PATCH", path, labels, content_type=merge).code == 200
    for number in range(3):
        obj = pod(f"p-{number}")
        obj["spec"]["hostPID"] = True
        answer = cluster.call("POST", f"{space}/pods", obj)
        assert answer.code == 201
        assert "host namespaces (hostPID=true)" in answer.headers["warning"]


def test_wrong_security_labels_are_refused(cluster: Cluster, namespace: str) -> None:
    obj = named(f"{namespace}-x")
    obj["metadata"]["labels"] = {ENFORCE: "strict"}
    answer = cluster.call("POST", "/api/v1/namespaces", obj)
    assert answer.code == 422
    assert (
        f'metadata.labels[{ENFORCE}]: Invalid value: "strict": must be one of privileged, '
        "baseline, restricted"
    ) in answer.json["message"]


def test_a_quota_is_never_passed_by_concurrent_creates(cluster: Cluster, space: str) -> None:
    _limited(cluster, space, {"pods": "5"})
    with ThreadPoolExecutor(12) as threads:
        answers = list(
            threads.map(lambda n: cluster.call("POST", f"{space}/pods", pod(f"p-{n}")), range(24))
        )
    assert sorted({answer.code for answer in answers}) == [201, 403]
    assert sum(answer.code == 201 for answer in answers) == 5
    assert _used(cluster, space) == {"pods": "5"}
    last = cluster.call("POST", f"{space}/pods", pod("more"))
    assert _refused(
        last,
        'pods "more" is forbidden: exceeded quota: q, requested: pods=1, used: pods=5, '
        "limited: pods=5",
    )


def test_a_dry_run_is_checked_but_takes_nothing_of_a_quota(cluster: Cluster, space: str) -> None:
    _limited(cluster, space, {"count/configmaps": "1"})
    path = f"{space}/configmaps?dryRun=All"
    assert cluster.call("POST", path, named("c")).code == 201
    assert _used(cluster, space) == {"count/configmaps": "0"}
    made(cluster, f"{space}/configmaps", named("c"))
    assert _refused(cluster.call("POST", path, named("d")), "exceeded quota: q, ")


def test_a_quota_of_cpu_wants_pods_to_say_theirs(cluster: Cluster, space: str) -> None:
    _limited(cluster, space, {"requests.cpu": "1"})
    answer = cluster.call("POST", f"{space}/pods", pod("p"))
    assert _refused(answer, "failed quota: q: must specify requests.cpu for: ")


def test_a_scoped_quota_counts_its_pods_only(cluster: Cluster, space: str) -> None:
    _limited(cluster, space, {"pods": "1"}, scopes=["Terminating"])
    made(cluster, f"{space}/pods", pod("plain"))
    made(cluster, f"{space}/pods", pod("plain-2"))
    short = pod("short")
    short["spec"]["activeDeadlineSeconds"] = 10
    made(cluster, f"{space}/pods", short)
    assert _used(cluster, space) == {"pods": "1"}


def test_a_quota_that_was_not_counted_refuses_what_it_counts(cluster: Cluster, space: str) -> None:
    made(cluster, f"{space}/resourcequotas", named("q", spec={"hard": {"secrets": "1"}}))
    quota = cluster.call("GET", f"{space}/resourcequotas/q").json
    quota["status"] = {"hard": {"secrets": "1"}}
    assert cluster.call("PUT", f"{space}/resourcequotas/q/status", quota).code == 200
    answer = cluster.call("POST", f"{space}/secrets", named("s"))
    assert _refused(answer, "status unknown for quota: q, resources: secrets")


def test_a_pods_priority_is_that_of_its_class(cluster: Cluster, space: str) -> None:
    obj = pod("p")
    obj["spec"]["priorityClassName"] = "system-node-critical"
    made(cluster, f"{space}/pods", obj)
    spec = cluster.call("GET", f"{space}/pods/p").json["spec"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (2000001000, "PreemptLowerPriority")
    obj = pod("q")
    obj["spec"]["priorityClassName"] = "nothing"
    answer = cluster.call("POST", f"{space}/pods", obj)
    assert _refused(answer, "no PriorityClass with name nothing was found")
    obj = pod("r")
    obj["spec"]["priority"] = 7
    answer = cluster.call("POST", f"{space}/pods", obj)
    assert _refused(answer, "the integer value of priority (7) must not be provided in pod spec")


def test_a_claim_is_protected_and_grows_only_when_bound(cluster: Cluster, space: str) -> None:
    spec: Json = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    }
    made(cluster, f"{space}/persistentvolumeclaims", named("c", spec=spec))
    claim = cluster.call("GET", f"{space}/persistentvolumeclaims/c").json
    assert claim["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    claim["spec"]["resources"]["requests"]["storage"] = "2Gi"
    answer = cluster.call("PUT", f"{space}/persistentvolumeclaims/c", claim)
    assert answer.code in (403, 422)  # validation sees it first


def test_a_new_node_is_not_ready(cluster: Cluster, namespace: str) -> None:
    made(cluster, "/api/v1/nodes", named(f"node-{namespace}"))
    spec = cluster.call("GET", f"/api/v1/nodes/node-{namespace}").json["spec"]
    assert spec["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]


def test_a_pod_learns_the_zone_of_its_node(cluster: Cluster, namespace: str, space: str) -> None:
    name, zone = f"zoned-{namespace}", "topology.kubernetes.io/zone"
    node = named(name)
    learnt = {zone: "z1", "topology.kubernetes.io/region": "r1"}
    node["metadata"]["labels"] = {**learnt, "topology.kubernetes.io/rack": "k", "other": "x"}
    made(cluster, "/api/v1/nodes", node)
    made(cluster, f"{space}/pods", pod("p"))
    made(cluster, f"{space}/pods/p/binding", named("p", target={"kind": "Node", "name": name}))
    assert cluster.call("GET", f"{space}/pods/p").json["metadata"]["labels"] == learnt
    # One that says something else of its zone is corrected, bound or created there.
    for bound in (True, False):
        wrong = pod(f"q-{bound}".lower(), "" if bound else name)
        wrong["metadata"]["labels"] = {zone: "elsewhere", "app": "q"}
        made(cluster, f"{space}/pods", wrong)
        path = f"{space}/pods/{wrong['metadata']['name']}"
        if bound:
            target = {"kind": "Node", "name": name}
            made(cluster, f"{path}/binding", named(wrong["metadata"]["name"], target=target))
        assert cluster.call("GET", path).json["metadata"]["labels"] == {**learnt, "app": "q"}


def test_a_running_pod_is_resized_only_as_its_node_says_that_it_can(
    cluster: Cluster, namespace: str, space: str
) -> None:
    node = named(f"able-{namespace}")
    node["metadata"]["labels"] = {"kubernetes.io/os": "linux"}
    made(cluster, "/api/v1/nodes", node)
    status: Json = {"allocatable": {"cpu": "8", "memory": "8Gi"}}
    merge = "application/merge-patch+json"
    path = f"/api/v1/nodes/able-{namespace}/status"
    assert cluster.call("PATCH", path, {"status": status}, content_type=merge).code == 200
    obj, amounts = pod("p", f"able-{namespace}"), {"cpu": "1", "memory": "1Gi"}
    obj["spec"]["containers"][0]["resources"] = {"requests": amounts, "limits": amounts}
    made(cluster, f"{space}/pods", obj)
    amounts["cpu"] = "2"
    container = {"name": "main", "resources": {"requests": amounts, "limits": amounts}}
    resize = {"spec": {"containers": [container]}}
    strategic = "application/strategic-merge-patch+json"
    resizing = f"{space}/pods/p/resize"
    assert _refused(
        cluster.call("PATCH", resizing, resize, content_type=strategic),
        "pod update requires features GuaranteedQoSPodCPUResize which are not available on node "
        f'"able-{namespace}"',
    )
    status["declaredFeatures"] = ["GuaranteedQoSPodCPUResize"]
    assert cluster.call("PATCH", path, {"status": status}, content_type=merge).code == 200
    assert cluster.call("PATCH", resizing, resize, content_type=strategic).code == 200


def test_a_pod_group_is_of_a_workload_that_is_there(cluster: Cluster, namespace: str) -> None:
    space = f"/apis/scheduling.k8s.io/v1beta1/namespaces/{namespace}"
    policy = {"basic": {}}
    template = {"name": "t", "schedulingPolicy": policy}

    def group(name: str, wanted: str) -> Answer:
        spec = {
            "workloadRef": {"workloadName": "w", "templateName": wanted},
            "schedulingPolicy": policy,
        }
        return cluster.call("POST", f"{space}/podgroups", named(name, spec=spec))

    assert _refused(group("g", "t"), 'PodGroup rejected: Workload "w" not found')
    made(cluster, f"{space}/workloads", named("w", spec={"podGroupTemplates": [template]}))
    assert _refused(
        group("g", "u"), 'PodGroup rejected: PodGroupTemplate "u" not found in Workload "w"'
    )
    assert group("g", "t").code == 201


def test_a_pod_group_that_is_being_deleted_gets_no_more_pods(
    cluster: Cluster, namespace: str, space: str
) -> None:
    groups = f"/apis/scheduling.k8s.io/v1beta1/namespaces/{namespace}/podgroups"
    group = named("g", spec={"schedulingPolicy": {"basic": {}}})
    group["metadata"]["finalizers"] = ["example.com/held"]
    made(cluster, groups, group)
    member = pod("a")
    member["spec"]["schedulingGroup"] = {"podGroupName": "g"}
    made(cluster, f"{space}/pods", member)
    assert cluster.call("DELETE", f"{groups}/g").code == 200
    member["metadata"]["name"] = "b"
    assert _refused(
        cluster.call("POST", f"{space}/pods", member),
        'cannot create Pod referencing PodGroup "g" because it is being deleted',
    )
    release = {"metadata": {"finalizers": None}}
    merge = "application/merge-patch+json"
    assert cluster.call("PATCH", f"{groups}/g", release, content_type=merge).code == 200
