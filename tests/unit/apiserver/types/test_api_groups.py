"""The smaller API groups: one claim for each rule that users meet."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.types import (
    admissionregistration,
    apiregistration,
    autoscaling,
    certificates,
    coordination,
    discovery,
    flowcontrol,
    node,
    policy,
    rbac,
    resource,
    scheduling,
    storage,
)
from kube.field import FieldError


def texts(errors: list[FieldError]) -> list[str]:
    return [str(error) for error in errors]


GROUP = "rbac.authorization.k8s.io"


def binding(**more: Any) -> dict[str, Any]:
    return {"roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "view"}, **more}


def test_binding_defaults_its_groups() -> None:
    obj = {"roleRef": {"kind": "Role", "name": "a"}, "subjects": [{"kind": "User", "name": "b"}]}
    rbac.HOOKS[f"{GROUP}/rolebindings"].default(obj)
    assert obj["roleRef"]["apiGroup"] == GROUP  # type: ignore[call-overload]
    assert obj["subjects"][0]["apiGroup"] == GROUP  # type: ignore[index]


def test_role_of_a_binding_is_immutable() -> None:
    old = binding()
    new = binding(roleRef={"apiGroup": GROUP, "kind": "ClusterRole", "name": "edit"})
    assert texts(rbac.HOOKS[f"{GROUP}/rolebindings"].validate_update(new, old)) == [
        'roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"ClusterRole",'
        '"Name":"edit"}: cannot change roleRef'
    ]


def test_cluster_binding_takes_no_role_and_names_namespaces() -> None:
    obj = binding(
        roleRef={"apiGroup": GROUP, "kind": "Role", "name": "a"},
        subjects=[{"kind": "ServiceAccount", "name": "b"}],
    )
    assert texts(rbac.validate_cluster_role_binding(obj)) == [
        'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"',
        "subjects[0].namespace: Required value",
    ]


def test_role_rule_is_whole_and_about_resources() -> None:
    assert texts(rbac.validate_role({"rules": [{"nonResourceURLs": ["/x"]}]})) == [
        "rules[0].verbs: Required value: verbs must contain at least one value",
        'rules[0].nonResourceURLs: Invalid value: ["/x"]: '
        "namespaced rules cannot apply to non-resource URLs",
    ]
    assert texts(rbac.validate_cluster_role({"rules": [{"verbs": ["get"]}]})) == [
        "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
        "rules[0].resources: Required value: resource rules must supply at least one resource",
    ]


def test_storage_class_is_defaulted_and_immutable() -> None:
    obj: dict[str, Any] = {"provisioner": "ebs.csi.aws.com"}
    storage.default_class(obj)
    assert obj == {
        "provisioner": "ebs.csi.aws.com",
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
    }
    assert storage.validate_class(obj) == []
    assert texts(storage.validate_class_update(obj | {"reclaimPolicy": "Retain"}, obj)) == [
        "reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden."
    ]


def test_csi_driver_is_defaulted() -> None:
    obj: dict[str, Any] = {"metadata": {"name": "ebs.csi.aws.com"}}
    storage.default_driver(obj)
    assert obj["spec"]["volumeLifecycleModes"] == ["Persistent"]
    assert obj["spec"]["attachRequired"] is True
    assert storage.validate_driver(obj) == []


def test_attachment_has_exactly_one_source() -> None:
    spec = {"attacher": "a.b", "nodeName": "n", "source": {}}
    assert texts(storage.validate_attachment({"spec": spec})) == [
        "spec.source: Required value: "
        "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
    ]


def test_budget_names_one_bound_only() -> None:
    assert policy.validate({"spec": {"minAvailable": "50%"}}) == []
    assert texts(policy.validate({"spec": {"minAvailable": 1, "maxUnavailable": 1}})) == [
        'spec: Invalid value: {"MinAvailable":1,"Selector":null,"MaxUnavailable":1,'
        '"UnhealthyPodEvictionPolicy":null}: minAvailable and maxUnavailable cannot be both set'
    ]
    assert texts(policy.validate({"spec": {"maxUnavailable": "101%"}})) == [
        'spec.maxUnavailable: Invalid value: "101%": must not be greater than 100%'
    ]


def test_system_priorities_are_reserved() -> None:
    obj = {"metadata": {"name": "system-x"}, "value": 1}
    assert texts(scheduling.validate(obj)) == [
        "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for "
        "system use only. error: system-x is not a known system priority class"
    ]
    assert texts(scheduling.validate({"metadata": {"name": "x"}, "value": 2_000_000_000})) == [
        "value: Forbidden: maximum allowed value of a user defined priority is 1000000000"
    ]
    known = {"metadata": {"name": "system-node-critical"}, "value": 2_000_001_000}
    assert scheduling.validate(known) == []


def test_priority_never_changes() -> None:
    assert texts(scheduling.validate_update({"value": 2}, {"value": 1})) == [
        "value: Forbidden: may not be changed in an update."
    ]


def test_slice_is_defaulted_and_of_one_family() -> None:
    obj: dict[str, Any] = {
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["fd00::1"]}],
        "ports": [{"port": 80}],
    }
    discovery.default(obj)
    assert obj["ports"] == [{"port": 80, "name": "", "protocol": "TCP"}]
    assert texts(discovery.validate(obj)) == [
        'endpoints[0].addresses[0]: Invalid value: "fd00::1": must be an IPv4 address'
    ]
    assert texts(discovery.validate_update(obj | {"addressType": "IPv6"}, obj)) == [
        'addressType: Invalid value: "IPv6": field is immutable'
    ]


def test_slice_holds_at_most_a_thousand_endpoints() -> None:
    obj = {"addressType": "IPv4", "endpoints": [{}] * 1001}
    assert texts(discovery.validate(obj)) == [
        "endpoints: Too many: 1001: must have at most 1000 items"
    ]


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        (
            {"leaseDurationSeconds": 0},
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
        ),
        (
            {"leaseTransitions": -1},
            "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
        ),
    ],
)
def test_fault_of_a_lease_is_reported(spec: dict[str, Any], error: str) -> None:
    assert texts(coordination.validate({"spec": spec})) == [error]


def test_lease_updates_name_their_version() -> None:
    hooks = coordination.HOOKS["coordination.k8s.io/leases"]
    assert not hooks.allow_unconditional_update
    assert hooks.allow_create_on_update


def test_runtime_handler_is_immutable() -> None:
    assert node.validate({"handler": "gvisor"}) == []
    assert texts(node.validate_update({"handler": "a"}, {"handler": "b"})) == [
        'handler: Invalid value: "a": field is immutable'
    ]


def test_signing_request_must_be_one() -> None:
    spec = {"request": "bm8=", "signerName": "example", "usages": ["any", "any", "odd"]}
    errors = texts(certificates.validate({"spec": spec}))
    assert errors[0] == (
        'spec.request: Invalid value: "bm8=": PEM block type must be CERTIFICATE REQUEST'
    )
    assert errors[1] == 'spec.usages[1]: Duplicate value: "any"'
    assert errors[2].startswith('spec.usages[2]: Unsupported value: "odd": supported values: "any"')
    assert errors[3] == (
        'spec.signerName: Invalid value: "example": must be a fully qualified domain and path of '
        "the form 'example.com/signer-name'"
    )


def test_approval_is_given_by_approval_only() -> None:
    approved = {"status": {"conditions": [{"type": "Approved", "status": "True"}]}}
    assert texts(certificates.validate_update(approved, {})) == [
        'status.conditions: Forbidden: updates may not add a condition of type "Approved"'
    ]
    assert texts(certificates.validate_update({}, approved)) == [
        'status.conditions: Forbidden: updates may not remove a condition of type "Approved"'
    ]


def autoscaler(**spec: Any) -> dict[str, Any]:
    base = {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 3}
    obj = {"spec": base | spec}
    autoscaling.default(obj)
    return obj


def test_autoscaler_is_defaulted_to_cpu() -> None:
    obj = autoscaler(behavior={})
    assert obj["spec"]["minReplicas"] == 1
    target = {"type": "Utilization", "averageUtilization": 80}
    assert obj["spec"]["metrics"] == [
        {"type": "Resource", "resource": {"name": "cpu", "target": target}}
    ]
    assert obj["spec"]["behavior"]["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert "stabilizationWindowSeconds" not in obj["spec"]["behavior"]["scaleDown"]
    assert autoscaling.validate(obj) == []


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        (
            {"minReplicas": 0},
            "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
        ),
        (
            {"minReplicas": 5},
            "spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`",
        ),
        (
            {"metrics": [{"type": "Pods"}]},
            "spec.metrics[0].pods: Required value: "
            "must populate information for the given metric source",
        ),
        ({"scaleTargetRef": {"kind": "A"}}, "spec.scaleTargetRef.name: Required value"),
    ],
)
def test_fault_of_an_autoscaler_is_reported(spec: dict[str, Any], error: str) -> None:
    assert error in texts(autoscaling.validate(autoscaler(**spec)))


def test_webhook_is_defaulted_and_checked() -> None:
    hook = {
        "name": "a.example.com",
        "clientConfig": {"service": {"name": "a", "namespace": "b"}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "rules": [
            {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
        ],
    }
    obj: dict[str, Any] = {"webhooks": [hook]}
    admissionregistration.default_mutating(obj)
    assert obj["webhooks"][0]["timeoutSeconds"] == 10
    assert obj["webhooks"][0]["clientConfig"]["service"]["port"] == 443
    assert obj["webhooks"][0]["rules"][0]["scope"] == "*"
    assert admissionregistration.validate_webhooks(obj) == []
    obj["webhooks"].append(hook)
    assert texts(admissionregistration.validate_webhooks(obj)) == [
        'webhooks[1].name: Duplicate value: "a.example.com"'
    ]


def test_policy_binding_does_not_deny_and_warn_at_once() -> None:
    spec = {"policyName": "p", "validationActions": ["Deny", "Warn"]}
    (error,) = admissionregistration.validate_validating_binding({"spec": spec})
    assert error.detail.startswith("must not contain both Deny and Warn")


def test_priority_level_is_defaulted_to_upstreams_queues() -> None:
    obj: dict[str, Any] = {
        "metadata": {"name": "a"},
        "spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}},
    }
    flowcontrol.default_level(obj)
    assert obj["spec"]["limited"]["limitResponse"]["queuing"] == {
        "queues": 64,
        "handSize": 8,
        "queueLengthLimit": 50,
    }
    assert obj["spec"]["limited"]["nominalConcurrencyShares"] == 30
    assert flowcontrol.validate_level(obj) == []


def test_api_service_is_named_for_its_version() -> None:
    spec = {
        "group": "a.example.com",
        "version": "v1",
        "groupPriorityMinimum": 1000,
        "versionPriority": 15,
    }
    good = {"metadata": {"name": "v1.a.example.com"}, "spec": spec}
    assert apiregistration.validate(good) == []
    assert texts(apiregistration.validate({"metadata": {"name": "x"}, "spec": spec})) == [
        'metadata.name: Invalid value: "x": '
        'must be `spec.version+"."+spec.group`: "v1.a.example.com"'
    ]


def test_claim_asks_for_one_device_and_never_changes() -> None:
    request = {"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}}
    obj: dict[str, Any] = {"spec": {"devices": {"requests": [request]}}}
    resource.default_claim(obj)
    assert request["exactly"] == {
        "deviceClassName": "gpu.example.com",
        "allocationMode": "ExactCount",
        "count": 1,
    }
    assert resource.validate_claim(obj) == []
    hooks = resource.HOOKS["resource.k8s.io/resourceclaims"]
    assert hooks.validate_update({"spec": {}}, obj)[0].detail == "field is immutable"
