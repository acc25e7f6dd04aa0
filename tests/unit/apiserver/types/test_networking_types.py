"""Ingress, IngressClass, NetworkPolicy, IPAddress and ServiceCIDR."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.types.networking import ingresses, network_policies, service_ranges
from kube.field import FieldError


def texts(errors: list[FieldError]) -> list[str]:
    return [str(error) for error in errors]


def ingress(**rule: Any) -> dict[str, Any]:
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend} | rule.pop("path", {})
    return {"spec": {"rules": [{"host": "example.com", "http": {"paths": [path]}} | rule]}}


def test_ordinary_ingress_is_good() -> None:
    assert ingresses.validate_create(ingress()) == []
    assert ingresses.validate_create(ingress(host="*.example.com")) == []


PATH = "spec.rules[0].http.paths[0]"


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        (
            {"host": "10.0.0.1"},
            'spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address',
        ),
        (
            {"path": {"path": "a"}},
            f'{PATH}.path: Invalid value: "a": must be an absolute path',
        ),
        (
            {"path": {"path": "/a//b"}},
            f"{PATH}.path: Invalid value: \"/a//b\": must not contain '//'",
        ),
        (
            {"path": {"path": "/a/.."}},
            f"{PATH}.path: Invalid value: \"/a/..\": cannot end with '/..'",
        ),
        (
            {"path": {"pathType": None}},
            f"{PATH}.pathType: Required value: pathType must be specified",
        ),
        (
            {"path": {"pathType": "Odd"}},
            f'{PATH}.pathType: Unsupported value: "Odd": supported values: "Exact", '
            '"ImplementationSpecific", "Prefix"',
        ),
        (
            {"path": {"backend": {}}},
            f'{PATH}.backend: Invalid value: "": resource or service backend is required',
        ),
        (
            {"path": {"backend": {"service": {"name": "web"}}}},
            f"{PATH}.backend: Required value: port name or number is required",
        ),
    ],
)
def test_fault_of_an_ingress_is_reported(rule: dict[str, Any], error: str) -> None:
    assert texts(ingresses.validate(ingress(**rule))) == [error]


def test_ingress_leads_somewhere() -> None:
    assert texts(ingresses.validate({"spec": {}})) == [
        "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"
    ]


def test_class_annotation_is_warned_of_and_must_agree() -> None:
    obj = ingress()
    obj["metadata"] = {"annotations": {"kubernetes.io/ingress.class": "a"}}
    assert ingresses.warnings(obj, None) == [
        'annotation "kubernetes.io/ingress.class" is deprecated, please use '
        "'spec.ingressClassName' instead"
    ]
    obj["spec"]["ingressClassName"] = "b"
    assert texts(ingresses.validate_create(obj)) == [
        'annotations.kubernetes.io/ingress.class: Invalid value: "a": '
        "must match `ingressClassName` when both are specified"
    ]


def test_ingress_class_names_a_controller_for_good() -> None:
    good = {"spec": {"controller": "example.com/a"}}
    assert ingresses.validate_class(good) == []
    assert texts(ingresses.validate_class({"spec": {"controller": "a"}})) == [
        'spec.controller: Invalid value: "a": '
        'must be a domain-prefixed path (such as "acme.io/foo")'
    ]
    other = {"spec": {"controller": "example.com/b"}}
    assert texts(ingresses.validate_class_update(other, good)) == [
        'spec.controller: Invalid value: "example.com/b": field is immutable'
    ]


def test_network_policy_types_follow_its_rules() -> None:
    plain: dict[str, Any] = {"spec": {"ingress": [{"ports": [{"port": 80}]}]}}
    network_policies.default(plain)
    assert plain["spec"]["policyTypes"] == ["Ingress"]
    assert plain["spec"]["ingress"][0]["ports"] == [{"port": 80, "protocol": "TCP"}]
    both: dict[str, Any] = {"spec": {"egress": [{}]}}
    network_policies.default(both)
    assert both["spec"]["policyTypes"] == ["Ingress", "Egress"]


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"from": [{}]}, "spec.ingress[0].from[0]: Required value: must specify a peer"),
        (
            {"from": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]},
            "spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer",
        ),
        (
            {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]},
            'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": '
            "must be a strict subset of `cidr`",
        ),
        (
            {"ports": [{"port": 80, "endPort": 79}]},
            "spec.ingress[0].ports[0].endPort: Invalid value: 79: "
            "must be greater than or equal to `port`",
        ),
        (
            {"ports": [{"port": "http", "endPort": 80}]},
            "spec.ingress[0].ports[0].endPort: Invalid value: 80: "
            "may not be specified when `port` is non-numeric",
        ),
    ],
)
def test_fault_of_a_network_policy_is_reported(rule: dict[str, Any], error: str) -> None:
    assert texts(network_policies.validate({"spec": {"ingress": [rule]}})) == [error]


def test_odd_range_that_was_there_before_is_left_alone() -> None:
    odd = {"spec": {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]}]}}
    assert len(network_policies.validate(odd)) == 1
    assert network_policies.validate_update(odd, odd) == []


def test_address_belongs_to_one_owner() -> None:
    assert texts(service_ranges.validate_address({"spec": {}})) == [
        "spec.parentRef: Required value"
    ]
    name_check = service_ranges.HOOKS["networking.k8s.io/ipaddresses"].name_check
    assert name_check is not None
    assert name_check("FD00::1", False) == [  # noqa: FBT003
        'must be in canonical form ("fd00::1")'
    ]


def test_service_range_grows_by_the_other_family_only() -> None:
    one = {"spec": {"cidrs": ["10.0.0.0/16"]}}
    two = {"spec": {"cidrs": ["10.0.0.0/16", "fd00::/112"]}}
    assert service_ranges.validate_range(two) == []
    assert service_ranges.validate_range_update(two, one) == []
    assert texts(service_ranges.validate_range_update(one, two)) == [
        'spec.cidrs: Invalid value: ["10.0.0.0/16"]: field is immutable'
    ]
