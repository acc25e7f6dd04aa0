"""The default policy: it is upstream's, as far as a reference of a real server is at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from apiserver.rbac.index import STORAGES
from apiserver.rbac.policy import default_objects
from kube.builtin_kinds import builtin_registry

REFERENCE = Path(__file__).parents[5] / "shared" / "reference" / "bootstrap-objects.json"
NOT_UPSTREAMS = frozenset({"service-ca-cert-publisher", "public-info-viewer"})
"""What the distribution adds that the reference was read off."""
OWN = frozenset({"leaderworkerset-controller", "storage-version-garbage-collector"})
"""Of controllers that upstream's manager does not run, or not unless that is switched on."""
SWITCHED_OFF = ("podgroups", "devicetaintrules")
"""What the reference's server did not serve, so nobody may read it there."""
Json = dict[str, Any]


def _ours() -> dict[tuple[str, str, str], Json]:
    return {
        (storage, namespace, obj["metadata"]["name"]): obj
        for storage, namespace, obj in default_objects()
    }


def _is_off(rule: Json) -> bool:
    return any(name in str(rule) for name in SWITCHED_OFF)


def test_names_are_unique_and_every_bound_role_is_there() -> None:
    ours = _ours()
    assert len(ours) == len(default_objects())
    for (storage, namespace, name), obj in ours.items():
        if "roleRef" in obj:
            space = namespace if obj["roleRef"]["kind"] == "Role" else ""
            role = storage.replace("bindings", "s")
            assert (role, space, obj["roleRef"]["name"]) in ours, name


def test_rules_for_served_resources_name_such_as_there_are() -> None:
    registry = builtin_registry()
    known = {(info.group, info.plural) for info in registry.all()}
    served = {group for group, _ in known}
    unknown = {
        (group, resource)
        for _, _, obj in default_objects()
        for rule in obj.get("rules") or ()
        for group in rule.get("apiGroups") or ()
        for resource in rule.get("resources") or ()
        if group in served and (group, resource.partition("/")[0]) not in known and resource != "*"
    }
    # What is approved and signed is asked of signers, which are no objects.
    assert {name for _, name in unknown} <= {"signers", "leasecandidates", "*/scale"}, unknown


@pytest.mark.skipif(not REFERENCE.exists(), reason="no reference data here")
def test_roles_and_bindings_are_upstreams() -> None:
    kinds = dict(
        zip(("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"), STORAGES, strict=True)
    )
    ours, theirs = _ours(), {}
    for item in json.loads(REFERENCE.read_bytes())["items"]:
        metadata = item["metadata"]
        if item["kind"] in kinds and metadata["name"].rpartition(":")[2] not in NOT_UPSTREAMS:
            key = (kinds[item["kind"]], metadata.get("namespace", ""), metadata["name"])
            theirs[key] = item
    assert theirs, "the reference is empty"
    for key, item in theirs.items():
        mine = ours[key]
        for field in ("aggregationRule", "roleRef", "subjects"):
            assert mine.get(field) == item.get(field), key
        for field in ("labels", "annotations"):
            assert mine["metadata"][field] == item["metadata"][field], key
        if "aggregationRule" not in mine:
            rules = [rule for rule in mine.get("rules") or () if not _is_off(rule)]
            assert rules == (item.get("rules") or []), key
    extra = {name for _, _, name in ours.keys() - theirs.keys()}
    assert all(name.rpartition(":")[2] in NOT_UPSTREAMS | OWN for name in extra), extra
