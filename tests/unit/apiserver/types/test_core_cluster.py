"""Node, volumes and claims, quotas, limit ranges and Endpoints."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from apiserver.types.core import (
    endpoints,
    limit_ranges,
    nodes,
)
from apiserver.types.core import (
    persistent_volume_claims as claims,
)
from apiserver.types.core import (
    persistent_volumes as volumes,
)
from apiserver.types.core import (
    resource_quotas as quotas,
)
from kube.field import FieldError


def texts(errors: list[FieldError]) -> list[str]:
    return [str(error) for error in errors]


def test_node_is_allocatable_to_its_capacity_and_agrees_on_ranges() -> None:
    node: dict[str, Any] = {
        "spec": {"podCIDRs": ["10.1.0.0/24"]},
        "status": {"capacity": {"cpu": "4"}},
    }
    nodes.default(node)
    assert node["status"]["allocatable"] == {"cpu": "4"}
    assert node["spec"]["podCIDR"] == "10.1.0.0/24"


@pytest.mark.parametrize(
    ("node", "error"),
    [
        (
            {"spec": {"taints": [{"key": "a", "effect": "Odd"}]}},
            'metadata.taints[0].effect: Unsupported value: "Odd": supported values: '
            '"NoSchedule", "PreferNoSchedule", "NoExecute"',
        ),
        (
            {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}] * 2}},
            'metadata.taints[1]: Duplicate value: {"Key":"a","Value":"","Effect":"NoSchedule",'
            '"TimeAdded":null}: taints must be unique by key and effect pair',
        ),
        (
            {"spec": {"podCIDRs": ["10.0.0.0/24", "10.0.1.0/24"]}},
            'spec.podCIDRs: Invalid value: ["10.0.0.0/24","10.0.1.0/24"]: '
            "may specify no more than one CIDR for each IP family",
        ),
        (
            {"status": {"capacity": {"cpu": "-1"}}},
            'status.capacity.cpu: Invalid value: "-1": must be greater than or equal to 0',
        ),
        (
            {"status": {"allocatable": {"example.com/gpu": "1500m"}}},
            'status.allocatable.example.com/gpu: Invalid value: "1500m": must be an integer',
        ),
    ],
)
def test_fault_of_a_node_is_reported(node: dict[str, Any], error: str) -> None:
    assert texts(nodes.validate(node)) == [error]


def test_node_identity_is_set_once() -> None:
    old = {"spec": {"podCIDRs": ["10.0.0.0/24"], "providerID": "aws:///1"}}
    new = {"spec": {"podCIDRs": ["10.0.1.0/24"], "providerID": "aws:///2"}}
    assert nodes.validate_update(old, {"spec": {}}) == []
    assert texts(nodes.validate_update(new, old)) == [
        'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid',
        'spec.providerID: Forbidden: node updates may not change providerID except from "" to '
        "valid",
    ]


def volume(**spec: Any) -> dict[str, Any]:
    base = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}
    csi = {"driver": "ebs.csi.aws.com", "volumeHandle": "vol-1"}
    obj = {"metadata": {"name": "pv"}, "spec": base | {"csi": csi} | spec}
    obj["spec"] = {key: value for key, value in obj["spec"].items() if value is not None}
    volumes.default(obj)
    return obj


def test_volume_gets_its_defaults() -> None:
    spec = volume()["spec"]
    assert spec["persistentVolumeReclaimPolicy"] == "Retain"
    assert spec["volumeMode"] == "Filesystem"
    assert volumes.validate(volume()) == []


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ({"csi": None}, "spec: Required value: must specify a volume type"),
        (
            {"nfs": {"server": "a", "path": "/"}},
            "spec.csi: Forbidden: may not specify more than 1 volume type",
        ),
        ({"accessModes": []}, "spec.accessModes: Required value"),
        (
            {"accessModes": ["ReadWriteOncePod", "ReadWriteMany"]},
            "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes",
        ),
        (
            {"capacity": {"storage": "0"}},
            'spec.capacity[storage]: Invalid value: "0": must be greater than zero',
        ),
        (
            {"csi": None, "local": {"path": "/mnt"}},
            "spec.nodeAffinity: Required value: Local volume requires node affinity",
        ),
        (
            {"csi": None, "hostPath": {"path": "/"}, "persistentVolumeReclaimPolicy": "Recycle"},
            "spec.persistentVolumeReclaimPolicy: Forbidden: "
            "may not be 'recycle' for a hostPath mount of '/'",
        ),
    ],
)
def test_fault_of_a_volume_is_reported(spec: dict[str, Any], error: str) -> None:
    assert texts(volumes.validate(volume(**spec))) == [error]


def test_volume_source_is_immutable_but_for_a_missing_secret() -> None:
    csi = {"driver": "ebs.csi.aws.com", "volumeHandle": "vol-2"}
    assert texts(volumes.validate_update(volume(csi=csi), volume())) == [
        "spec.persistentvolumesource: Forbidden: "
        "spec.persistentvolumesource is immutable after creation"
    ]
    secret = {"controllerExpandSecretRef": {"name": "a", "namespace": "b"}}
    added = volume(csi=volume()["spec"]["csi"] | secret)
    assert volumes.validate_update(added, volume()) == []


def test_beta_topology_label_may_become_stable() -> None:
    def affinity(key: str) -> dict[str, Any]:
        terms = [{"matchExpressions": [{"key": key, "operator": "In", "values": ["a"]}]}]
        return {"required": {"nodeSelectorTerms": terms}}

    old = volume(nodeAffinity=affinity("failure-domain.beta.kubernetes.io/zone"))
    new = volume(nodeAffinity=affinity("topology.kubernetes.io/zone"))
    assert volumes.validate_update(new, old) == []
    assert len(volumes.validate_update(volume(nodeAffinity=affinity("x")), old)) == 1


def claim(size: str = "1Gi", **spec: Any) -> dict[str, Any]:
    base = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    obj: dict[str, Any] = {"spec": base | spec, "status": {"phase": "Bound"}}
    claims.default(obj)
    return obj


IMMUTABLE = (
    "spec: Forbidden: spec is immutable after creation except resources.requests and "
    "volumeAttributesClassName for bound claims"
)


def test_bound_claim_may_grow_and_nothing_else() -> None:
    assert claims.validate_update(claim("2Gi"), claim()) == []
    assert texts(claims.validate_update(claim(accessModes=["ReadWriteMany"]), claim())) == [
        IMMUTABLE
    ]


def test_claim_shrinks_no_further_than_its_capacity() -> None:
    old = claim("3Gi")
    old["status"]["capacity"] = {"storage": "1Gi"}
    assert claims.validate_update(claim("2Gi"), old) == []
    assert texts(claims.validate_update(claim("1Gi"), old)) == [
        "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"
    ]


def test_claim_is_bound_once() -> None:
    bound = claim(volumeName="pv")
    assert claims.validate_update(bound, claim()) == []
    assert texts(claims.validate_update(claim(volumeName="other"), bound)) == [IMMUTABLE]


def test_claim_without_class_may_be_given_one() -> None:
    named = claim(storageClassName="fast")
    assert claims.validate_update(named, claim()) == []
    assert texts(claims.validate_update(claim(storageClassName="slow"), named)) == [IMMUTABLE]


def test_both_names_of_a_data_source_agree() -> None:
    new = claim(dataSource={"kind": "PersistentVolumeClaim", "name": "a"})
    claims.prepare_create(new)
    assert new["spec"]["dataSourceRef"] == {"kind": "PersistentVolumeClaim", "name": "a"}
    assert new["status"] == {"phase": "Pending"}


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        (
            {"hard": {"apples": "1"}},
            'spec.hard[apples]: Invalid value: "apples": '
            "must be a standard resource type or fully qualified",
        ),
        (
            {"hard": {"pods": "500m"}},
            'spec.hard[pods]: Invalid value: "500m": must be an integer',
        ),
        (
            {"hard": {"services": "1"}, "scopes": ["BestEffort"]},
            'spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource',
        ),
        (
            {"scopes": ["BestEffort", "NotBestEffort"]},
            'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes',
        ),
    ],
)
def test_fault_of_a_quota_is_reported(spec: dict[str, Any], error: str) -> None:
    assert texts(quotas.validate({"spec": spec}))[0] == error


def test_quota_limits_counts_of_any_resource_and_keeps_its_scopes() -> None:
    quota = {"spec": {"hard": {"count/jobs.batch": "5", "requests.nvidia.com/gpu": "4"}}}
    assert quotas.validate(quota) == []
    scoped = {"spec": {"hard": {"pods": "1"}, "scopes": ["BestEffort"]}}
    assert texts(quotas.validate_update({"spec": {"hard": {"pods": "1"}}}, scoped)) == [
        "spec.scopes: Invalid value: null: field is immutable"
    ]


def test_limit_range_derives_defaults_from_its_bounds() -> None:
    limit = {"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Gi"}}
    obj = {"spec": {"limits": [limit]}}
    limit_ranges.default(obj)
    assert limit["default"] == {"cpu": "2"}
    assert limit["defaultRequest"] == {"cpu": "2", "memory": "1Gi"}
    assert limit_ranges.validate(obj) == []


@pytest.mark.parametrize(
    ("limit", "error"),
    [
        (
            {"type": "Container", "min": {"cpu": "3"}, "max": {"cpu": "2"}},
            'spec.limits[0].min[cpu]: Invalid value: "3": min value 3 is greater than max value 2',
        ),
        (
            {"type": "Pod", "default": {"cpu": "1"}},
            "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
        ),
        (
            {"type": "PersistentVolumeClaim"},
            "spec.limits[0].limits: Required value: either minimum or maximum storage value is "
            "required, but neither was provided",
        ),
        (
            {"type": "Pod", "maxLimitRequestRatio": {"cpu": "500m"}},
            'spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": '
            "ratio 500m is less than 1",
        ),
    ],
)
def test_fault_of_a_limit_range_is_reported(limit: dict[str, Any], error: str) -> None:
    assert texts(limit_ranges.validate({"spec": {"limits": [limit]}})) == [error]


def test_endpoints_need_addresses_that_lead_somewhere() -> None:
    obj = {"subsets": [{"ports": [{"port": 80}]}, {"addresses": [{"ip": "169.254.1.1"}]}]}
    endpoints.default(obj)
    assert obj["subsets"][0]["ports"] == [{"port": 80, "protocol": "TCP"}]
    assert texts(endpoints.validate(copy.deepcopy(obj))) == [
        "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
        'subsets[1].addresses[0].ip: Invalid value: "169.254.1.1": '
        "may not be in the link-local range (169.254.0.0/16, fe80::/10)",
    ]
