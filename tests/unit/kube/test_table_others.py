"""What `kubectl get` says of storage, access, control-plane and device types."""

from __future__ import annotations

from typing import Any

import pytest

from kube.table.printers import printer_for

NOW_S = 1_000_000.0
CREATED = "1970-01-12T13:41:40Z"  # 300 s before NOW_S
LATER = "1970-01-12T13:46:30Z"  # 10 s before NOW_S


def cells(resource: str, **obj: Any) -> list[Any]:
    metadata = {"name": "w", "creationTimestamp": CREATED, **obj.pop("metadata", {})}
    return printer_for(resource).cells({"metadata": metadata, **obj}, NOW_S)


def test_volume_shows_claim_and_short_access_modes() -> None:
    spec = {
        "capacity": {"storage": "5Gi"},
        "accessModes": ["ReadWriteMany", "ReadWriteOnce", "ReadWriteMany"],
        "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {"namespace": "n", "name": "c"},
        "storageClassName": "fast",
        "volumeMode": "Filesystem",
    }
    shown = cells("persistentvolumes", spec=spec, status={"phase": "Bound", "reason": "r"})
    assert shown[:6] == ["w", "5Gi", "RWO,RWX", "Retain", "Bound", "n/c"]
    assert shown[6:] == ["fast", "<unset>", "r", "5m", "Filesystem"]


def test_claim_shows_capacity_only_when_bound() -> None:
    status = {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOncePod"]}
    bound = cells("persistentvolumeclaims", spec={"volumeName": "v"}, status=status)
    assert bound[1:5] == ["Bound", "v", "1Gi", "RWOP"]
    pending = cells("persistentvolumeclaims", status={"phase": "Pending"})
    assert pending[1:] == ["Pending", "", "", "", "", "<unset>", "5m", "<unset>"]


def test_deleted_claim_is_terminating() -> None:
    metadata = {"deletionTimestamp": LATER}
    shown = cells("persistentvolumeclaims", metadata=metadata, status={"phase": "Bound"})
    assert shown[1] == "Terminating"


def test_class_annotation_wins_over_the_field() -> None:
    annotations = {"volume.beta.kubernetes.io/storage-class": "old"}
    shown = cells(
        "persistentvolumeclaims",
        metadata={"annotations": annotations},
        spec={"storageClassName": "new"},
    )
    assert shown[5] == "old"


def test_default_storage_class_is_marked() -> None:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
    shown = cells("storage.k8s.io/storageclasses", metadata={"annotations": annotations})
    assert shown == ["w (default)", "", "Delete", "Immediate", False, "5m"]


def test_csi_driver_defaults_are_shown() -> None:
    shown = cells("storage.k8s.io/csidrivers", spec={})
    assert shown == ["w", True, False, False, "<unset>", False, "<none>", "5m"]
    spec = {"tokenRequests": [{"audience": "a"}, {}], "volumeLifecycleModes": ["Ephemeral"]}
    assert cells("storage.k8s.io/csidrivers", spec=spec)[4:7] == ["a,", False, "Ephemeral"]


def test_volume_attachment_shows_its_ends() -> None:
    spec = {"attacher": "csi", "nodeName": "n", "source": {"persistentVolumeName": "v"}}
    shown = cells("storage.k8s.io/volumeattachments", spec=spec, status={"attached": True})
    assert shown == ["w", "csi", "v", "n", True, "5m"]


@pytest.mark.parametrize("kind", ["rolebindings", "clusterrolebindings"])
def test_bindings_sort_subjects_by_kind(kind: str) -> None:
    subjects = [
        {"kind": "ServiceAccount", "namespace": "n", "name": "sa"},
        {"kind": "User", "name": "u1"},
        {"kind": "Group", "name": "g"},
        {"kind": "User", "name": "u2"},
    ]
    role = {"kind": "ClusterRole", "name": "view"}
    shown = cells(f"rbac.authorization.k8s.io/{kind}", roleRef=role, subjects=subjects)
    assert shown == ["w", "ClusterRole/view", "5m", "u1, u2", "g", "n/sa"]


@pytest.mark.parametrize(
    ("kinds", "certificate", "expected"),
    [
        ([], None, "Pending"),
        (["Approved"], None, "Approved"),
        (["Approved"], "LS0=", "Approved,Issued"),
        (["Approved", "Denied"], None, "Denied"),
        (["Approved", "Failed"], None, "Approved,Failed"),
    ],
)
def test_signing_request_shows_conditions_by_precedence(
    kinds: list[str], certificate: str | None, expected: str
) -> None:
    status: dict[str, Any] = {"conditions": [{"type": kind} for kind in kinds]}
    if certificate:
        status["certificate"] = certificate
    resource = "certificates.k8s.io/certificatesigningrequests"
    spec = {"signerName": "s", "username": "u", "expirationSeconds": 3600}
    assert cells(resource, spec=spec, status=status) == ["w", "5m", "s", "u", "60m", expected]


def test_pod_certificate_request_shows_its_outcome() -> None:
    resource = "certificates.k8s.io/podcertificaterequests"
    spec = {"podName": "p", "serviceAccountName": "sa", "nodeName": "n", "signerName": "s"}
    status = {"conditions": [{"type": "Denied", "status": "True"}]}
    shown = cells(resource, spec=spec, status=status)
    assert shown == ["w", "p", "sa", "n", "s", "Denied"]
    assert cells(resource)[-1] == "Pending"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ({}, "<unset>"),
        ({"name": "p"}, "*/p"),
        ({"name": "p", "namespace": "n"}, "n/p"),
        (
            {
                "selector": {
                    "matchLabels": {"b": "2", "a": "1"},
                    "matchExpressions": [{"key": "k", "operator": "In", "values": ["x", "y"]}],
                }
            },
            "&LabelSelector{MatchLabels:map[string]string{a: 1,b: 2,},"
            "MatchExpressions:[]LabelSelectorRequirement{"
            "LabelSelectorRequirement{Key:k,Operator:In,Values:[x y],},},}",
        ),
    ],
)
def test_policy_binding_shows_where_parameters_come_from(
    reference: dict[str, Any], expected: str
) -> None:
    resource = "admissionregistration.k8s.io/validatingadmissionpolicybindings"
    spec = {"policyName": "p", "paramRef": reference} if reference else {"policyName": "p"}
    assert cells(resource, spec=spec) == ["w", "p", expected, "5m"]


