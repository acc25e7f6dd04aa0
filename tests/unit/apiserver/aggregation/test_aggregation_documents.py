"""Discovery and OpenAPI of extensions: what is taken from them, and where it is put."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from apiserver.aggregation.asking import Answer
from apiserver.aggregation.discovery_cache import _decoded, _from_resource_list, _of_document
from apiserver.aggregation.local import wanted_services
from apiserver.aggregation.merged_discovery import MergedDiscovery
from apiserver.aggregation.model import ApiService, RankedVersion, Reference, in_order, parse
from apiserver.aggregation.openapi import _filtered, renamed_apart
from apiserver.proxying.wire import BackendFailed, Head
from kube.builtin_kinds import builtin_registry
from kube.discovery import Discovery
from kube.openapi.sections import JSON_FORM, encoded, joined

REGISTRY = builtin_registry()
LOCAL = Discovery(REGISTRY)


def _api(group: str = "example.test", version: str = "v1", **more: Any) -> ApiService:
    values = {"group_priority": 100, "version_priority": 10, **more}
    service = Reference("a", "b", 443)
    return ApiService(f"{version}.{group}", group, version, service=service, **values)


def _merged(*apis: ApiService, entries: dict[str, Any] | None = None) -> MergedDiscovery:
    merged = MergedDiscovery(lambda: (REGISTRY, LOCAL))
    merged.replace(apis, entries or {})
    return merged


def test_without_extensions_documents_are_the_very_same() -> None:
    merged = _merged()
    assert merged.apis() is LOCAL.apis()
    assert merged.aggregated(core=False) is LOCAL.aggregated(core=False)


def test_an_extensions_group_stands_where_its_priority_says() -> None:
    names = [
        group["name"]
        for group in orjson.loads(
            _merged(_api("middle.test", group_priority=17_750), _api()).apis()
        )["groups"]
    ]
    assert names[0] == "apiregistration.k8s.io"
    assert names[names.index("middle.test") - 1] == "events.k8s.io"
    assert names[-1] == "example.test"


def test_our_own_group_is_first_whatever_others_ask_for() -> None:
    groups = orjson.loads(_merged(_api("a.test", group_priority=20_000)).apis())["groups"]
    assert [group["name"] for group in groups[:2]] == ["apiregistration.k8s.io", "a.test"]


def test_versions_are_sorted_by_priority_and_then_by_maturity() -> None:
    ranked = [
        RankedVersion("g", 1, "v1", 5),
        RankedVersion("g", 9, "v2beta1", 5),
        RankedVersion("g", 1, "v1alpha1", 7),
        RankedVersion("f", 3, "v1", 1),
    ]
    assert in_order(ranked) == {"g": ["v1alpha1", "v1", "v2beta1"], "f": ["v1"]}


def test_an_extension_may_add_a_version_to_a_group_of_ours() -> None:
    entry = {"version": "v9", "resources": [], "freshness": "Current"}
    merged = _merged(_api("apps", "v9", version_priority=99), entries={"v9.apps": entry})
    group = orjson.loads(merged.group("apps") or b"")
    assert [one["version"] for one in group["versions"]] == ["v9", "v1"]
    items = orjson.loads(merged.aggregated(core=False))["items"]
    apps = next(item for item in items if item["metadata"]["name"] == "apps")
    assert apps["versions"][0] == entry
    assert apps["versions"][1]["resources"]


def test_documents_follow_what_is_known() -> None:
    merged = _merged(_api())
    stale = orjson.loads(merged.aggregated(core=False))["items"][-1]["versions"]
    assert stale == [{"version": "v1", "freshness": "Stale"}]
    entry = {"version": "v1", "resources": [], "freshness": "Current"}
    merged.replace([_api()], {"v1.example.test": entry})
    assert orjson.loads(merged.aggregated(core=False))["items"][-1]["versions"] == [entry]
    merged.replace([], {})
    assert merged.apis() is LOCAL.apis()


def test_only_what_clients_expect_is_taken_from_an_aggregated_document() -> None:
    document: Any = {
        "items": [
            7,
            {"metadata": "x"},
            {
                "metadata": {"name": "example.test"},
                "versions": [
                    {
                        "version": "v1",
                        "resources": [
                            None,
                            {"resource": 5, "verbs": ["get", 3], "subresources": "no", "x": 1},
                        ],
                    }
                ],
            },
        ]
    }
    empty = {"group": "", "version": "", "kind": ""}
    assert _of_document(document, _api())["resources"] == [
        {
            "resource": "",
            "responseKind": empty,
            "scope": "Namespaced",
            "singularResource": "",
            "verbs": ["get"],
        }
    ]
    assert _of_document({"items": {}}, _api()) == {"version": "v1", "freshness": "Current"}


def test_the_older_form_is_turned_into_the_newer_one() -> None:
    document = {
        "resources": [
            {"name": "gadgets/status", "kind": "Gadget", "namespaced": True, "verbs": ["get"]},
            {
                "name": "gadgets",
                "singularName": "gadget",
                "kind": "Gadget",
                "namespaced": True,
                "verbs": ["list"],
                "categories": ["all"],
            },
        ]
    }
    kind = {"group": "example.test", "version": "v1", "kind": "Gadget"}
    assert _from_resource_list(document, _api()) == [
        {
            "resource": "gadgets",
            "responseKind": kind,
            "scope": "Namespaced",
            "singularResource": "gadget",
            "verbs": ["list"],
            "categories": ["all"],
            "subresources": [{"subresource": "status", "responseKind": kind, "verbs": ["get"]}],
        }
    ]


@pytest.mark.parametrize("body", [b"", b"[]", b'"x"', b"{"])
def test_what_is_no_json_object_is_no_answer(body: bytes) -> None:
    with pytest.raises(BackendFailed):
        _decoded(Answer(Head(200, b"", []), body))


def test_openapi_takes_a_versions_paths_and_what_they_refer_to() -> None:
    spec = {
        "paths": {
            "/apis/e/v1/x": {"$ref": "#/definitions/a"},
            "/apis/e/v1beta1/x": {"$ref": "#/definitions/c"},
        },
        "definitions": {
            "a": {"items": [{"$ref": "#/definitions/b"}, {"$ref": "#/definitions/absent"}]},
            "b": {"$ref": "#/definitions/a"},
            "c": {},
        },
    }
    kept = orjson.loads(_filtered(orjson.dumps(spec), "/apis/e/v1/"))
    assert list(kept["paths"]) == ["/apis/e/v1/x"]
    assert sorted(kept["definitions"]) == ["a", "b"]
    for useless in (b"no", b"[]", b'{"paths":3}', orjson.dumps({**spec, "paths": {}})):
        assert _filtered(useless, "/apis/e/v1/") == b"{}"


def test_openapi_takes_the_shared_parameters_that_a_versions_paths_name() -> None:
    spec = {
        "paths": {"/apis/e/v1/x": {"parameters": [{"$ref": "#/parameters/used"}]}},
        "parameters": {"used": {"name": "a"}, "unused": {"name": "b"}},
    }
    kept = orjson.loads(_filtered(orjson.dumps(spec), "/apis/e/v1/"))
    assert kept["parameters"] == {"used": {"name": "a"}}


def test_definitions_that_differ_get_names_of_their_own() -> None:
    known = {"paths": {"/x": {}}, "definitions": {"same": {"a": 1}, "other": {"a": 1}}}
    sections = [encoded(known, JSON_FORM)]
    spec = {
        "paths": {"/y": {"$ref": "#/definitions/other"}, "/x": {"get": {}}},
        "definitions": {"same": {"a": 1}, "other": {"$ref": "#/definitions/same"}},
    }
    added = [encoded(each, JSON_FORM) for each in renamed_apart([spec, spec], sections)]
    merged = orjson.loads(joined([*sections, *added], JSON_FORM))
    assert merged["paths"] == {"/x": {}, "/y": {"$ref": "#/definitions/other_v2"}}
    assert merged["definitions"] == {
        "same": {"a": 1},
        "other": {"a": 1},
        "other_v2": {"$ref": "#/definitions/same"},
    }


def test_each_of_our_versions_but_that_of_apiservices_is_to_have_one() -> None:
    wanted = wanted_services(REGISTRY)
    assert "v1.apiregistration.k8s.io" not in wanted
    assert wanted["v1."]["spec"] == {
        "version": "v1",
        "groupPriorityMinimum": 18_000,
        "versionPriority": 1,
    }
    spec = wanted["v1.autoscaling"]["spec"]
    assert (spec["groupPriorityMinimum"], spec["versionPriority"]) == (17_500, 15)


def test_a_damaged_ca_bundle_believes_nobody() -> None:
    spec = {"service": {"namespace": "a", "name": "b"}, "caBundle": "%%"}
    api = parse({"metadata": {"name": "v1.x"}, "spec": spec})
    assert (api.ca_bundle, api.service) == (b"", Reference("a", "b", 443))
    assert not api.is_available
