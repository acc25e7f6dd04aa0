"""What may change in a pod, by which endpoint, and how refusals are worded."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from pod_fixtures import PODS, created, make_container, make_pod, make_template

from apiserver.types.pods import resize, subresources
from apiserver.types.pods.conditions import set_condition
from apiserver.types.pods.warnings import template_warnings
from kube.json_types import JsonObject
from kube.status import StatusError

NOW = "2026-01-02T03:04:05Z"


def updated(change: Callable[[JsonObject], None], **spec: Any) -> list[str]:
    """Return what an update that does `change` to a stored pod complains of."""
    old = created(make_pod(**spec))
    new = copy.deepcopy(old)
    change(new)
    return [str(error) for error in PODS.validate_update(new, old)]


def _set(name: str, value: Any) -> Callable[[JsonObject], None]:
    def change(pod: JsonObject) -> None:
        pod["spec"][name] = value

    return change


def test_a_create_sets_phase_and_qos() -> None:
    assert created(make_pod())["status"] == {"phase": "Pending", "qosClass": "BestEffort"}


@pytest.mark.parametrize(
    ("resources", "qos"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "0"}}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        (
            {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}},
            "Burstable",
        ),
    ],
)
def test_qos_class_follows_resources(resources: JsonObject, qos: str) -> None:
    pod = created(make_pod(containers=[make_container(resources=resources)]))
    assert pod["status"]["qosClass"] == qos


def test_one_container_without_limits_makes_a_pod_burstable() -> None:
    limits = {"limits": {"cpu": "1", "memory": "1Gi"}}
    containers = [make_container("a", resources=limits), make_container("b")]
    assert created(make_pod(containers=containers))["status"]["qosClass"] == "Burstable"


def test_a_gated_pod_says_so_from_the_start() -> None:
    condition = created(make_pod(schedulingGates=[{"name": "a"}]))["status"]["conditions"][0]
    assert (condition["type"], condition["reason"]) == ("PodScheduled", "SchedulingGated")


def test_match_label_keys_become_selectors() -> None:
    constraint = {
        "maxSkew": 1,
        "topologyKey": "z",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {},
        "matchLabelKeys": ["app", "absent"],
    }
    pod = make_pod(topologySpreadConstraints=[constraint])
    pod["metadata"]["labels"] = {"app": "web"}
    selector = created(pod)["spec"]["topologySpreadConstraints"][0]["labelSelector"]
    assert selector == {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}


def test_app_armor_annotations_become_fields() -> None:
    pod = make_pod()
    key = "container.apparmor.security.beta.kubernetes.io/app"
    pod["metadata"]["annotations"] = {key: "localhost/strict"}
    context = created(pod)["spec"]["containers"][0]["securityContext"]
    assert context["appArmorProfile"] == {"type": "Localhost", "localhostProfile": "strict"}


@pytest.mark.parametrize(
    ("spec", "phase", "grace_s"),
    [
        ({"nodeName": "n"}, "Running", 30),
        ({}, "Pending", 0),
        ({"nodeName": "n"}, "Succeeded", 0),
        ({"nodeName": "n"}, "Failed", 0),
        ({"nodeName": "n", "terminationGracePeriodSeconds": 5}, "Running", 5),
        ({"nodeName": "n", "terminationGracePeriodSeconds": -5}, "Running", 1),
    ],
)
def test_grace_of_a_delete(spec: dict[str, Any], phase: str, grace_s: int) -> None:
    pod = created(make_pod(**spec))
    pod["status"]["phase"] = phase
    assert PODS.grace_period is not None
    assert PODS.grace_period(pod, None) == grace_s


def test_selectable_fields() -> None:
    pod = created(make_pod(nodeName="n", hostNetwork=True))
    pod["status"]["podIPs"] = [{"ip": "10.0.0.9"}]
    assert {name: value(pod) for name, value in PODS.fields.items()} == {
        "spec.nodeName": "n",
        "spec.restartPolicy": "Always",
        "spec.schedulerName": "default-scheduler",
        "spec.serviceAccountName": "",
        "spec.hostNetwork": "true",
        "status.phase": "Pending",
        "status.podIP": "10.0.0.9",
        "status.nominatedNodeName": "",
    }


def _new_image(pod: JsonObject) -> None:
    pod["spec"]["containers"][0]["image"] = "nginx:2"


def _no_image(pod: JsonObject) -> None:
    del pod["spec"]["containers"][0]["image"]


def _one_more(pod: JsonObject) -> None:
    pod["spec"]["containers"].append(copy.deepcopy(pod["spec"]["containers"][0]))
    pod["spec"]["containers"][1]["name"] = "b"


@pytest.mark.parametrize(
    ("change", "before", "expected"),
    [
        (_new_image, {}, []),
        (
            _no_image,
            {},
            ["spec.containers[0].image: Required value"] * 2,
        ),
        (
            _one_more,
            {},
            ["spec.containers: Forbidden: pod updates may not add or remove containers"],
        ),
        (_set("activeDeadlineSeconds", 10), {}, []),
        (_set("activeDeadlineSeconds", 5), {"activeDeadlineSeconds": 10}, []),
        (
            _set("activeDeadlineSeconds", 11),
            {"activeDeadlineSeconds": 10},
            [
                "spec.activeDeadlineSeconds: Invalid value: 11: "
                "must be less than or equal to previous value"
            ],
        ),
        (
            _set("tolerations", [{"key": "a", "operator": "Exists"}]),
            {},
            [],
        ),
        (
            _set("tolerations", []),
            {"tolerations": [{"key": "a", "operator": "Exists"}]},
            [
                "spec.tolerations: Forbidden: "
                "existing toleration can not be modified except its tolerationSeconds"
            ],
        ),
        (_set("schedulingGates", []), {"schedulingGates": [{"name": "a"}]}, []),
        (
            _set("schedulingGates", [{"name": "a"}, {"name": "b"}]),
            {"schedulingGates": [{"name": "a"}]},
            [
                "spec.schedulingGates[1].name: Forbidden: "
                "only deletion is allowed, but found new scheduling gate 'b'"
            ],
        ),
        (
            _set("nodeSelector", {"a": "b"}),
            {"schedulingGates": [{"name": "a"}]},
            [],
        ),
        (
            _set("nodeSelector", {}),
            {"schedulingGates": [{"name": "a"}], "nodeSelector": {"a": "b"}},
            [
                "spec.nodeSelector: Invalid value: {}: "
                "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
            ],
        ),
        (
            _set("terminationGracePeriodSeconds", 1),
            {"terminationGracePeriodSeconds": -3},
            [],
        ),
    ],
)
def test_updates(
    change: Callable[[JsonObject], None], before: dict[str, Any], expected: list[str]
) -> None:
    assert updated(change, **before) == expected


def test_other_changes_are_refused_with_a_diff() -> None:
    (fault,) = updated(_set("hostname", "other"))
    assert fault.startswith(
        "spec: Forbidden: pod updates may not change fields other than "
        "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
        "`spec.tolerations` (only additions to existing tolerations),"
        "`spec.terminationGracePeriodSeconds` "
        "(allow it to be set to 1 if it was previously negative)\n"
    )
    assert '+ \tHostname: "other",' in fault


def test_mirror_annotation_cannot_be_added() -> None:
    def change(pod: JsonObject) -> None:
        pod["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}

    assert (
        "metadata.annotations[kubernetes.io/config.mirror]: Forbidden: "
        "may not add mirror pod annotation"
    ) in updated(change, nodeName="n")


def _with_status(**status: Any) -> tuple[JsonObject, JsonObject]:
    old = created(make_pod(restartPolicy="Never"))
    new = copy.deepcopy(old)
    new["status"] = {**old["status"], **status}
    return new, old


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}]}, []),
        (
            {"qosClass": "Guaranteed"},
            ['status.qosClass: Invalid value: "Guaranteed": field is immutable'],
        ),
        (
            {"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]},
            [
                'status.podIPs: Invalid value: [{"ip":"10.0.0.1"},{"ip":"10.0.0.2"}]: '
                "may specify no more than one IP for each IP family"
            ],
        ),
        (
            {"hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.2"}]},
            ['status.hostIPs[0].ip: Invalid value: "10.0.0.2": must be equal to `hostIP`'],
        ),
        (
            {"resourceClaimStatuses": [{"name": "c"}]},
            [
                'status.resourceClaimStatuses[0].name: Invalid value: "c": '
                "must match the name of an entry in `spec.resourceClaims`"
            ],
        ),
    ],
)
def test_status_updates(status: dict[str, Any], expected: list[str]) -> None:
    new, old = _with_status(**status)
    assert [str(error) for error in PODS.validate_status(new, old)] == expected


def test_an_ended_container_stays_ended() -> None:
    new, old = _with_status(containerStatuses=[{"name": "app", "state": {"running": {}}}])
    old["status"]["containerStatuses"] = [{"name": "app", "state": {"terminated": {"exitCode": 0}}}]
    assert [str(error) for error in PODS.validate_status(new, old)] == [
        "status.containerStatuses[0].state: Forbidden: "
        "may not be transitioned to non-terminated state"
    ]


def test_a_status_update_keeps_qos_and_owners() -> None:
    new, old = _with_status()
    old["metadata"]["ownerReferences"] = [{"name": "rs"}]
    del new["status"]["qosClass"]
    PODS.prepare_status(new, old)
    assert new["status"]["qosClass"] == "BestEffort"
    assert new["metadata"]["ownerReferences"] == [{"name": "rs"}]


def _binding(node: str = "n1", **meta: Any) -> JsonObject:
    return {"metadata": {"name": "web", **meta}, "target": {"kind": "Node", "name": node}}


def test_binding_assigns_the_node_and_says_so() -> None:
    pod = created(make_pod())
    subresources.assign_pod_to_node(pod, _binding(annotations={"a": "b"}), NOW)
    assert pod["spec"]["nodeName"] == "n1"
    assert pod["metadata"]["annotations"] == {"a": "b"}
    assert pod["status"]["conditions"] == [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": NOW}
    ]


@pytest.mark.parametrize(
    ("spec", "meta", "why"),
    [
        ({"nodeName": "n0"}, {}, 'pod web is already assigned to node "n0"'),
        (
            {},
            {"deletionTimestamp": NOW},
            "pod web is being deleted, cannot be assigned to a host",
        ),
        ({"schedulingGates": [{"name": "a"}]}, {}, "pod web has non-empty .spec.schedulingGates"),
    ],
)
def test_bindings_are_refused(spec: dict[str, Any], meta: dict[str, Any], why: str) -> None:
    pod = created(make_pod(**spec))
    pod["metadata"].update(meta)
    with pytest.raises(StatusError) as caught:
        subresources.assign_pod_to_node(pod, _binding(), NOW)
    assert caught.value.code == 409
    expected = f'Operation cannot be fulfilled on pods/binding "web": {why}'
    assert caught.value.message == expected


def test_a_binding_of_another_uid_is_refused() -> None:
    pod = created(make_pod())
    pod["metadata"]["uid"] = "1"
    with pytest.raises(StatusError, match="UID in precondition: 2"):
        subresources.assign_pod_to_node(pod, _binding(uid="2"), NOW)


def test_binding_faults() -> None:
    binding = {"metadata": {"name": "web"}, "target": {"kind": "Pod"}}
    assert [str(error) for error in subresources.validate_binding(binding)] == [
        'target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>"',
        "target.name: Required value",
    ]
    with pytest.raises(StatusError, match="name in URL does not match"):
        subresources.check_binding_name("other", binding)


def test_conditions_move_only_when_their_status_does() -> None:
    status: JsonObject = {}
    assert set_condition(status, {"type": "T", "status": "True"}, "t1")
    assert not set_condition(status, {"type": "T", "status": "True"}, "t2")
    assert set_condition(status, {"type": "T", "status": "False"}, "t3")
    assert status["conditions"][0]["lastTransitionTime"] == "t3"


def _ephemeral(
    old: JsonObject, change: Callable[[JsonObject], None]
) -> tuple[JsonObject, list[str]]:
    new = copy.deepcopy(old)
    change(new)
    PODS.default(new)
    subresources.prepare_ephemeral_containers(new, old)
    errors = subresources.validate_ephemeral_containers(new, old)
    return new, [str(error) for error in errors]


def test_ephemeral_containers_are_added_and_nothing_else() -> None:
    def change(pod: JsonObject) -> None:
        pod["spec"]["ephemeralContainers"] = [make_container("debug")]
        pod["spec"]["hostname"] = "ignored"

    new, errors = _ephemeral(created(make_pod()), change)
    assert errors == []
    assert "hostname" not in new["spec"]


def test_ephemeral_containers_cannot_go_away_or_change() -> None:
    old, _ = _ephemeral(created(make_pod()), _set("ephemeralContainers", [make_container("d")]))
    _, errors = _ephemeral(old, _set("ephemeralContainers", []))
    prefix = 'spec.ephemeralContainers: Forbidden: existing ephemeral containers "d" may not be'
    assert errors == [f"{prefix} removed\n"]
    _, errors = _ephemeral(old, _set("ephemeralContainers", [make_container("d", image="busybox")]))
    assert [error.startswith(f"{prefix} changed\n") for error in errors] == [True]


@pytest.mark.parametrize("key", ["ports", "livenessProbe", "lifecycle"])
def test_ephemeral_containers_lack_some_fields(key: str) -> None:
    value: Any = [{"containerPort": 1}] if key == "ports" else {"exec": {"command": ["a"]}}
    if key == "lifecycle":
        value = {"preStop": value}
    one = make_container("d", **{key: value})
    _, errors = _ephemeral(created(make_pod()), _set("ephemeralContainers", [one]))
    expected = (
        f"spec.ephemeralContainers[0].{key}: Forbidden: cannot be set for an Ephemeral Container"
    )
    assert expected in errors


def _resized(resources: JsonObject, to: JsonObject) -> list[str]:
    old = created(make_pod(containers=[make_container(resources=resources)]))
    new = copy.deepcopy(old)
    new["spec"]["containers"][0]["resources"] = to
    new["spec"]["hostname"] = "ignored"
    PODS.default(new)
    resize.prepare_resize(new, old)
    return [str(error) for error in resize.validate_resize(new, old)]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"requests": {"cpu": "1"}}, {"requests": {"cpu": "2"}}, []),
        (
            {"requests": {"cpu": "1", "memory": "1Gi"}},
            {"requests": {"cpu": "1"}},
            [
                "spec.containers[0].resources.requests: Forbidden: "
                "resource requests cannot be removed"
            ],
        ),
        (
            {"requests": {"cpu": "1"}},
            {"requests": {"cpu": "1", "ephemeral-storage": "1Gi"}},
            ["spec: Forbidden: only cpu and memory resources are mutable"],
        ),
        (
            {"requests": {"cpu": "1", "memory": "1Gi"}},
            {"limits": {"cpu": "1", "memory": "1Gi"}},
            [
                'spec: Invalid value: "Burstable": '
                "Pod QOS Class may not change as a result of resizing"
            ],
        ),
    ],
)
def test_resizes(before: JsonObject, after: JsonObject, expected: list[str]) -> None:
    assert _resized(before, after) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"nodeSelector": {"beta.kubernetes.io/os": "linux"}},
            [
                "template.spec.nodeSelector[beta.kubernetes.io/os]: "
                'deprecated since v1.14; use "kubernetes.io/os" instead'
            ],
        ),
        (
            {"volumes": [{"name": "v", "gitRepo": {}}]},
            ["template.spec.volumes[0].gitRepo: deprecated in v1.11"],
        ),
        (
            {"terminationGracePeriodSeconds": -1},
            [
                "template.spec.terminationGracePeriodSeconds: must be >= 0; "
                "negative values are invalid and will be treated as 1"
            ],
        ),
        (
            {"containers": [make_container(env=[{"name": "A"}, {"name": "A"}])]},
            [
                'template.spec.containers[0].env[1]: hides previous definition of "A", '
                "which may be dropped when using apply"
            ],
        ),
        (
            {"containers": [make_container(resources={"limits": {"memory": "100m"}})]},
            [
                "template.spec.containers[0].resources.limits[memory]: "
                'fractional byte value "100m" is invalid, must be an integer'
            ],
        ),
        (
            {"containers": [make_container(ports=[{"containerPort": 1}, {"containerPort": 1}])]},
            [
                "template.spec.containers[0].ports[1]: "
                "duplicate port definition with template.spec.containers[0].ports[0]"
            ],
        ),
        (
            {"imagePullSecrets": [{"name": "a"}, {"name": "a"}]},
            ['template.spec.imagePullSecrets[1].name: duplicate name "a"'],
        ),
    ],
)
def test_warnings(spec: dict[str, Any], expected: list[str]) -> None:
    assert template_warnings(make_template(**spec), "template") == expected


def test_a_name_that_is_no_host_name_is_warned_of() -> None:
    pod = created(make_pod())
    pod["metadata"]["name"] = "a.b"
    assert PODS.warnings(pod, None) == [
        "metadata.name: this is used in the Pod's hostname, which can result in surprising "
        "behavior; a DNS label is recommended: [must not contain dots]"
    ]
    assert PODS.warnings(pod, pod) == []
