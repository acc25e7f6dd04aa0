"""Each fault of a pod is reported where and as upstream reports it."""

from __future__ import annotations

from typing import Any

import pytest
from pod_fixtures import faults, make_container, make_pod

C = "spec.containers[0]"


def test_a_plain_pod_has_no_faults() -> None:
    assert faults(make_pod()) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": ""}, [f"{C}.name: Required value"]),
        ({"image": ""}, [f"{C}.image: Required value"]),
        (
            {"image": " nginx"},
            [f'{C}.image: Invalid value: " nginx": must not have leading or trailing whitespace'],
        ),
        (
            {"imagePullPolicy": "Sometimes"},
            [
                f'{C}.imagePullPolicy: Unsupported value: "Sometimes": supported values: '
                '"Always", "IfNotPresent", "Never"'
            ],
        ),
        (
            {"terminationMessagePolicy": "Log"},
            [
                f'{C}.terminationMessagePolicy: Unsupported value: "Log": supported values: '
                '"File", "FallbackToLogsOnError"'
            ],
        ),
        ({"ports": [{}]}, [f"{C}.ports[0].containerPort: Required value"]),
        (
            {"ports": [{"containerPort": 70000}]},
            [
                f"{C}.ports[0].containerPort: Invalid value: 70000: "
                "must be between 1 and 65535, inclusive"
            ],
        ),
        (
            {"ports": [{"containerPort": 1, "protocol": "HTTP"}]},
            [
                f'{C}.ports[0].protocol: Unsupported value: "HTTP": supported values: '
                '"SCTP", "TCP", "UDP"'
            ],
        ),
        (
            {
                "ports": [
                    {"containerPort": 1, "name": "a"},
                    {"containerPort": 2, "name": "a"},
                ]
            },
            [f'{C}.ports[1].name: Duplicate value: "a"'],
        ),
        (
            {
                "ports": [
                    {"containerPort": 1, "hostPort": 9},
                    {"containerPort": 2, "hostPort": 9},
                ]
            },
            [f'{C}.ports[1].hostPort: Duplicate value: "TCP//9"'],
        ),
        ({"env": [{"value": "x"}]}, [f"{C}.env[0].name: Required value"]),
        (
            {"env": [{"name": "A", "valueFrom": {}}]},
            [
                f'{C}.env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, '
                "`resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
            ],
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.phase"}}}]},
            [
                f"{C}.env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "
                '"status.phase": supported values: "metadata.name", "metadata.namespace", '
                '"metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", '
                '"status.hostIPs", "status.podIP", "status.podIPs"'
            ],
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]},
            [
                f'{C}.env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.x": '
                "error converting fieldPath: field label not supported: spec.x"
            ],
        ),
        (
            {
                "env": [
                    {
                        "name": "A",
                        "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}},
                    }
                ]
            },
            [],
        ),
        (
            {
                "env": [
                    {
                        "name": "A",
                        "value": "b",
                        "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}},
                    }
                ]
            },
            [
                f'{C}.env[0].valueFrom: Invalid value: "": '
                "may not be specified when `value` is not empty"
            ],
        ),
        (
            {"envFrom": [{}]},
            [f'{C}.envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`'],
        ),
        (
            {"volumeMounts": [{"name": "data", "mountPath": "/d"}]},
            [f'{C}.volumeMounts[0].name: Not found: "data"'],
        ),
        (
            {"livenessProbe": {}},
            [f"{C}.livenessProbe: Required value: must specify a handler type"],
        ),
        (
            {"livenessProbe": {"exec": {"command": ["a"]}, "successThreshold": 2}},
            [f"{C}.livenessProbe.successThreshold: Invalid value: 2: must be 1"],
        ),
        (
            {"readinessProbe": {"tcpSocket": {"port": 0}}},
            [
                f"{C}.readinessProbe.tcpSocket.port: Invalid value: 0: "
                "must be between 1 and 65535, inclusive"
            ],
        ),
        (
            {"startupProbe": {"exec": {"command": ["a"]}, "httpGet": {"port": 1}}},
            [f"{C}.startupProbe.httpGet: Forbidden: may not specify more than 1 handler type"],
        ),
        (
            {"readinessProbe": {"exec": {}, "periodSeconds": -1}},
            [
                f"{C}.readinessProbe.exec.command: Required value",
                f"{C}.readinessProbe.periodSeconds: Invalid value: -1: "
                "must be greater than or equal to 0",
            ],
        ),
        (
            {"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}},
            [
                f"{C}.lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less "
                "than terminationGracePeriodSeconds (30)"
            ],
        ),
        (
            {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}},
            [
                f'{C}.resources.requests: Invalid value: "2": '
                "must be less than or equal to cpu limit of 1"
            ],
        ),
        (
            {"resources": {"requests": {"cpu": "-1"}}},
            [
                f'{C}.resources.requests[cpu]: Invalid value: "-1": '
                "must be greater than or equal to 0"
            ],
        ),
        (
            {"resources": {"requests": {"gpu": "1"}}},
            [
                f'{C}.resources.requests[gpu]: Invalid value: "gpu": '
                "must be a standard resource type or fully qualified",
                f'{C}.resources.requests[gpu]: Invalid value: "gpu": '
                "must be a standard resource for containers",
            ],
        ),
        (
            {"resources": {"requests": {"a.io/gpu": "1"}}},
            [
                f"{C}.resources.limits: Required value: "
                "Limit must be set for non overcommitable resources"
            ],
        ),
        (
            {"resources": {"limits": {"a.io/gpu": "1500m"}}},
            [
                f'{C}.resources.limits[a.io/gpu]: Invalid value: "1500m": must be an integer',
                f'{C}.resources.requests[a.io/gpu]: Invalid value: "1500m": must be an integer',
            ],
        ),
        (
            {"resources": {"limits": {"hugepages-2Mi": "4Mi"}}},
            [f"{C}.resources: Forbidden: HugePages require cpu or memory"],
        ),
        (
            {"resources": {"claims": [{"name": "c"}]}},
            [
                f'{C}.resources.claims[0]: Not found: "c": must be one of the names in '
                "pod.spec.resourceClaims which is empty"
            ],
        ),
        (
            {"securityContext": {"runAsUser": -1}},
            [
                f"{C}.securityContext.runAsUser: Invalid value: -1: "
                "must be between 0 and 2147483647, inclusive"
            ],
        ),
        (
            {"securityContext": {"procMount": "Unmasked"}},
            [
                f'{C}.securityContext.procMount: Invalid value: "Unmasked": '
                "`hostUsers` must be false to use `Unmasked`"
            ],
        ),
        (
            {"securityContext": {"seccompProfile": {"type": "Localhost"}}},
            [
                f"{C}.securityContext.seccompProfile.localhostProfile: Required value: "
                "must be set when seccomp type is Localhost"
            ],
        ),
        (
            {"securityContext": {"windowsOptions": {"runAsUserName": ""}}},
            [
                f'{C}.securityContext.windowsOptions.runAsUserName: Invalid value: "": '
                "runAsUserName cannot be an empty string"
            ],
        ),
        (
            {"resizePolicy": [{"resourceName": "gpu", "restartPolicy": "NotRequired"}]},
            [f'{C}.resizePolicy: Unsupported value: "gpu": supported values: "cpu", "memory"'],
        ),
        (
            {"restartPolicyRules": [{"action": "Restart"}]},
            [
                f"{C}.restartPolicy: Required value: "
                "must specify restartPolicy when restart rules are used"
            ],
        ),
    ],
)
def test_containers(fields: dict[str, Any], expected: list[str]) -> None:
    assert faults(make_pod(containers=[{**make_container(), **fields}])) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"containers": []}, ["spec.containers: Required value"]),
        (
            {"containers": [make_container("a"), make_container("a")]},
            ['spec.containers[1].name: Duplicate value: "a"'],
        ),
        (
            {"initContainers": [make_container("app")]},
            ['spec.initContainers[0].name: Duplicate value: "app"'],
        ),
        (
            {"initContainers": [make_container("i", livenessProbe={"grpc": {"port": 1}})]},
            [
                "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init "
                "containers without restartPolicy=Always"
            ],
        ),
        (
            {
                "initContainers": [
                    make_container("i", restartPolicy="Always", livenessProbe={"grpc": {"port": 1}})
                ]
            },
            [],
        ),
        (
            {"ephemeralContainers": [make_container("e")]},
            ["spec.ephemeralContainers: Forbidden: cannot be set on create"],
        ),
        (
            {"restartPolicy": "Maybe"},
            [
                'spec.restartPolicy: Unsupported value: "Maybe": supported values: '
                '"Always", "OnFailure", "Never"'
            ],
        ),
        (
            {"dnsPolicy": "None"},
            ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
        ),
        (
            {"activeDeadlineSeconds": 0},
            [
                "spec.activeDeadlineSeconds: Invalid value: 0: "
                "must be between 1 and 2147483647, inclusive"
            ],
        ),
        (
            {"tolerations": [{"value": "x"}]},
            [
                'spec.tolerations[0].operator: Invalid value: "": operator must be Exists when '
                '`key` is empty, which means "match all values and all keys"'
            ],
        ),
        (
            {"tolerations": [{"key": "k", "operator": "Exists", "tolerationSeconds": 1}]},
            [
                'spec.tolerations[0].effect: Invalid value: "": '
                "effect must be 'NoExecute' when `tolerationSeconds` is set"
            ],
        ),
        (
            {"schedulingGates": [{"name": "a"}], "nodeName": "n"},
            ["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
        ),
        (
            {"hostAliases": [{"ip": "999.1.1.1", "hostnames": ["a"]}]},
            [
                'spec.hostAliases[0].ip: Invalid value: "999.1.1.1": '
                "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            ],
        ),
        (
            {
                "topologySpreadConstraints": [
                    {"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "No"}
                ]
            },
            [
                "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: "
                "must be greater than zero",
                'spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: "No": '
                'supported values: "DoNotSchedule", "ScheduleAnyway"',
            ],
        ),
        (
            {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}},
            [
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution."
                "nodeSelectorTerms: Required value: must have at least one node selector term"
            ],
        ),
        (
            {
                "affinity": {
                    "podAntiAffinity": {
                        "preferredDuringSchedulingIgnoredDuringExecution": [
                            {"weight": 101, "podAffinityTerm": {"topologyKey": "z"}}
                        ]
                    }
                }
            },
            [
                "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0]"
                ".weight: Invalid value: 101: must be in the range 1-100"
            ],
        ),
        (
            {"os": {"name": "windows"}, "hostPID": True},
            ["spec.hostPID: Forbidden: cannot be set for a windows pod"],
        ),
        (
            {"hostUsers": False, "hostNetwork": True},
            ["spec.hostNetwork: Forbidden: when `pod.Spec.HostUsers` is false"],
        ),
        (
            {"resourceClaims": [{"name": "c"}]},
            [
                'spec.resourceClaims[0]: Invalid value: {"name":"c"}: must specify one of: '
                "`resourceClaimName`, `resourceClaimTemplateName`"
            ],
        ),
        (
            {"securityContext": {"sysctls": [{"name": "net.a"}]}, "hostNetwork": True},
            [
                'spec.securityContext.sysctls[0].name: Invalid value: "net.a": '
                "may not be specified when 'hostNetwork' is true"
            ],
        ),
        (
            {"preemptionPolicy": "Always"},
            [
                'spec.preemptionPolicy: Unsupported value: "Always": supported values: '
                '"PreemptLowerPriority", "Never"'
            ],
        ),
        (
            {
                "resources": {"requests": {"cpu": "1"}},
                "containers": [make_container(resources={"requests": {"cpu": "2"}})],
            },
            [
                'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal '
                "to aggregate container requests of 2"
            ],
        ),
    ],
)
def test_specs(spec: dict[str, Any], expected: list[str]) -> None:
    assert faults(make_pod(**spec)) == expected


def test_a_token_needs_a_service_account() -> None:
    sources = [{"serviceAccountToken": {"path": "t"}}]
    pod = make_pod(volumes=[{"name": "v", "projected": {"sources": sources}}])
    assert faults(pod) == [
        "spec.volumes[0].projected.sources[0].serviceAccountToken: Forbidden: "
        "must not be specified when serviceAccountName is not set"
    ]


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        (
            {"controller.kubernetes.io/pod-deletion-cost": "many"},
            [
                "metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: "
                'Invalid value: "many": must be a 32bit integer'
            ],
        ),
        (
            {"kubernetes.io/config.mirror": "x"},
            [
                'metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "x": '
                "must set spec.nodeName if mirror pod annotation is set"
            ],
        ),
    ],
)
def test_annotations(annotations: dict[str, str], expected: list[str]) -> None:
    pod = make_pod()
    pod["metadata"]["annotations"] = annotations
    assert faults(pod) == expected
