"""Disks of a fleet: which claims get one, what it is like, when it goes or grows."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.fleet import disk_objects as disks
from controllers.volumes import facts

DELAYED = disks.storage_class("standard", is_default=True)
IMMEDIATE = {**DELAYED, "volumeBindingMode": "Immediate"}


def _claim(**spec: Any) -> dict[str, Any]:
    whole = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "2Gi"}},
        "storageClassName": "standard",
        **spec,
    }
    metadata = {"name": "c", "namespace": "ns", "uid": "u-1", "resourceVersion": "7"}
    return {"metadata": {**metadata, "annotations": {}}, "spec": whole, "status": {}}


def _asked(claim: dict[str, Any], node: str = "") -> dict[str, Any]:
    claim["metadata"]["annotations"][facts.PROVISIONER] = disks.DRIVER
    if node:
        claim["metadata"]["annotations"][facts.SELECTED_NODE] = node
    return claim


def _bound(**status: Any) -> dict[str, Any]:
    claim = _claim(volumeName="pvc-u-1")
    claim["status"] = {"phase": "Bound", "capacity": {"storage": "1Gi"}, **status}
    return claim


def test_a_disk_is_due_once_the_binder_asks_and_a_node_is_chosen_if_its_class_waits() -> None:
    assert not disks.is_due(_claim(), IMMEDIATE)
    assert disks.is_due(_asked(_claim()), IMMEDIATE)
    assert not disks.is_due(_asked(_claim()), DELAYED)
    assert disks.is_due(_asked(_claim(), "node-0"), DELAYED)


def test_claims_of_others_and_those_with_a_volume_are_not_wanted() -> None:
    assert disks.is_wanted(_claim(), DELAYED)
    assert not disks.is_wanted(_claim(), None)
    assert not disks.is_wanted(_claim(), {**DELAYED, "provisioner": "example.com"})
    assert not disks.is_wanted(_claim(volumeName="v"), DELAYED)
    leaving = _claim()
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert not disks.is_wanted(leaving, DELAYED)


def test_a_volume_is_for_its_claim_alone_and_says_who_made_it() -> None:
    kind = {**DELAYED, "reclaimPolicy": "Retain", "mountOptions": ["ro"]}
    claim = _claim(volumeMode="Block")
    volume = disks.volume_of(claim, kind, "zone-a")
    assert volume["metadata"]["name"] == "pvc-u-1"
    assert disks.is_ours(volume)
    assert facts.is_for(volume, claim)
    spec = volume["spec"]
    assert spec["capacity"] == {"storage": "2Gi"}
    assert spec["persistentVolumeReclaimPolicy"] == "Retain"
    assert spec["mountOptions"] == ["ro"]
    assert (spec["volumeMode"], "fsType" in spec["csi"]) == ("Block", False)
    assert disks.volume_of(_claim(), DELAYED, "")["spec"]["csi"]["fsType"] == "ext4"


@pytest.mark.parametrize(
    ("phase", "policy", "maker", "goes"),
    [
        ("Released", "Delete", disks.DRIVER, True),
        ("Bound", "Delete", disks.DRIVER, False),
        ("Released", "Retain", disks.DRIVER, False),
        ("Released", "Delete", "example.com", False),
    ],
)
def test_only_released_volumes_of_ours_with_the_policy_delete_go(
    phase: str, policy: str, maker: str, *, goes: bool
) -> None:
    volume = disks.volume_of(_claim(), DELAYED, "")
    volume["metadata"]["annotations"][facts.PROVISIONED_BY] = maker
    volume["spec"]["persistentVolumeReclaimPolicy"] = policy
    volume["status"] = {"phase": phase}
    assert disks.is_to_be_deleted(volume) is goes


def test_a_claim_that_has_grown_says_so_and_keeps_conditions_of_others() -> None:
    conditions = [{"type": "Resizing"}, {"type": "Other"}]
    claim = _bound(conditions=conditions, allocatedResourceStatuses={"storage": "X", "y": "Y"})
    assert disks.is_to_grow(claim)
    claim["status"] = disks.grown_status(claim)
    assert not disks.is_to_grow(claim)
    assert claim["status"]["capacity"] == {"storage": "2Gi"}
    assert claim["status"]["conditions"] == [{"type": "Other"}]
    assert claim["status"]["allocatedResourceStatuses"] == {"y": "Y"}
    assert not disks.is_to_grow(_claim())


def test_a_claim_without_a_node_gets_the_same_zone_each_time() -> None:
    zones = ["b", "a", "c"]
    found = disks.zone_for(_claim(), zones)
    assert found in zones
    assert disks.zone_for(_claim(), list(reversed(zones))) == found
    assert disks.zone_for(_claim(), []) == ""


def test_a_copy_needs_a_bound_source_of_no_greater_size() -> None:
    copy = _claim(dataSource={"kind": disks.CLAIM_KIND, "name": "s"})
    assert "not found" in disks.fault_of(copy, None)
    assert "Bound" in disks.fault_of(copy, _claim())
    assert "larger" in disks.fault_of(copy, _bound(capacity={"storage": "3Gi"}))
    assert disks.fault_of(copy, _bound()) == ""
    assert disks.fault_of(_claim(selector={}), None) == ""
    assert "Selector" in disks.fault_of(_claim(selector={"matchLabels": {"a": "b"}}), None)
