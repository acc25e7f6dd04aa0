"""Binding a pod: what it shares with the stored one stays as it is."""

from __future__ import annotations

import copy
from typing import Final

from pod_fixtures import created, make_pod

from apiserver.types.pods import subresources
from kube.json_types import JsonObject

_NOW: Final = "2026-01-01T00:00:00Z"
_BINDING: Final[JsonObject] = {
    "metadata": {"name": "web", "annotations": {"a": "b"}, "labels": {"g": "h"}},
    "target": {"kind": "Node", "name": "n1"},
}


def test_binding_a_copy_leaves_the_pod_itself_alone() -> None:
    pod = created(make_pod())
    pod["metadata"] |= {"labels": {"c": "d"}, "annotations": {"e": "f"}}
    condition = {"type": "PodScheduled", "status": "False", "lastTransitionTime": "before"}
    pod["status"] |= {"conditions": [condition], "nominatedNodeName": "n1"}
    before, whole = copy.deepcopy(pod), copy.deepcopy(pod)
    copied = subresources.unshared(pod)
    subresources.assign_pod_to_node(copied, _BINDING, _NOW)
    assert pod == before
    subresources.assign_pod_to_node(whole, _BINDING, _NOW)
    assert copied == whole
