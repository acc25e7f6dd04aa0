"""Defaults, validation and changes of the types that make pods from templates."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from pod_fixtures import make_container, make_template

from apiserver.types.workloads import HOOKS
from kube.json_types import JsonObject

SELECTOR = {"matchLabels": {"app": "web"}}
KINDS = ("apps/deployments", "apps/replicasets", "apps/statefulsets", "apps/daemonsets")


def make(resource: str, **spec: Any) -> JsonObject:
    """Return a decoded workload of type `resource`."""
    body: JsonObject = {"selector": copy.deepcopy(SELECTOR), "template": make_template()}
    if resource == "replicationcontrollers":
        body["selector"] = {"app": "web"}
    return {"metadata": {"name": "web", "namespace": "d"}, "spec": {**body, **copy.deepcopy(spec)}}


def created(resource: str, obj: JsonObject) -> JsonObject:
    hooks = HOOKS[resource]
    hooks.default(obj)
    hooks.prepare_create(obj)
    return obj


def faults(resource: str, **spec: Any) -> list[str]:
    obj = created(resource, make(resource, **spec))
    return [str(error) for error in HOOKS[resource].validate_create(obj)]


def change_faults(resource: str, change: Callable[[JsonObject], None], **spec: Any) -> list[str]:
    old = created(resource, make(resource, **spec))
    new = copy.deepcopy(old)
    change(new)
    hooks = HOOKS[resource]
    hooks.default(new)
    hooks.prepare_update(new, old)
    return [str(error) for error in hooks.validate_update(new, old)]


def _set(name: str, value: Any) -> Callable[[JsonObject], None]:
    def change(obj: JsonObject) -> None:
        obj["spec"][name] = value

    return change


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (
            "apps/deployments",
            {
                "replicas": 1,
                "strategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
                },
                "revisionHistoryLimit": 10,
                "progressDeadlineSeconds": 600,
            },
        ),
        ("apps/replicasets", {"replicas": 1}),
        ("replicationcontrollers", {"replicas": 1}),
        (
            "apps/statefulsets",
            {
                "replicas": 1,
                "revisionHistoryLimit": 10,
                "podManagementPolicy": "OrderedReady",
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
                "persistentVolumeClaimRetentionPolicy": {
                    "whenDeleted": "Retain",
                    "whenScaled": "Retain",
                },
            },
        ),
        (
            "apps/daemonsets",
            {
                "revisionHistoryLimit": 10,
                "updateStrategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
                },
            },
        ),
    ],
)
def test_defaults(resource: str, expected: dict[str, Any]) -> None:
    obj = make(resource)
    HOOKS[resource].default(obj)
    once = copy.deepcopy(obj)
    spec = obj["spec"]
    assert spec["template"]["spec"]["dnsPolicy"] == "ClusterFirst"
    assert "enableServiceLinks" not in spec["template"]["spec"]
    spec.pop("selector"), spec.pop("template")
    assert spec == expected
    again = copy.deepcopy(once)
    HOOKS[resource].default(again)
    assert again == once


@pytest.mark.parametrize(
    ("resource", "status"),
    [
        ("apps/deployments", {}),
        ("apps/replicasets", {"replicas": 0}),
        ("replicationcontrollers", {"replicas": 0}),
        ("apps/statefulsets", {"replicas": 0, "availableReplicas": 0}),
        (
            "apps/daemonsets",
            {
                "currentNumberScheduled": 0,
                "numberMisscheduled": 0,
                "desiredNumberScheduled": 0,
                "numberReady": 0,
            },
        ),
    ],
)
def test_a_create_starts_with_an_empty_status(resource: str, status: dict[str, int]) -> None:
    obj = make(resource)
    obj["status"] = {"replicas": 99}
    assert created(resource, obj)["status"] == status
    assert HOOKS[resource].validate_create(obj) == []


def test_a_controller_takes_selector_and_labels_from_its_template() -> None:
    obj = make("replicationcontrollers")
    del obj["spec"]["selector"]
    HOOKS["replicationcontrollers"].default(obj)
    assert obj["spec"]["selector"] == obj["metadata"]["labels"] == {"app": "web"}


def test_claim_templates_get_kind_mode_and_phase() -> None:
    obj = make("apps/statefulsets", volumeClaimTemplates=[{"metadata": {"name": "data"}}])
    HOOKS["apps/statefulsets"].default(obj)
    assert obj["spec"]["volumeClaimTemplates"] == [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data"},
            "spec": {"volumeMode": "Filesystem"},
            "status": {"phase": "Pending"},
        }
    ]


@pytest.mark.parametrize("resource", KINDS)
def test_the_selector_selects_the_template(resource: str) -> None:
    assert faults(resource, template=make_template({"app": "other"})) == [
        'spec.template.metadata.labels: Invalid value: {"app":"other"}: '
        "`selector` does not match template `labels`"
    ]


@pytest.mark.parametrize("resource", ["apps/deployments", "apps/replicasets", "apps/statefulsets"])
def test_a_missing_selector_selects_nothing(resource: str) -> None:
    obj = make(resource)
    del obj["spec"]["selector"]
    errors = HOOKS[resource].validate_create(created(resource, obj))
    assert [str(error) for error in errors] == [
        "spec.selector: Required value",
        'spec.template.metadata.labels: Invalid value: {"app":"web"}: '
        "`selector` does not match template `labels`",
    ]


@pytest.mark.parametrize(
    ("resource", "kind"),
    [
        ("apps/deployments", "deployment"),
        ("apps/replicasets", "deployment"),
        ("apps/statefulsets", "statefulset"),
        ("apps/daemonsets", "daemonset"),
    ],
)
def test_an_empty_selector_is_refused(resource: str, kind: str) -> None:
    assert faults(resource, selector={}) == [
        f"spec.selector: Invalid value: {{}}: empty selector is invalid for {kind}"
    ]


@pytest.mark.parametrize(
    ("resource", "kind"),
    [
        ("apps/deployments", "ReplicaSet"),
        ("apps/replicasets", "ReplicaSet"),
        ("apps/statefulsets", "StatefulSet"),
        ("apps/daemonsets", "DaemonSet"),
        ("replicationcontrollers", "ReplicationController"),
    ],
)
def test_pods_of_workloads_run_for_good(resource: str, kind: str) -> None:
    template = make_template(restartPolicy="Never", activeDeadlineSeconds=5)
    assert faults(resource, template=template) == [
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
        "spec.template.spec.activeDeadlineSeconds: Forbidden: "
        f"activeDeadlineSeconds in {kind} is not Supported",
    ]


@pytest.mark.parametrize("resource", ["apps/deployments", "apps/replicasets", "apps/daemonsets"])
def test_templates_are_checked_as_pods_are(resource: str) -> None:
    template = make_template(containers=[make_container("UPPER")])
    assert [fault.split(":")[0] for fault in faults(resource, template=template)] == [
        "spec.template.spec.containers[0].name"
    ]


@pytest.mark.parametrize("resource", ["apps/deployments", "apps/replicasets", "apps/daemonsets"])
def test_selectors_are_immutable(resource: str) -> None:
    labels = {"app": "web", "tier": "x"}
    change = _set("selector", {"matchLabels": labels})
    assert change_faults(resource, change, template=make_template(labels)) == [
        'spec.selector: Invalid value: {"matchLabels":{"app":"web","tier":"x"}}: field is immutable'
    ]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"replicas": -1},
            ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            {"progressDeadlineSeconds": 5, "minReadySeconds": 5},
            [
                "spec.progressDeadlineSeconds: Invalid value: 5: "
                "must be greater than minReadySeconds"
            ],
        ),
        (
            {"strategy": {"type": "Recreate", "rollingUpdate": {}}},
            [
                "spec.strategy.rollingUpdate: Forbidden: "
                "may not be specified when strategy `type` is 'Recreate'"
            ],
        ),
        (
            {"strategy": {"type": "Blue"}},
            [
                'spec.strategy: Unsupported value: {"type":"Blue"}: supported values: '
                '"Recreate", "RollingUpdate"'
            ],
        ),
        (
            {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}},
            [
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: "
                "may not be 0 when `maxSurge` is 0"
            ],
        ),
        (
            {"strategy": {"rollingUpdate": {"maxUnavailable": "101%"}}},
            [
                'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": '
                "must not be greater than 100%"
            ],
        ),
    ],
)
def test_deployments(spec: dict[str, Any], expected: list[str]) -> None:
    assert faults("apps/deployments", **spec) == expected


@pytest.mark.parametrize(
    ("rolling", "expected"),
    [
        ({"maxSurge": 1, "maxUnavailable": 0}, []),
        (
            {"maxSurge": 1},
            [
                "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: "
                "may not be set when maxUnavailable is non-zero"
            ],
        ),
        (
            {"maxUnavailable": 0},
            [
                "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: "
                "cannot be 0 when maxSurge is 0"
            ],
        ),
    ],
)
def test_daemon_sets_roll_one_way(rolling: JsonObject, expected: list[str]) -> None:
    assert faults("apps/daemonsets", updateStrategy={"rollingUpdate": rolling}) == expected


def test_the_template_generation_counts_template_changes() -> None:
    key = "deprecated.daemonset.template.generation"
    hooks = HOOKS["apps/daemonsets"]
    old = created("apps/daemonsets", make("apps/daemonsets"))
    assert old["metadata"]["annotations"][key] == "1"
    new = copy.deepcopy(old)
    new["spec"]["minReadySeconds"] = 5
    hooks.prepare_update(new, old)
    assert new["metadata"]["annotations"][key] == "1"
    new["spec"]["template"]["spec"]["hostname"] = "h"
    hooks.prepare_update(new, old)
    assert new["metadata"]["annotations"][key] == "2"


@pytest.mark.parametrize("name", ["replicas", "minReadySeconds", "revisionHistoryLimit"])
def test_stateful_sets_may_change_counts(name: str) -> None:
    assert change_faults("apps/statefulsets", _set(name, 5)) == []


def test_stateful_sets_may_change_little_else() -> None:
    assert change_faults("apps/statefulsets", _set("serviceName", "other")) == [
        "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', "
        "'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', "
        "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
    ]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"podManagementPolicy": "Random"},
            [
                'spec.podManagementPolicy: Invalid value: "Random": '
                "must be 'OrderedReady' or 'Parallel'"
            ],
        ),
        (
            {"updateStrategy": {"type": "OnDelete", "rollingUpdate": {}}},
            [
                "spec.updateStrategy.rollingUpdate: Invalid value: {}: "
                "only allowed for updateStrategy 'RollingUpdate'"
            ],
        ),
        (
            {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Drop"}},
            [
                "spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: "
                '"Drop": supported values: "Retain", "Delete"'
            ],
        ),
        (
            {"ordinals": {"start": -1}},
            ["spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0"],
        ),
    ],
)
def test_stateful_sets(spec: dict[str, Any], expected: list[str]) -> None:
    assert faults("apps/statefulsets", **spec) == expected


def test_stateful_set_names_are_labels() -> None:
    check = HOOKS["apps/statefulsets"].name_check
    assert check is not None
    assert check("a.b", False)  # noqa: FBT003 (the protocol of name checks)


@pytest.mark.parametrize(
    ("resource", "status", "expected"),
    [
        (
            "apps/deployments",
            {"replicas": 1, "readyReplicas": 2},
            [
                "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
            ],
        ),
        (
            "apps/replicasets",
            {"replicas": 3, "availableReplicas": 2, "readyReplicas": 1},
            ["status.availableReplicas: Invalid value: 2: cannot be greater than readyReplicas"],
        ),
        (
            "apps/statefulsets",
            {"replicas": 0, "collisionCount": -1},
            ["status.collisionCount: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            "apps/daemonsets",
            {"numberReady": -1},
            ["status.numberReady: Invalid value: -1: must be greater than or equal to 0"],
        ),
    ],
)
def test_statuses(resource: str, status: JsonObject, expected: list[str]) -> None:
    old = created(resource, make(resource))
    new = {**old, "status": status}
    assert [str(error) for error in HOOKS[resource].validate_status(new, old)] == expected


def test_the_collision_count_only_rises() -> None:
    old = created("apps/deployments", make("apps/deployments"))
    old["status"] = {"collisionCount": 2}
    new = {**old, "status": {}}
    errors = HOOKS["apps/deployments"].validate_status(new, old)
    assert [str(error) for error in errors] == [
        "status.collisionCount: Invalid value: 0: cannot be decremented"
    ]


def test_controller_revisions_are_immutable() -> None:
    hooks = HOOKS["apps/controllerrevisions"]
    assert [str(error) for error in hooks.validate_create({"revision": -1})] == [
        "data: Required value: data is mandatory",
        "revision: Invalid value: -1: must be greater than or equal to 0",
    ]
    old, new = {"data": {"a": 1}, "revision": 1}, {"data": {"a": 2}, "revision": 2}
    assert [str(error) for error in hooks.validate_update(new, old)] == [
        'data: Invalid value: {"a":2}: field is immutable'
    ]


def test_pod_templates_are_defaulted_and_checked() -> None:
    hooks = HOOKS["podtemplates"]
    obj = {"metadata": {"name": "t"}, "template": make_template(containers=[])}
    hooks.default(obj)
    assert [str(error) for error in hooks.validate_create(obj)] == [
        "template.spec.containers: Required value"
    ]
    assert hooks.spec_keys == ("template",)
