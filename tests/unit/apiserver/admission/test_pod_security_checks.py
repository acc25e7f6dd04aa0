"""The checks of the pod security standards, rule by rule, with upstream's texts."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.admission.pod_security.configuration import (
    Configuration,
    read_configuration,
)
from apiserver.admission.pod_security.evaluator import details, evaluate
from apiserver.admission.pod_security.levels import PREFIX, LevelVersion, Policy, policy_of
from apiserver.config_reader import ConfigurationUseless

RESTRICTED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def _spec(**context: Any) -> dict[str, Any]:
    return {"containers": [{"name": "a", "securityContext": {**RESTRICTED, **context}}]}


def _found(spec: dict[str, Any], level: str, minor: int | None = None, **metadata: Any) -> str:
    return details(evaluate(LevelVersion(level, minor), metadata, spec))


def test_a_pod_that_gives_up_all_passes_restricted() -> None:
    assert _found(_spec(), "restricted") == ""
    assert _found({"containers": [{"name": "a"}], "hostPID": True}, "privileged") == ""


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (
            {"hostNetwork": True, "hostIPC": True},
            "host namespaces (hostNetwork=true, hostIPC=true)",
        ),
        ({"volumes": [{"name": "v", "hostPath": {}}]}, 'hostPath volumes (volume "v")'),
        (
            {"containers": [{"name": "a", "ports": [{"hostPort": 80}, {"hostPort": 9}]}]},
            'hostPort (container "a" uses hostPorts 80, 9)',
        ),
        (
            _spec(privileged=True),
            'privileged (container "a" must not set securityContext.privileged=true)',
        ),
        (
            _spec(capabilities={"add": ["NET_ADMIN", "CHOWN"]}),
            'non-default capabilities (container "a" must not include "NET_ADMIN" in '
            "securityContext.capabilities.add)",
        ),
        (
            _spec(procMount="Unmasked"),
            'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
        ),
        (
            _spec(seccompProfile={"type": "Unconfined"}),
            'seccompProfile (container "a" must not set securityContext.seccompProfile.type to '
            '"Unconfined")',
        ),
        (
            _spec(appArmorProfile={"type": "Unconfined"}),
            'forbidden AppArmor profile (container "a" must not set AppArmor profile type to '
            '"Unconfined")',
        ),
        (
            _spec(seLinuxOptions={"type": "spc_t", "user": "u"}),
            'seLinuxOptions (container "a" set forbidden securityContext.seLinuxOptions: type '
            '"spc_t"; user may not be set)',
        ),
        (
            {"securityContext": {"sysctls": [{"name": "kernel.msgmax"}]}},
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            {"securityContext": {"windowsOptions": {"hostProcess": True}}},
            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
        ),
        (
            {"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "h"}}}]},
            'probe or lifecycle host (container "a" uses probe or lifecycle host "h")',
        ),
    ],
)
def test_baseline_refuses_what_leads_out_of_the_pod(spec: dict[str, Any], text: str) -> None:
    assert _found({"containers": [{"name": "a"}], **spec}, "baseline") == text


@pytest.mark.parametrize(
    ("context", "text"),
    [
        (
            {"allowPrivilegeEscalation": True},
            'allowPrivilegeEscalation != false (container "a" must set '
            "securityContext.allowPrivilegeEscalation=false)",
        ),
        (
            {"capabilities": {"add": ["CHOWN"]}},
            'unrestricted capabilities (container "a" must set '
            'securityContext.capabilities.drop=["ALL"]; container "a" must not include "CHOWN" in '
            "securityContext.capabilities.add)",
        ),
        (
            {"runAsNonRoot": False},
            'runAsNonRoot != true (container "a" must not set securityContext.runAsNonRoot=false)',
        ),
        ({"runAsUser": 0}, 'runAsUser=0 (container "a" must not set runAsUser=0)'),
        (
            {"seccompProfile": None},
            'seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to '
            '"RuntimeDefault" or "Localhost")',
        ),
    ],
)
def test_restricted_wants_privileges_to_be_given_up(context: dict[str, Any], text: str) -> None:
    assert _found(_spec(**context), "restricted") == text


def test_restricted_takes_volumes_of_the_cluster_only() -> None:
    volumes = [
        {"name": "n", "nfs": {}},
        {"name": "h", "hostPath": {}},
        {"name": "e", "emptyDir": {}},
    ]
    assert _found({**_spec(), "volumes": volumes}, "restricted") == (
        'restricted volume types (volumes "n", "h" use restricted volume types "hostPath", "nfs")'
    )


def test_rules_are_those_of_the_version_that_is_asked_for() -> None:
    sysctls = {"sysctls": [{"name": "net.ipv4.tcp_rmem"}]}
    spec = {"containers": [], "securityContext": sysctls}
    assert _found(spec, "baseline", 31) == "forbidden sysctls (net.ipv4.tcp_rmem)"
    assert _found(spec, "baseline", 32) == ""
    assert _found(_spec(runAsUser=0), "restricted", 22) == ""
    assert _found({**_spec(runAsUser=0), "hostUsers": False}, "restricted", 35) == ""
    assert _found(_spec(runAsUser=0), "restricted", 99) != "", "later versions are as the latest"
    windows = {"containers": [{"name": "a"}], "os": {"name": "windows"}}
    assert "allowPrivilegeEscalation" in _found(windows, "restricted", 24)
    assert "allowPrivilegeEscalation" not in _found(windows, "restricted", 25)


def test_old_annotations_are_looked_at() -> None:
    key = "container.apparmor.security.beta.kubernetes.io/a"
    assert _found({"containers": []}, "baseline", annotations={key: "unconfined"}) == (
        "forbidden AppArmor profile (annotation must not set AppArmor profile type to "
        f'"{key}="unconfined"")'
    )
    pod = "seccomp.security.alpha.kubernetes.io/pod"
    found = _found({"containers": []}, "baseline", 18, annotations={pod: "unconfined"})
    assert found == f'seccompProfile (forbidden annotation {pod}="unconfined")'


def test_labels_fall_back_to_what_lets_no_more_in() -> None:
    policy, faults = policy_of({f"{PREFIX}enforce": "x", f"{PREFIX}warn": "y"}, Policy())
    assert (policy.enforce.level, policy.warn.level) == ("restricted", "privileged")
    assert len(faults) == 2
    policy, faults = policy_of({f"{PREFIX}enforce-version": "v2.1"}, Policy())
    assert str(faults[0]).endswith('must be "latest" or "v1.x"')
    assert policy.enforce.minor is None


def test_whoever_enforces_warns_alike_unless_told_otherwise() -> None:
    labels = {f"{PREFIX}enforce": "baseline", f"{PREFIX}enforce-version": "v1.30"}
    assert policy_of(labels, Policy())[0].warn == LevelVersion("baseline", 30)
    labels[f"{PREFIX}warn"] = "privileged"
    assert policy_of(labels, Policy())[0].warn.level == "privileged"


def test_a_configuration_names_defaults_and_the_exempt() -> None:
    document = {
        "defaults": {"enforce": "baseline", "enforce-version": "v1.30"},
        "exemptions": {"namespaces": ["kube-system"]},
    }
    found = read_configuration(document)
    assert found.defaults.enforce == LevelVersion("baseline", 30)
    assert found.namespaces == {"kube-system"}
    assert read_configuration({}) == Configuration()
    for bad in ({"defaults": {"enforce": "x"}}, {"exemptions": {"users": []}}, {"x": 1}):
        with pytest.raises(ConfigurationUseless):
            read_configuration(bad)
