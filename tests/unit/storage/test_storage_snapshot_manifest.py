"""A manifest comes back as it was, or is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from storage.snapshot_manifest import Manifest, ManifestInvalid, PartitionFacts

FACTS = PartitionFacts("pods", 41, 7, 1000, "ab", {"pods": 3, "nodes": 2}, "cd", "checkpoints/x")
MANIFEST = Manifest(
    "ef", "0.1", "2026-11-26T00:00:00+00:00", {"pods": "pods"}, (FACTS,), has_pki=True
)


def _told() -> dict[str, Any]:
    told: dict[str, Any] = json.loads(json.dumps(MANIFEST.encode()))
    return told


def test_a_manifest_comes_back_as_it_was() -> None:
    assert Manifest.decode(_told()) == MANIFEST
    assert MANIFEST.count == 5


def test_what_a_later_program_adds_is_left_out() -> None:
    assert Manifest.decode(_told() | {"mood": "good"}) == MANIFEST


@pytest.mark.parametrize(
    "change",
    [
        {"cluster": None},
        {"has_pki": 1},
        {"partition_map": {"pods": 3}},
        {"partitions": []},
        {"partitions": [[]]},
        {"partitions": [FACTS.__class__.__name__]},
    ],
)
def test_a_manifest_of_another_shape_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ManifestInvalid):
        Manifest.decode(_told() | change)


@pytest.mark.parametrize(
    "change",
    [{"revision": "41"}, {"revision": True}, {"revision": 0}, {"objects": {"pods": "3"}}]
    + [{"name": name} for name in ("", "../x", "a/b", "A", "meta.partitions")],
)
def test_a_partition_of_another_shape_is_refused(change: dict[str, Any]) -> None:
    told = _told()
    told["partitions"][0] |= change
    with pytest.raises(ManifestInvalid):
        Manifest.decode(told)


def test_a_partition_that_is_there_twice_is_refused() -> None:
    told = _told()
    told["partitions"] *= 2
    with pytest.raises(ManifestInvalid):
        Manifest.decode(told)
