"""Service: defaults, validation, and what a change of type drops."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.types.core import services
from apiserver.types.core.service_changes import validate_status, validate_update
from apiserver.types.core.service_validation import validate
from kube.field import FieldError


def texts(errors: list[FieldError]) -> list[str]:
    return [str(error) for error in errors]


def service(**spec: Any) -> dict[str, Any]:
    base = {
        "ports": [{"port": 80}],
        "clusterIP": "10.0.0.5",
        "clusterIPs": ["10.0.0.5"],
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
    }
    obj = {"metadata": {"name": "web", "namespace": "default"}, "spec": base | spec}
    obj["spec"] = {key: value for key, value in obj["spec"].items() if value is not None}
    services.default(obj)
    return obj


def test_cluster_ip_service_gets_its_defaults() -> None:
    spec = service()["spec"]
    assert spec["type"] == "ClusterIP"
    assert spec["sessionAffinity"] == "None"
    assert spec["internalTrafficPolicy"] == "Cluster"
    assert spec["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert "externalTrafficPolicy" not in spec
    assert "allocateLoadBalancerNodePorts" not in spec


def test_load_balancer_gets_its_defaults() -> None:
    spec = service(type="LoadBalancer")["spec"]
    assert spec["externalTrafficPolicy"] == "Cluster"
    assert spec["allocateLoadBalancerNodePorts"] is True


def test_client_ip_affinity_lasts_three_hours() -> None:
    spec = service(sessionAffinity="ClientIP")["spec"]
    assert spec["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10_800}}


def test_affinity_config_goes_with_affinity_none() -> None:
    assert "sessionAffinityConfig" not in service(sessionAffinityConfig={"clientIP": {}})["spec"]


@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort", "LoadBalancer"])
def test_routed_service_is_good(kind: str) -> None:
    assert validate(service(type=kind)) == []


def external(**more: Any) -> dict[str, Any]:
    none = dict.fromkeys(("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "ports"))
    return service(**(none | {"type": "ExternalName", "externalName": "example.com"} | more))


def test_external_name_service_is_good() -> None:
    assert validate(external()) == []
    assert validate(external(externalName="example.com.")) == []


def test_headless_service_needs_no_ports() -> None:
    assert validate(service(clusterIP="None", clusterIPs=["None"], ports=None)) == []


ONLY_LOAD_BALANCER = "may only be used when `type` is 'LoadBalancer'"


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ({"ports": None}, "spec.ports: Required value"),
        (
            {"type": "Odd"},
            'spec.type: Unsupported value: "Odd": supported values: "ClusterIP", '
            '"ExternalName", "LoadBalancer", "NodePort"',
        ),
        (
            {"type": "NodePort", "clusterIP": "None", "clusterIPs": ["None"]},
            "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort "
            "services",
        ),
        (
            {"ports": [{"port": 0, "targetPort": 80}]},
            "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
        ),
        (
            {"ports": [{"port": 80, "protocol": "HTTP"}]},
            'spec.ports[0].protocol: Unsupported value: "HTTP": supported values: "SCTP", "TCP", '
            '"UDP"',
        ),
        (
            {"ports": [{"port": 80, "targetPort": "8--0a"}]},
            'spec.ports[0].targetPort: Invalid value: "8--0a": must not contain consecutive '
            "hyphens",
        ),
        (
            {"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]},
            'spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,'
            '"Port":80,"TargetPort":0,"NodePort":0}',
        ),
        (
            {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]},
            'spec.ports[1].name: Duplicate value: "a"',
        ),
        (
            {"ports": [{"port": 80, "name": "a"}, {"port": 81}]},
            "spec.ports[1].name: Required value",
        ),
        (
            {"ports": [{"port": 80, "nodePort": 30_000}]},
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
        ),
        (
            {"sessionAffinity": "Odd"},
            'spec.sessionAffinity: Unsupported value: "Odd": supported values: "ClientIP", "None"',
        ),
        (
            {
                "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}},
            },
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: "
            "must be greater than 0 and less than 86400",
        ),
        (
            {"externalIPs": ["127.0.0.1"]},
            'spec.externalIPs[0]: Invalid value: "127.0.0.1": '
            "may not be in the loopback range (127.0.0.0/8, ::1/128)",
        ),
        (
            {"loadBalancerSourceRanges": ["10.0.0.0/8"]},
            f"spec.LoadBalancerSourceRanges: Forbidden: {ONLY_LOAD_BALANCER}",
        ),
        (
            {"loadBalancerClass": "a/b"},
            f"spec.loadBalancerClass: Forbidden: {ONLY_LOAD_BALANCER}",
        ),
        (
            {"externalTrafficPolicy": "Local"},
            'spec.externalTrafficPolicy: Invalid value: "Local": '
            "may only be set for externally-accessible services",
        ),
        (
            {"type": "LoadBalancer", "externalTrafficPolicy": "Local"},
            "spec.healthCheckNodePort: Required value",
        ),
        (
            {"internalTrafficPolicy": "Odd"},
            'spec.internalTrafficPolicy: Unsupported value: "Odd": '
            'supported values: "Cluster", "Local"',
        ),
        (
            {"trafficDistribution": "Odd"},
            'spec.trafficDistribution: Unsupported value: "Odd": supported values: '
            '"PreferClose", "PreferSameNode", "PreferSameZone"',
        ),
        (
            {"clusterIPs": ["10.0.0.6"]},
            'spec.clusterIPs: Invalid value: ["10.0.0.6"]: first value must match `clusterIP`',
        ),
        (
            {"ipFamilies": ["IPv6"]},
            'spec.clusterIPs[0]: Invalid value: "10.0.0.5": '
            "expected an IPv6 value as indicated by `ipFamilies[0]`",
        ),
        (
            {"clusterIPs": ["10.0.0.5", "10.0.0.6"]},
            'spec.clusterIPs: Invalid value: ["10.0.0.5","10.0.0.6"]: '
            "may specify no more than one IP for each IP family",
        ),
        (
            {"selector": {"a": "-"}, "ports": [{"port": 80}]},
            None,
        ),
    ],
)
def test_fault_of_a_service_is_reported(spec: dict[str, Any], error: str | None) -> None:
    errors = texts(validate(service(**spec)))
    if error is None:
        assert len(errors) == 1
        assert errors[0].startswith('spec.selector: Invalid value: "-": a valid label must be')
    else:
        assert errors == [error]


def test_external_name_takes_no_addresses() -> None:
    bad = external(clusterIPs=["10.0.0.1"], clusterIP="10.0.0.1", externalName=None)
    assert texts(validate(bad)) == [
        "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
        "spec.externalName: Required value",
    ]


def test_address_may_not_change_once_set() -> None:
    new = service(clusterIP="10.0.0.6", clusterIPs=["10.0.0.6"])
    assert texts(validate_update(new, service())) == [
        'spec.clusterIPs[0]: Invalid value: ["10.0.0.6"]: may not change once set'
    ]


def test_second_address_goes_only_with_single_stack() -> None:
    dual = {
        "clusterIPs": ["10.0.0.5", "fd00::5"],
        "ipFamilies": ["IPv4", "IPv6"],
        "ipFamilyPolicy": "PreferDualStack",
    }
    new = service(ipFamilyPolicy="PreferDualStack")
    assert texts(validate_update(new, service(**dual))) == [
        'spec.ipFamilyPolicy: Invalid value: "PreferDualStack": '
        "must be set to 'SingleStack' when releasing the secondary clusterIP",
        'spec.ipFamilyPolicy: Invalid value: "PreferDualStack": '
        "must be set to 'SingleStack' when releasing the secondary ipFamily",
    ]
    assert validate_update(service(), service(**dual)) == []


def test_load_balancer_class_is_set_once() -> None:
    new = service(type="LoadBalancer", loadBalancerClass="a/b")
    assert texts(validate_update(new, service(type="LoadBalancer"))) == [
        'spec.loadBalancerClass: Invalid value: "a/b": may not change once set'
    ]


def test_leaving_for_external_name_drops_addresses() -> None:
    old = service()
    new = service(type="ExternalName", externalName="example.com")
    services.prepare_update(new, old)
    assert validate_update(new, old) == []
    assert not {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"} & set(new["spec"])


def test_leaving_node_port_drops_unchanged_node_ports() -> None:
    old = service(type="NodePort", ports=[{"port": 80, "nodePort": 30_080}])
    new = service(ports=[{"port": 80, "nodePort": 30_080}], externalTrafficPolicy="Cluster")
    services.prepare_update(new, old)
    assert validate_update(new, old) == []
    assert "nodePort" not in new["spec"]["ports"][0]


def test_node_port_changed_while_leaving_is_kept_and_refused() -> None:
    old = service(type="NodePort", ports=[{"port": 80, "nodePort": 30_080}])
    new = service(ports=[{"port": 80, "nodePort": 30_081}])
    services.prepare_update(new, old)
    assert texts(validate_update(new, old)) == [
        "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"
    ]


def test_leaving_load_balancer_clears_its_fields_and_status() -> None:
    old = service(type="LoadBalancer", loadBalancerClass="a/b")
    new = service(loadBalancerClass="a/b", allocateLoadBalancerNodePorts=True)
    new["status"] = {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}
    services.prepare_update(new, old)
    assert validate_update(new, old) == []
    assert new["status"] == {"loadBalancer": {}}


def test_status_of_a_load_balancer_is_checked() -> None:
    new = service(type="LoadBalancer")
    new["status"] = {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}, {"hostname": "1.2.3.4"}]}}
    assert texts(validate_status(new, new)) == [
        "status.loadBalancer.ingress[0].ipMode: Required value: must be specified when `ip` is set",
        'status.loadBalancer.ingress[1].hostname: Invalid value: "1.2.3.4": '
        "must be a DNS name, not an IP address",
    ]
    plain = service()
    plain["status"] = new["status"]
    assert texts(validate_status(plain, plain)) == [
        "status.loadBalancer.ingress: Forbidden: "
        "may only be used when `spec.type` is 'LoadBalancer'"
    ]
