"""Tracking of built-in types: names of managers, new objects, fields that writes drop."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from apiserver.resources import Catalog, Resource
from apiserver.tracking import Writing, manager_of
from apiserver.types.managed import filter_of
from kube.builtin_kinds import builtin_registry
from kube.managed import sets
from kube.managed.atoms import TypedError
from kube.managed.updater import MissingVersion

NOW = "2026-01-01T00:00:00Z"
CATALOG = Catalog(builtin_registry())


def resource(storage: str) -> Resource:
    """Return a type in its storage version."""
    return CATALOG.by_storage[storage]


@pytest.mark.parametrize(
    ("agent", "manager"),
    [
        (b"kubectl/v1.37 (linux/amd64)", "kubectl"),
        (b"controller", "controller"),
        (b"", "unknown"),
        (b"/x", "unknown"),
        (b"a\x01b\xc3\xa9/1", "ab\u00e9"),
        (b"x" * 200, "x" * 128),
        (("\u00e9" * 100).encode(), "\u00e9" * 64),
    ],
)
def test_a_client_without_manager_is_named_by_its_user_agent(agent: bytes, manager: str) -> None:
    assert manager_of(agent) == manager


def entries_of(storage: str, obj: dict[str, Any], manager: str = "m") -> Any:
    """Return the managedFields of a new object."""
    type_ = resource(storage)
    made = type_.tracker.entry_of_new(type_.fields_of_new(obj), manager, NOW)
    return None if made is None else orjson.loads(orjson.dumps(made))


def test_a_new_object_belongs_to_its_creator() -> None:
    obj = {"metadata": {"name": "a", "labels": {"k": "v"}}, "data": {"x": "y"}}
    assert entries_of("configmaps", obj) == [
        {
            "manager": "m",
            "operation": "Update",
            "apiVersion": "v1",
            "time": NOW,
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:data": {".": {}, "f:x": {}},
                "f:metadata": {"f:labels": {".": {}, "f:k": {}}},
            },
        }
    ]


def test_nothing_is_said_of_an_object_with_nothing_to_own() -> None:
    assert entries_of("configmaps", {"metadata": {"name": "a", "namespace": "n"}}) is None


def test_a_new_object_with_items_without_names_is_not_tracked() -> None:
    obj = {"metadata": {"name": "a"}, "secrets": [{"kind": "x"}]}
    assert entries_of("serviceaccounts", obj) is None


def test_the_status_of_a_new_object_belongs_to_nobody() -> None:
    obj = {"metadata": {"name": "a"}, "spec": {"podCIDR": "x"}, "status": {"phase": "y"}}
    assert entries_of("nodes", obj)[0]["fieldsV1"] == {"f:spec": {"f:podCIDR": {}}}


SET = sets.of_paths(
    [
        ("f:metadata", "f:labels", "f:a"),
        ("f:metadata", "f:ownerReferences"),
        ("f:spec", "f:containers", 'k:{"name":"c"}', "f:image"),
        ("f:spec", "f:containers", 'k:{"name":"c"}', "f:resources", "f:limits"),
        ("f:spec", "f:ephemeralContainers", 'k:{"name":"e"}'),
        ("f:status", "f:certificate"),
        ("f:status", "f:conditions"),
    ]
)
LABELS, OWNERS = ".metadata.labels.a", ".metadata.ownerReferences"
IMAGE = '.spec.containers[name="c"].image'
LIMITS = '.spec.containers[name="c"].resources.limits'
EPHEMERAL = '.spec.ephemeralContainers[name="e"]'
CERTIFICATE, CONDITIONS = ".status.certificate", ".status.conditions"
SPEC, STATUS = {IMAGE, LIMITS, EPHEMERAL}, {CERTIFICATE, CONDITIONS}
_CSRS = "certificates.k8s.io/certificatesigningrequests"


@pytest.mark.parametrize(
    ("storage", "subresource", "left"),
    [
        ("apps/daemonsets", "", {LABELS, OWNERS, *SPEC}),
        ("apps/daemonsets", "status", {LABELS, OWNERS, *STATUS}),
        ("apps/deployments", "status", {OWNERS, *STATUS}),
        ("pods", "status", {LABELS, *STATUS}),
        ("pods", "ephemeralcontainers", {EPHEMERAL}),
        ("pods", "resize", {LIMITS}),
        ("namespaces", "finalize", {LABELS, OWNERS, *SPEC}),
        (_CSRS, "", {LABELS, OWNERS}),
        (_CSRS, "status", {LABELS, OWNERS, CERTIFICATE}),
        (_CSRS, "approval", {LABELS, OWNERS, CONDITIONS}),
        ("storage.k8s.io/volumeattachments", "status", STATUS),
        ("flowcontrol.apiserver.k8s.io/flowschemas", "status", STATUS),
        ("configmaps", "", {LABELS, OWNERS, *SPEC, *STATUS}),
    ],
)
def test_what_a_write_drops_is_not_owned_by_it(
    storage: str, subresource: str, left: set[str]
) -> None:
    found = filter_of(resource(storage).info, subresource)(SET)
    assert {sets.show_path(path) for path in sets.paths_of(found)} == left


def test_an_update_is_told_in_the_version_of_the_request() -> None:
    autoscalers = CATALOG.by_version["autoscaling", "v1"]["horizontalpodautoscalers"]
    old = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "a", "managedFields": entries_of("configmaps", {
            "metadata": {"name": "a"}, "data": {"x": "y"}})},
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d"}},
        "status": {},
    }  # fmt: skip
    metric = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}
    spec = {**old["spec"], "metrics": [{"type": "Resource", "resource": metric}]}
    entries = autoscalers.tracker.updated(old, {**old, "spec": spec}, Writing("two", NOW))
    mine = [entry for entry in entries if entry["manager"] == "two"]
    assert mine[0]["apiVersion"] == "autoscaling/v1"
    assert mine[0]["fieldsV1"] == {"f:spec": {"f:targetCPUUtilizationPercentage": {}}}


def test_versions_that_are_not_served_are_missing() -> None:
    versions = resource("configmaps").tracker.versions("")
    for refused in (
        lambda: versions.type_at("v0"),
        lambda: versions.convert({"apiVersion": "v1"}, "v0"),
    ):
        with pytest.raises(MissingVersion):
            refused()


def test_what_does_not_fit_its_type_cannot_be_converted() -> None:
    versions = resource("autoscaling/horizontalpodautoscalers").tracker.versions("")
    with pytest.raises(TypedError):
        versions.convert({"apiVersion": "autoscaling/v1", "spec": 1}, "autoscaling/v2")
