"""Which partition a resource is in."""

from __future__ import annotations

import pytest

from storage.partition_map import DEFAULT_PARTITIONS, PartitionMap


def test_what_no_partition_lists_is_in_default() -> None:
    partitions = PartitionMap(DEFAULT_PARTITIONS)
    assert partitions.of("pods") == "pods"
    assert partitions.of("coordination.k8s.io/leases") == "leases"
    assert partitions.of("services") == partitions.of("networking.k8s.io/ipaddresses") == "default"


def test_default_exists_without_being_listed() -> None:
    assert PartitionMap({"pods": ("pods",)}).names == ("pods", "default")


def test_a_resource_is_in_one_partition() -> None:
    with pytest.raises(ValueError, match="pods is listed by partitions a and b"):
        PartitionMap({"a": ("pods",), "b": ("pods",)})