def test_admission_policies_count_their_rules() -> None:
    group = "admissionregistration.k8s.io"
    kind = {"apiVersion": "x.io/v1", "kind": "Limit"}
    shown = cells(
        f"{group}/validatingadmissionpolicies", spec={"validations": [{}, {}], "paramKind": kind}
    )
    assert shown == ["w", 2, "x.io/v1/Limit", "5m"]
    shown = cells(f"{group}/mutatingadmissionpolicies", spec={"mutations": [{}]})
    assert shown == ["w", 1, "<unset>", "5m"]
    assert cells(f"{group}/mutatingwebhookconfigurations", webhooks=[{}]) == ["w", 1, "5m"]


def test_flow_schema_tells_whether_its_level_is_missing() -> None:
    resource = "flowcontrol.apiserver.k8s.io/flowschemas"
    spec = {
        "matchingPrecedence": 500,
        "priorityLevelConfiguration": {"name": "exempt"},
        "distinguisherMethod": {"type": "ByUser"},
    }
    status = {"conditions": [{"type": "Dangling", "status": "False"}]}
    shown = cells(resource, spec=spec, status=status)
    assert shown == ["w", "exempt", 500, "ByUser", "5m", "False"]
    assert cells(resource)[3:] == ["<none>", "5m", "?"]


def test_priority_level_shows_queues_only_when_it_queues() -> None:
    resource = "flowcontrol.apiserver.k8s.io/prioritylevelconfigurations"
    queuing = {"queues": 64, "handSize": 6, "queueLengthLimit": 50}
    limited = {"nominalConcurrencyShares": 30, "limitResponse": {"queuing": queuing}}
    shown = cells(resource, spec={"type": "Limited", "limited": limited})
    assert shown == ["w", "Limited", 30, 64, 6, 50, "5m"]
    shown = cells(resource, spec={"type": "Exempt"})
    assert shown == ["w", "Exempt", *["<none>"] * 4, "5m"]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"status": "True", "reason": "Passed"}, "True"),
        ({"status": "False", "reason": "MissingEndpoints"}, "False (MissingEndpoints)"),
        ({"status": "False"}, "False"),
    ],
)
def test_api_service_tells_why_it_is_unavailable(condition: dict[str, str], expected: str) -> None:
    resource = "apiregistration.k8s.io/apiservices"
    status = {"conditions": [condition | {"type": "Available"}]}
    spec = {"service": {"namespace": "kube-system", "name": "metrics"}}
    shown = cells(resource, spec=spec, status=status)
    assert shown == ["w", "kube-system/metrics", expected, "5m"]
    assert cells(resource) == ["w", "Local", "Unknown", "5m"]


