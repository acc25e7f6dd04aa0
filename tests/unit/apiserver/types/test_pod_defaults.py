"""Defaults of pods follow upstream's."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from pod_fixtures import PODS, make_container, make_pod

from apiserver.types.pods import admission_defaults
from apiserver.types.pods.images import default_pull_policy, image_tag


def test_a_minimal_pod_gets_the_usual_defaults() -> None:
    pod = make_pod()
    PODS.default(pod)
    assert pod["spec"] == {
        "containers": [
            {
                "name": "app",
                "image": "nginx:1.27",
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "imagePullPolicy": "IfNotPresent",
            }
        ],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "enableServiceLinks": True,
    }


def test_defaulting_twice_changes_nothing() -> None:
    pod = make_pod(
        volumes=[{"name": "a"}, {"name": "b", "secret": {"secretName": "s"}}],
        hostNetwork=True,
        resources={"requests": {"cpu": "1"}},
    )
    pod["spec"]["containers"][0]["ports"] = [{"containerPort": 80}]
    PODS.default(pod)
    once = copy.deepcopy(pod)
    PODS.default(pod)
    assert pod == once


@pytest.mark.parametrize(
    ("image", "tag", "policy"),
    [
        ("nginx", "latest", "Always"),
        ("nginx:latest", "latest", "Always"),
        ("nginx:1.27", "1.27", "IfNotPresent"),
        ("localhost:5000/team/app", "latest", "Always"),
        ("localhost:5000/team/app:v2", "v2", "IfNotPresent"),
        ("nginx@sha256:" + "a" * 64, "", "IfNotPresent"),
        ("Bad Image", "", "IfNotPresent"),
        ("", "", "IfNotPresent"),
    ],
)
def test_pull_policy_follows_the_tag(image: str, tag: str, policy: str) -> None:
    assert (image_tag(image), default_pull_policy(image)) == (tag, policy)


@pytest.mark.parametrize(
    ("volume", "defaulted"),
    [
        ({}, {"emptyDir": {}}),
        ({"configMap": {"name": "c"}}, {"configMap": {"name": "c", "defaultMode": 420}}),
        ({"secret": {"secretName": "s"}}, {"secret": {"secretName": "s", "defaultMode": 420}}),
        ({"hostPath": {"path": "/x"}}, {"hostPath": {"path": "/x", "type": ""}}),
        (
            {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
            {
                "projected": {
                    "defaultMode": 420,
                    "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
                }
            },
        ),
        (
            {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
            {
                "downwardAPI": {
                    "defaultMode": 420,
                    "items": [
                        {
                            "path": "n",
                            "fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v1"},
                        }
                    ],
                }
            },
        ),
        (
            {"ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
            {"ephemeral": {"volumeClaimTemplate": {"spec": {"volumeMode": "Filesystem"}}}},
        ),
        (
            {"image": {"reference": "a/b:1"}},
            {"image": {"reference": "a/b:1", "pullPolicy": "IfNotPresent"}},
        ),
        ({"iscsi": {}}, {"iscsi": {"iscsiInterface": "default"}}),
        ({"rbd": {}}, {"rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"}}),
    ],
)
def test_volumes_are_defaulted_by_kind(volume: dict[str, Any], defaulted: dict[str, Any]) -> None:
    pod = make_pod(volumes=[{"name": "v", **volume}])
    PODS.default(pod)
    assert pod["spec"]["volumes"] == [{"name": "v", **defaulted}]


def test_probes_and_hooks_are_defaulted() -> None:
    container = make_container(
        livenessProbe={"httpGet": {"port": 80}},
        readinessProbe={"grpc": {"port": 1}},
        lifecycle={"preStop": {"httpGet": {"port": 80}}},
    )
    pod = make_pod(containers=[container])
    PODS.default(pod)
    one = pod["spec"]["containers"][0]
    counts = {
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    action = {"port": 80, "path": "/", "scheme": "HTTP"}
    assert one["livenessProbe"] == {"httpGet": action, **counts}
    assert one["readinessProbe"] == {"grpc": {"port": 1, "service": ""}, **counts}
    assert one["lifecycle"] == {"preStop": {"httpGet": action}}


def test_limits_become_requests() -> None:
    resources = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}
    pod = make_pod(containers=[make_container(resources=resources)])
    PODS.default(pod)
    wanted = {"cpu": "500m", "memory": "1Gi"}
    assert pod["spec"]["containers"][0]["resources"]["requests"] == wanted


@pytest.mark.parametrize(
    ("given", "kept"), [("100n", "1m"), ("1500u", "2m"), ("999999u", "1"), ("250m", "250m")]
)
def test_amounts_are_rounded_up_to_thousandths(given: str, kept: str) -> None:
    resources = {"requests": {"cpu": given}}
    pod = make_pod(containers=[make_container(resources=resources)])
    PODS.default(pod)
    assert pod["spec"]["containers"][0]["resources"]["requests"] == {"cpu": kept}


def test_ports_are_host_ports_on_the_host_network() -> None:
    pod = make_pod(hostNetwork=True, containers=[make_container(ports=[{"containerPort": 80}])])
    PODS.default(pod)
    port = {"containerPort": 80, "hostPort": 80, "protocol": "TCP"}
    assert pod["spec"]["containers"][0]["ports"] == [port]


@pytest.mark.parametrize("given", ["serviceAccount", "serviceAccountName"])
def test_both_names_of_the_service_account_agree(given: str) -> None:
    pod = make_pod(**{given: "robot"})
    PODS.default(pod)
    assert (pod["spec"]["serviceAccount"], pod["spec"]["serviceAccountName"]) == ("robot", "robot")


@pytest.mark.parametrize(
    ("status", "agreed"),
    [
        ({"podIP": "10.0.0.1"}, {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}),
        ({"podIPs": [{"ip": "10.0.0.1"}]}, {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}),
        (
            {"podIP": "10.0.0.2", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "::1"}]},
            {"podIP": "10.0.0.2", "podIPs": [{"ip": "10.0.0.2"}]},
        ),
    ],
)
def test_pod_ip_and_pod_ips_agree(status: dict[str, Any], agreed: dict[str, Any]) -> None:
    pod = {**make_pod(), "status": status}
    PODS.default(pod)
    assert pod["status"] == agreed


def test_pod_requests_default_to_what_containers_ask_for() -> None:
    pod = make_pod(
        resources={"limits": {"cpu": "2", "memory": "1Gi"}},
        containers=[
            make_container("a", resources={"requests": {"cpu": "250m"}}),
            make_container("b", resources={"requests": {"cpu": "500m"}}),
        ],
    )
    PODS.default(pod)
    assert pod["spec"]["resources"]["requests"] == {"cpu": "750m", "memory": "1Gi"}


def test_pod_limits_default_when_every_container_has_one() -> None:
    limits = [{"cpu": "1", "memory": "64Mi"}, {"cpu": "2"}]
    containers = [
        make_container(f"c{at}", resources={"limits": amounts}) for at, amounts in enumerate(limits)
    ]
    pod = make_pod(resources={"requests": {"cpu": "3"}}, containers=containers)
    PODS.default(pod)
    assert pod["spec"]["resources"]["limits"] == {"cpu": "3"}


def test_a_toleration_of_everything_needs_no_more() -> None:
    pod = make_pod(tolerations=[{"operator": "Exists"}])
    PODS.default(pod)
    admission_defaults.default_toleration_seconds(pod)
    assert pod["spec"]["tolerations"] == [{"operator": "Exists"}]
