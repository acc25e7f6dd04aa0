"""Plugins that are told something: what they take for a configuration, and how they count."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from apiserver.admission.attributes import CREATE, Attributes
from apiserver.admission.configurations import check_configurations
from apiserver.admission.event_rates import EventRateLimit, Limit, read_limits
from apiserver.admission.image_policy import read_policy
from apiserver.admission.namespace_rules import parse_labels, read_selectors, read_tolerations
from apiserver.admission.nodes import needed_features
from apiserver.admission.tolerations_merged import are_covered, covers, merged
from apiserver.bootstrap import ServerItself
from apiserver.config_reader import ConfigurationUseless
from apiserver.options import PLAIN_WRITE
from apiserver.resources import Resource
from apiserver.types.registry import hooks_for
from kube.builtin_kinds import builtin_registry
from kube.status import StatusError
from runtime.clock import SimulatedClock

Json = dict[str, Any]
RATES = "eventratelimit.admission.k8s.io/v1alpha1"
TOLERATIONS = "podtolerationrestriction.admission.k8s.io/v1alpha1"


def _limits(*limits: Json) -> Json:
    return {"kind": "Configuration", "apiVersion": RATES, "limits": list(limits)}


def _event(name: str, namespace: str = "ns") -> Attributes:
    info = builtin_registry().by_kind("", "v1", "Event")
    assert info is not None
    obj = {"metadata": {}, "involvedObject": {"kind": "Pod", "name": name}, "source": {}}
    resource = Resource(info, hooks_for(info.storage_resource))
    return Attributes(ServerItself(), CREATE, resource, (namespace, ""), (obj, None), PLAIN_WRITE)


def test_limits_are_understood() -> None:
    found = read_limits(_limits({"type": "Namespace", "qps": 5, "burst": 9, "cacheSize": 3}))
    assert found == [Limit("Namespace", 5, 9, 3)]


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({}, "limits: Invalid value: []: must not be empty"),
        (
            _limits({"type": "Pod", "qps": 1, "burst": 1}),
            'limits[0].type: Unsupported value: "Pod": supported values: "Namespace", "Server", '
            '"SourceAndObject", "User"',
        ),
        (
            _limits({"type": "Server", "qps": 0, "burst": -1}),
            "[limits[0].burst: Invalid value: -1: must be positive, limits[0].qps: Invalid value: "
            "0: must be positive]",
        ),
        (
            _limits({"type": "User", "qps": 1, "burst": 1, "cacheSize": -1}),
            "limits[0].cacheSize: Invalid value: -1: must not be negative",
        ),
        (_limits({"type": "Server", "qps": True, "burst": 1}), "qps: must be of type integer"),
        ({**_limits({"type": "Server", "qps": 1, "burst": 1}), "apiVersion": "v1"}, "apiVersion"),
    ],
)
def test_wrong_limits_are_refused(document: Json, why: str) -> None:
    with pytest.raises(ConfigurationUseless, match=re.escape(why)):
        read_limits(document)


def test_events_beyond_a_burst_are_refused_until_time_has_passed() -> None:
    clock = SimulatedClock()
    plugin = EventRateLimit(_limits({"type": "Namespace", "qps": 2, "burst": 3}), clock)
    for _ in range(3):
        plugin.validate(_event("a"))
    with pytest.raises(StatusError) as refused:
        plugin.validate(_event("a"))
    assert refused.value.code == 429
    assert refused.value.message == "limit reached on type Namespace for key ns"
    plugin.validate(_event("a", "another"))
    asyncio.run(clock.advance(0.5))
    plugin.validate(_event("a"))
    with pytest.raises(StatusError):
        plugin.validate(_event("a"))


def test_of_many_keys_the_bucket_used_longest_ago_is_forgotten() -> None:
    limit = {"type": "SourceAndObject", "qps": 1, "burst": 1, "cacheSize": 2}
    plugin = EventRateLimit(_limits(limit), SimulatedClock())
    for name in ("a", "b", "c"):
        plugin.validate(_event(name))
    plugin.validate(_event("a"))  # its bucket was forgotten, and is full again
    with pytest.raises(StatusError, match="limit reached on type SourceAndObject for key Podc"):
        plugin.validate(_event("c"))


def test_selectors_of_namespaces_are_understood() -> None:
    document = {
        "podNodeSelectorPluginConfig": {"clusterDefaultNodeSelector": "a=b", "ns": "c=d,e="}
    }
    assert read_selectors(document) == {
        "clusterDefaultNodeSelector": {"a": "b"},
        "ns": {"c": "d", "e": ""},
    }
    with pytest.raises(ConfigurationUseless, match=r"ns: invalid selector: \[a\]"):
        read_selectors({"podNodeSelectorPluginConfig": {"ns": "a"}})
    with pytest.raises(ValueError, match="invalid label key"):
        parse_labels("-=b")


ALL: Json = {"operator": "Exists"}
KEY: Json = {"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}
ANY_VALUE: Json = {"key": "k", "operator": "Exists"}


@pytest.mark.parametrize(
    ("wide", "narrow", "does"),
    [
        (ALL, KEY, True),
        (ANY_VALUE, KEY, True),
        (KEY, ANY_VALUE, False),
        (KEY, {**KEY, "value": "w"}, False),
        ({**KEY, "effect": ""}, KEY, True),
        ({**ANY_VALUE, "effect": "NoExecute"}, KEY, False),
        (
            {**ANY_VALUE, "effect": "NoExecute", "tolerationSeconds": 5},
            {**ANY_VALUE, "effect": "NoExecute", "tolerationSeconds": 4},
            True,
        ),
        (
            {**ANY_VALUE, "effect": "NoExecute", "tolerationSeconds": 5},
            {**ANY_VALUE, "effect": "NoExecute"},
            False,
        ),
    ],
)
def test_a_toleration_covers_those_that_tolerate_less(
    wide: Json, narrow: Json, *, does: bool
) -> None:
    assert covers(wide, narrow) is does
    assert are_covered([narrow], [wide]) is does


def test_of_two_lists_of_tolerations_only_the_widest_stay() -> None:
    assert merged([KEY], [ANY_VALUE, {"key": "o", "operator": "Exists"}]) == [
        ANY_VALUE,
        {"key": "o", "operator": "Exists"},
    ]
    assert merged([KEY], [KEY]) == [KEY]


def test_tolerations_are_understood() -> None:
    document = {"apiVersion": TOLERATIONS, "kind": "Configuration", "default": [KEY]}
    assert read_tolerations(document) == ([KEY], [])
    with pytest.raises(ConfigurationUseless, match=r"whitelist\[0\].keys: unknown field"):
        read_tolerations({**document, "whitelist": [{"keys": 1}]})


def test_an_image_policy_is_understood() -> None:
    document = {"imagePolicy": {"kubeConfigFile": "/a", "allowTTL": 10, "denyTTL": -1}}
    policy = read_policy(document)
    assert (policy.allowed_s, policy.denied_s, policy.pause_s) == (10.0, 0.0, 0.5)
    assert not policy.allows_at_failure
    for wrong, why in (
        ({}, "imagePolicy.kubeConfigFile: Required value"),
        ({"kubeConfigFile": "/a", "allowTTL": 1801}, "valid value is between 1 and 1800"),
        ({"kubeConfigFile": "/a", "retryBackoff": -2}, "retryBackoff: Invalid value: -2"),
    ):
        with pytest.raises(ConfigurationUseless, match=why):
            read_policy({"imagePolicy": wrong})


def test_only_plugins_that_run_have_to_be_told_what_they_need() -> None:
    check_configurations(["PodSecurity"], {})
    check_configurations(["PodSecurity"], {"EventRateLimit": {}})
    for wanted, configurations, why in (
        (["EventRateLimit"], {}, "EventRateLimit: limits: Invalid value"),
        ([], {"Nothing": {}}, "there is no plugin 'Nothing'"),
        ([], {"LimitRanger": {}}, "LimitRanger takes no configuration"),
    ):
        with pytest.raises(ConfigurationUseless, match=why):
            check_configurations(wanted, configurations)


def _pod(cpu: str, qos: str = "Guaranteed", **more: Any) -> Json:
    resources = {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}
    return {
        "spec": {"containers": [{"name": "c", "resources": resources}], **more},
        "status": {"qosClass": qos},
    }


@pytest.mark.parametrize(
    ("new", "old", "needed"),
    [
        (_pod("2"), _pod("1"), ["GuaranteedQoSPodCPUResize"]),
        (_pod("1000m"), _pod("1"), []),
        (_pod("2", "Burstable"), _pod("1", "Burstable"), []),
        (
            _pod("1", resources={"requests": {"cpu": "2"}}),
            _pod("1", resources={"requests": {"cpu": "1"}}),
            ["InPlacePodLevelResourcesVerticalScaling"],
        ),
    ],
)
def test_changes_of_a_running_pod_need_features_of_its_node(
    new: Json, old: Json, needed: list[str]
) -> None:
    assert needed_features(new, old) == needed
