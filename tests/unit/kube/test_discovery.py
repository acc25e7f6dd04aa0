"""Discovery documents: shapes clients rely on, and agreement with a real server's."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from kube.builtin_kinds import builtin_registry
from kube.discovery import AGGREGATED_TYPE, Discovery, etag
from kube.kinds import ResourceInfo, SubresourceInfo

ROOT = Path(__file__).parents[3]
REFERENCE = Path(os.environ.get("ULTRAPLANE_REFERENCE", ROOT.parent / "shared" / "reference"))
DISCOVERY = Discovery(builtin_registry(), server_address="10.0.0.1:6443")
# What 1.37 changed in resources that the reference's 1.36 server also has.
CHANGED = frozenset({("storage.k8s.io", "v1", "csinodes")})


def document(encoded: bytes | None) -> dict[str, Any]:
    assert encoded is not None
    loaded = json.loads(encoded)
    assert isinstance(loaded, dict)
    return loaded


def listed(group: str, version: str) -> dict[str, dict[str, Any]]:
    resources = document(DISCOVERY.resources(group, version))["resources"]
    return {entry["name"]: entry for entry in resources}


def widget(*subresources: SubresourceInfo) -> ResourceInfo:
    config_map = builtin_registry().lookup("", "v1", "configmaps")
    assert config_map is not None
    return dataclasses.replace(
        config_map,
        group="example.com",
        kind="Widget",
        plural="widgets",
        singular="widget",
        subresources={child.name: child for child in subresources},
        storage_resource="example.com/widgets",
        storage_version="example.com/v1",
        custom=True,
    )


def test_api_names_the_core_version_and_where_to_reach_the_server() -> None:
    assert document(DISCOVERY.api()) == {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [
            {"clientCIDR": "0.0.0.0/0", "serverAddress": "10.0.0.1:6443"}
        ],
    }


def test_group_list_has_no_core_group_and_prefers_first_versions() -> None:
    groups = {group["name"]: group for group in document(DISCOVERY.apis())["groups"]}
    assert "" not in groups
    assert groups["autoscaling"]["preferredVersion"] == {
        "groupVersion": "autoscaling/v2",
        "version": "v2",
    }


def test_group_document_is_its_list_entry_with_a_type() -> None:
    entry = next(g for g in document(DISCOVERY.apis())["groups"] if g["name"] == "apps")
    assert document(DISCOVERY.group("apps")) == {"kind": "APIGroup", "apiVersion": "v1", **entry}


@pytest.mark.parametrize("name", ["", "nothing.example.com"])
def test_group_that_has_no_document_is_none(name: str) -> None:
    assert DISCOVERY.group(name) is None


def test_resources_of_unknown_version_are_none() -> None:
    assert DISCOVERY.resources("apps", "v9") is None


def test_core_resource_list_has_no_api_version_and_others_have() -> None:
    assert "apiVersion" not in document(DISCOVERY.resources("", "v1"))
    assert document(DISCOVERY.resources("apps", "v1"))["apiVersion"] == "v1"


def test_subresource_of_foreign_kind_names_its_group_and_version() -> None:
    assert listed("apps", "v1")["deployments/scale"] == {
        "name": "deployments/scale",
        "singularName": "",
        "namespaced": True,
        "group": "autoscaling",
        "version": "v1",
        "kind": "Scale",
        "verbs": ["get", "patch", "update"],
    }


def test_resource_without_storage_has_no_storage_version_hash() -> None:
    resources = listed("", "v1")
    assert "storageVersionHash" not in resources["bindings"]
    assert resources["configmaps"]["storageVersionHash"] == "qFsyl6wFWjQ="


def test_resources_are_listed_by_full_name() -> None:
    names = list(listed("", "v1"))
    assert names == sorted(names)


def test_aggregated_documents_part_core_from_named_groups() -> None:
    core = document(DISCOVERY.aggregated(core=True))
    named = document(DISCOVERY.aggregated(core=False))
    assert [item["metadata"] for item in core["items"]] == [{}]
    assert {} not in [item["metadata"] for item in named["items"]]


def test_aggregated_custom_resource_names_group_and_version() -> None:
    status = SubresourceInfo("status", "example.com", "v1", "Widget", ("get",))
    registry = builtin_registry().with_custom([widget(status)])
    items = document(Discovery(registry).aggregated(core=False))["items"]
    (group,) = (item for item in items if item["metadata"]["name"] == "example.com")
    kind = {"group": "example.com", "version": "v1", "kind": "Widget"}
    (resource,) = group["versions"][0]["resources"]
    assert resource["responseKind"] == kind
    assert resource["subresources"] == [
        {"subresource": "status", "responseKind": kind, "verbs": ["get"]}
    ]


def test_document_is_encoded_once() -> None:
    assert DISCOVERY.apis() is DISCOVERY.apis()


def test_etag_is_quoted_upper_case_sha512() -> None:
    tag = etag(b"{}")
    assert tag == '"' + hashlib.sha512(b"{}").hexdigest().upper() + '"'


def test_content_type_names_group_version_and_kind() -> None:
    assert AGGREGATED_TYPE == (
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    )


@pytest.mark.parametrize("path", sorted(REFERENCE.glob("api__v1.json")), ids=lambda p: p.name)
def test_core_list_agrees_with_a_real_server(path: Path) -> None:
    assert document(DISCOVERY.resources("", "v1")) == json.loads(path.read_bytes())


@pytest.mark.parametrize("path", sorted(REFERENCE.glob("aggregated_v2.json")), ids=lambda p: p.name)
def test_aggregated_document_agrees_with_a_real_server(path: Path) -> None:
    theirs = json.loads(path.read_bytes())
    ours = document(DISCOVERY.aggregated(core=False))
    their_resources, our_resources = by_name(theirs), by_name(ours)
    shared = (their_resources.keys() & our_resources.keys()) - CHANGED
    assert len(shared) > 60
    assert {key: our_resources[key] for key in shared} == {
        key: their_resources[key] for key in shared
    }
    their_order = [item["metadata"]["name"] for item in theirs["items"]]
    our_order = [item["metadata"]["name"] for item in ours["items"]]
    assert [name for name in our_order if name in their_order] == their_order


def by_name(aggregated: dict[str, Any]) -> dict[tuple[str, str, str], dict[str, Any]]:
    return {
        (item["metadata"]["name"], version["version"], resource["resource"]): resource
        for item in aggregated["items"]
        for version in item["versions"]
        for resource in version["resources"]
    }