def test_leases_and_classes_show_their_holder_and_value() -> None:
    shown = cells("coordination.k8s.io/leases", spec={"holderIdentity": "h"})
    assert shown == ["w", "h", "5m"]
    shown = cells("scheduling.k8s.io/priorityclasses", value=7, preemptionPolicy="Never")
    assert shown == ["w", 7, False, "5m", "Never"]
    assert cells("node.k8s.io/runtimeclasses", handler="runc") == ["w", "runc", "5m"]


@pytest.mark.parametrize(
    ("status", "metadata", "expected"),
    [
        ({}, {}, "pending"),
        ({"allocation": {}}, {}, "allocated"),
        ({"allocation": {}, "reservedFor": [{}]}, {}, "allocated,reserved"),
        ({}, {"deletionTimestamp": LATER}, "deleted"),
        ({"allocation": {}}, {"deletionTimestamp": LATER}, "deleted,allocated"),
    ],
)
def test_resource_claim_state_sums_up(
    status: dict[str, Any], metadata: dict[str, Any], expected: str
) -> None:
    shown = cells("resource.k8s.io/resourceclaims", status=status, metadata=metadata)
    assert shown == ["w", expected, "5m"]


def test_device_taint_rule_shows_the_taint() -> None:
    taint = {"key": "k", "value": "v", "effect": "NoExecute", "timeAdded": LATER}
    shown = cells("resource.k8s.io/devicetaintrules", spec={"taint": taint})
    assert shown == ["w", "k", "v", "NoExecute", "10s", "5m"]


def autoscaler(metrics: list[Any], measured: list[Any]) -> str:
    spec = {
        "scaleTargetRef": {"kind": "Deployment", "name": "d"},
        "metrics": metrics,
        "maxReplicas": 5,
    }
    status = {"currentMetrics": measured, "currentReplicas": 2}
    shown = cells("autoscaling/horizontalpodautoscalers", spec=spec, status=status)
    assert [shown[1], *shown[3:]] == ["Deployment/d", "<unset>", 5, 2, "5m"]
    return str(shown[2])


def resource(target: dict[str, Any], name: str = "cpu") -> dict[str, Any]:
    return {"type": "Resource", "resource": {"name": name, "target": target}}


@pytest.mark.parametrize(
    ("metric", "current", "expected"),
    [
        (resource({"averageUtilization": 80}), {"averageUtilization": 50}, "cpu: 50%/80%"),
        (resource({"averageUtilization": 80}), None, "cpu: <unknown>/80%"),
        (resource({}), {"averageValue": "1"}, "cpu: <unknown>/<auto>"),
        (resource({"averageValue": "100m"}), {"averageValue": "50m"}, "cpu: 50m/100m"),
        (
            {"type": "Pods", "pods": {"target": {"averageValue": "10"}}},
            {"averageValue": "3"},
            "3/10",
        ),
        ({"type": "External", "external": {"target": {"value": "9"}}}, {"value": "3"}, "3/9"),
        (
            {"type": "External", "external": {"target": {"averageValue": "9"}}},
            {"averageValue": "3"},
            "3/9 (avg)",
        ),
        ({"type": "Object", "object": {"target": {"value": "9"}}}, None, "<unknown>/9"),
        (
            {
                "type": "ContainerResource",
                "containerResource": {"name": "memory", "target": {"averageUtilization": 60}},
            },
            {"averageUtilization": 20},
            "memory: 20%/60%",
        ),
        ({"type": "Odd"}, None, "<unknown type>"),
    ],
)
def test_autoscaler_shows_current_against_target(
    metric: dict[str, Any], current: dict[str, str] | None, expected: str
) -> None:
    source = next((key for key in metric if key != "type"), "")
    measured = [{source: {"current": current}}] if current is not None else []
    assert autoscaler([metric], measured) == expected


def test_autoscaler_shows_two_metrics_and_counts_the_rest() -> None:
    metrics = [resource({"averageUtilization": 80}, name) for name in ("a", "b", "c")]
    expected = "a: <unknown>/80%, b: <unknown>/80% + 1 more..."
    assert autoscaler(metrics, []) == expected
    assert autoscaler([], []) == "<none>"
