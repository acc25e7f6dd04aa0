"""The built-in resource table: names, verbs, subresources, order, and agreement with a server."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from kube import builtin_kinds
from kube.builtin_kinds import builtin_registry
from kube.kinds import Registry, ResourceInfo, split_group_version, version_sort_key
from kube.runtime_config import RuntimeConfigError

REGISTRY = builtin_registry()
ROOT = Path(__file__).parents[3]
REFERENCE = Path(os.environ.get("ULTRAPLANE_REFERENCE", ROOT.parent / "shared" / "reference"))


def find(group: str, version: str, plural: str) -> ResourceInfo:
    info = REGISTRY.lookup(group, version, plural)
    assert info is not None
    return info


def widget(group: str, version: str) -> ResourceInfo:
    return ResourceInfo(
        group=group,
        version=version,
        kind="Widget",
        plural="widgets",
        singular="widget",
        short_names=(),
        categories=(),
        namespaced=True,
        verbs=("get",),
        list_kind="",
        subresources={},
        storage_resource=f"{group}/widgets",
        storage_version=f"{group}/{version}",
        schema_name="",
        custom=True,
    )


def test_every_resource_kind_has_a_definition() -> None:
    assert all(info.schema_name.endswith(f".{info.kind}") for info in REGISTRY.all())


def test_pods_have_all_their_subresources() -> None:
    assert set(find("", "v1", "pods").subresources) == {
        "attach", "binding", "ephemeralcontainers", "eviction", "exec", "log", "portforward",
        "proxy", "resize", "status",
    }  # fmt: skip


def test_subresources_of_foreign_kinds_name_their_group() -> None:
    eviction = find("", "v1", "pods").subresources["eviction"]
    assert (eviction.group, eviction.version, eviction.kind) == ("policy", "v1", "Eviction")
    token = find("", "v1", "serviceaccounts").subresources["token"]
    assert (token.group, token.kind, token.verbs) == (
        "authentication.k8s.io", "TokenRequest", ("create",),
    )  # fmt: skip


def test_reviews_bindings_and_component_statuses_store_nothing() -> None:
    virtual = {info.plural for info in REGISTRY.all() if info.virtual}
    assert virtual == {
        "bindings", "componentstatuses", "localsubjectaccessreviews", "selfsubjectaccessreviews",
        "selfsubjectreviews", "selfsubjectrulesreviews", "subjectaccessreviews", "tokenreviews",
    }  # fmt: skip


def test_all_versions_of_a_resource_share_storage_and_storage_version() -> None:
    assert find("autoscaling", "v1", "horizontalpodautoscalers").storage_version == "autoscaling/v2"
    for info in REGISTRY.all():
        stored = {other.storage_version for other in REGISTRY.versions_of(info.storage_resource)}
        assert len(stored) == 1


def test_both_event_resources_store_the_same_objects() -> None:
    for group in ("", "events.k8s.io"):
        info = find(group, "v1", "events")
        assert (info.storage_resource, info.storage_version) == ("events", "v1")


def test_second_load_comes_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ULTRAPLANE_CACHE_DIR", str(tmp_path))
    first = list(builtin_kinds.builtin_registry.__wrapped__().all())

    def refuse() -> None:
        raise AssertionError("the table was built twice")

    monkeypatch.setattr(builtin_kinds, "_build", refuse)
    assert list(builtin_kinds.builtin_registry.__wrapped__().all()) == first


def test_versions_sort_by_stability_then_number_then_name() -> None:
    given = ["v1alpha1", "foo", "v1", "v2beta1", "v10", "v1beta2", "bar", "v2"]
    expected = ["v10", "v2", "v1", "v2beta1", "v1beta2", "v1alpha1", "bar", "foo"]
    assert sorted(given, key=version_sort_key) == expected


def test_group_version_with_two_slashes_is_refused() -> None:
    with pytest.raises(ValueError, match="unexpected GroupVersion string: a/b/c"):
        split_group_version("a/b/c")


def test_custom_groups_come_after_built_in_ones_best_version_first() -> None:
    registry = REGISTRY.with_custom([widget("a.example", "v1beta1"), widget("a.example", "v1")])
    assert list(registry.groups)[-1] == "a.example"
    assert registry.groups["a.example"].versions == ("v1", "v1beta1")
    assert registry.by_kind("a.example", "v1", "Widget") is not None
    assert REGISTRY.lookup("a.example", "v1", "widgets") is None


def served(*settings: str) -> Registry:
    """Return what `key=value` settings leave of all."""
    return REGISTRY.enabled(dict(one.split("=") for one in settings))


def test_everything_is_served_without_settings() -> None:
    assert list(served().all()) == list(REGISTRY.all())


def test_narrow_settings_win_over_wide_ones_in_any_order() -> None:
    registry = served("resource.k8s.io/v1beta2=true", "api/beta=false", "api/alpha=false")
    assert registry.groups["resource.k8s.io"].versions == ("v1", "v1beta2")
    assert "lifecycle.k8s.io" not in registry.groups
    assert registry.lookup("coordination.k8s.io", "v1beta1", "leasecandidates") is None


def test_single_resources_can_be_switched() -> None:
    registry = served("api/all=false", "apps/v1/deployments=")
    assert [info.plural for info in registry.all()] == ["deployments"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("api/all=yes", "invalid value api/all=yes"),
        ("apps=true", "runtime-config invalid key apps"),
        ("nosuch.group/v1=true", "unknown api groups nosuch.group"),
        ("apps/v9=true", "group version apps/v9 that has not been registered"),
        ("apps/v1/Deployments=true", "resource is always lowercase plural"),
        ("apps/v1=maybe", 'strconv.ParseBool: parsing "maybe": invalid syntax'),
    ],
)
def test_malformed_settings_are_refused(setting: str, message: str) -> None:
    with pytest.raises(RuntimeConfigError) as caught:
        served(setting)
    assert message in str(caught.value)


def reference(name: str) -> Any:
    path = REFERENCE / name
    if not path.exists():
        pytest.skip("no reference data here")
    return json.loads(path.read_text(encoding="utf-8"))


# Served by the reference (one minor version older), gone from the version we follow.
REMOVED = {
    ("certificates.k8s.io", "v1alpha1"),
    ("networking.k8s.io", "v1beta1"),
    ("storage.k8s.io", "v1beta1"),
    ("scheduling.k8s.io", "v1alpha2"),
}


def test_core_resources_agree_with_a_real_server() -> None:
    seen = {}
    for entry in reference("api__v1.json")["resources"]:
        plural, _, sub = entry["name"].partition("/")
        info = find("", "v1", plural)
        if sub:
            child = info.subresources[sub]
            assert child.kind == entry["kind"]
            assert list(child.verbs) == entry["verbs"]
            assert child.group == entry.get("group", "")
            seen.setdefault(plural, set()).add(sub)
            continue
        assert_same(info, entry["singularName"], entry)
        assert (info.kind, info.namespaced) == (entry["kind"], entry["namespaced"])
        assert info.storage_version_hash == entry.get("storageVersionHash", "")
    for info in REGISTRY.in_version("", "v1"):
        assert set(info.subresources) == seen.get(info.plural, set())


def test_grouped_resources_agree_with_a_real_server() -> None:
    items = reference("aggregated_v2.json")["items"]
    names = [item["metadata"]["name"] for item in items]
    assert [name for name in REGISTRY.groups if name in names] == names
    for item in items:
        group = item["metadata"]["name"]
        for version in item["versions"]:
            if (group, version["version"]) in REMOVED:
                continue
            for entry in version["resources"]:
                compare_grouped(find(group, version["version"], entry["resource"]), entry)


def assert_same(info: ResourceInfo, singular: str, entry: dict[str, Any]) -> None:
    assert info.singular == singular
    assert list(info.short_names) == entry.get("shortNames", [])
    assert list(info.categories) == entry.get("categories", [])
    assert list(info.verbs) == entry["verbs"]


def compare_grouped(info: ResourceInfo, entry: dict[str, Any]) -> None:
    assert_same(info, entry["singularResource"], entry)
    assert info.kind == entry["responseKind"]["kind"]
    assert info.namespaced == (entry["scope"] == "Namespaced")
    for sub in entry.get("subresources", []):
        child = info.subresources[sub["subresource"]]
        assert child.kind == sub["responseKind"]["kind"]
        assert list(child.verbs) == sub["verbs"]
