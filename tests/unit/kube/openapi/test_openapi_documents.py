"""OpenAPI documents as a whole: hashes, reuse, caching, and agreement with a real server's."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from kube.builtin_kinds import builtin_registry
from kube.kinds import Registry, ResourceInfo
from kube.openapi import CustomKind, OpenApi
from kube.openapi.sections import JSON_FORM, PROTOBUF_FORM, Form, nothing_made

ROOT = Path(__file__).parents[4]
REFERENCE = Path(os.environ.get("ULTRAPLANE_REFERENCE", ROOT.parent / "shared" / "reference"))
OPENAPI = OpenApi(builtin_registry())
WIDGET = ("example.com", "v1", "Widget")
# Not served: the server has no service account issuer documents of its own yet.
ISSUER_PATHS = {"/.well-known/openid-configuration/", "/openid/v1/jwks/"}
# Of feature gates that are not supported.
GATED_PARAMETERS = {"shardSelector", "ignoreStoreReadErrorWithClusterBreakingPotential"}


def document(encoded: bytes | None) -> dict[str, Any]:
    assert encoded is not None
    loaded = json.loads(encoded)
    assert isinstance(loaded, dict)
    return loaded


def index(openapi: OpenApi) -> dict[str, str]:
    paths = document(openapi.v3_index())["paths"]
    return {path: entry["serverRelativeURL"] for path, entry in paths.items()}


def widget() -> ResourceInfo:
    config_map = builtin_registry().lookup("", "v1", "configmaps")
    assert config_map is not None
    return dataclasses.replace(
        config_map,
        group="example.com",
        kind="Widget",
        plural="widgets",
        list_kind="WidgetList",
        schema_name="",
        custom=True,
    )


def with_widget(fingerprint: str = "1", previous: OpenApi | None = None) -> OpenApi:
    registry = builtin_registry().with_custom([widget()])
    schema = {"type": "object", "properties": {"size": {"type": "integer"}}}
    custom = {WIDGET: CustomKind(schema, fingerprint)}
    return OpenApi(registry, custom=custom, previous=previous)


def operations(swagger: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return operations by id, each with its path, method and all parameters' names."""
    found = {}
    for path, item in swagger["paths"].items():
        for method, operation in item.items():
            if method == "parameters" or "/watch/" in path:
                continue
            given = operation.get("parameters", []) + item.get("parameters", [])
            resolved = [
                swagger["parameters"][p["$ref"].removeprefix("#/parameters/")] if "$ref" in p else p
                for p in given
            ]
            named = {(p["name"], p["in"], p.get("type")) for p in resolved}
            found[operation["operationId"]] = {
                "path": path,
                "method": method,
                "parameters": {name for name in named if name[0] not in GATED_PARAMETERS},
                "tags": operation["tags"],
                "description": operation["description"],
                "action": operation.get("x-kubernetes-action"),
                "kind": operation.get("x-kubernetes-group-version-kind"),
                "responses": {
                    code: answer.get("schema") for code, answer in operation["responses"].items()
                },
                "patch types": operation["consumes"] if method == "patch" else None,
            }
    return found


def test_index_names_every_served_version_and_group() -> None:
    assert {"api", "apis", "version", "api/v1", "apis/apps", "apis/apps/v1"} <= index(
        OPENAPI
    ).keys()


def test_index_urls_carry_the_document_hashes() -> None:
    url = urlsplit(index(OPENAPI)["apis/apps/v1"])
    assert url.path == "/openapi/v3/apis/apps/v1"
    assert parse_qs(url.query) == {"hash": [OPENAPI.v3_hash("apis/apps/v1")]}


def test_every_document_of_the_index_exists() -> None:
    assert all(OPENAPI.v3(path) is not None for path in index(OPENAPI))


def test_index_is_made_without_building_documents() -> None:
    openapi = OpenApi(builtin_registry())
    openapi.v3_index()
    assert set(openapi._documents) == {"index"}


@pytest.mark.parametrize("path", ["", "api/v2", "apis/nothing", "apis/apps/v1/deployments"])
def test_path_without_document_is_none(path: str) -> None:
    assert OPENAPI.v3(path) is None
    assert OPENAPI.v3_hash(path) is None


def test_same_registry_gives_the_same_hashes() -> None:
    assert OpenApi(builtin_registry()).v3_index() == OPENAPI.v3_index()


def test_changed_custom_schema_changes_only_its_hash() -> None:
    before, after = index(with_widget("1")), index(with_widget("2"))
    assert {path for path in before if before[path] != after[path]} == {"apis/example.com/v1"}


@pytest.mark.parametrize("form", [JSON_FORM, PROTOBUF_FORM], ids=["json", "protobuf"])
def test_a_changed_custom_type_has_its_own_section_of_v2_encoded_anew_and_no_other(
    form: Form,
) -> None:
    before = with_widget("1")
    known = before.sections(form)
    after = with_widget("2", previous=before)
    changed = [new for old, new in zip(known, after.sections(form), strict=True) if old is not new]
    assert [next(iter(section.paths)) for section in changed] == ["/apis/example.com/v1/"]


def test_v2_of_sections_that_were_kept_is_that_of_sections_made_anew() -> None:
    kept = with_widget("2", previous=with_widget("1", previous=OpenApi(builtin_registry())))
    kept.v2()
    anew = with_widget("2")
    assert (kept.v2(), kept.v2_protobuf()) == (anew.v2(), anew.v2_protobuf())


def test_v2_from_what_is_kept_on_disk_is_that_of_a_first_start() -> None:
    known = nothing_made()
    anew = OpenApi(builtin_registry(), builtin=lambda _: known)
    assert anew.v2() == OPENAPI.v2()


def test_unchanged_documents_are_taken_over() -> None:
    before = with_widget("1")
    kept = before.v3("apis/batch/v1")
    dropped = before.v3("apis/example.com/v1")
    whole = before.v2()
    after = with_widget("2", previous=before)
    assert after.v3("apis/batch/v1") is kept
    assert after.v3("apis/example.com/v1") is not dropped
    assert after.v2() is not whole


def test_all_documents_are_taken_over_when_nothing_changed() -> None:
    before = with_widget("1")
    whole = before.v2()
    assert with_widget("1", previous=before).v2() is whole


def test_documents_are_built_once() -> None:
    assert OPENAPI.v3("api/v1") is OPENAPI.v3("api/v1")
    assert OPENAPI.v2() is OPENAPI.v2()


def test_etag_is_quoted_upper_case_sha512() -> None:
    expected = '"' + hashlib.sha512(b"{}").hexdigest().upper() + '"'
    assert OPENAPI.etag(b"{}") == expected


def test_etag_of_own_document_is_remembered() -> None:
    body = OPENAPI.v3("apis/batch/v1")
    assert body is not None
    assert OPENAPI.etag(body) is OPENAPI.etag(body)


def test_references_of_every_v3_document_resolve() -> None:
    for path in index(OPENAPI):
        text = OPENAPI.v3(path)
        schemas = document(text).get("components", {}).get("schemas", {})
        assert set(references(document(text))) <= {f"#/components/schemas/{n}" for n in schemas}


def test_references_of_the_v2_document_resolve() -> None:
    swagger = document(OPENAPI.v2())
    known = {f"#/definitions/{name}" for name in swagger["definitions"]}
    known |= {f"#/parameters/{name}" for name in swagger["parameters"]}
    assert set(references(swagger)) <= known


def references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [found for child in node for found in references(child)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + [found for child in node.values() for found in references(child)]


def test_version_that_is_not_served_is_not_described() -> None:
    served = builtin_registry().filtered(lambda info: info.group == "batch")
    swagger = document(OpenApi(served).v2())
    assert not any("/apis/apps/" in path for path in swagger["paths"])
    assert "io.k8s.api.apps.v1.Deployment" not in swagger["definitions"]


def test_registry_without_resources_has_only_the_roots() -> None:
    assert index(OpenApi(Registry([], []))).keys() == {"api", "apis", "version"}


@pytest.mark.parametrize(
    "path", sorted(REFERENCE.glob("live-swagger-v2.json.gz")), ids=lambda p: p.name
)
def test_operations_agree_with_a_real_server(path: Path) -> None:
    theirs = json.loads(gzip.decompress(path.read_bytes()))
    missing = {each for each in theirs["paths"] if "/watch/" not in each} - ISSUER_PATHS
    ours = document(OPENAPI.v2())
    assert missing <= ours["paths"].keys()
    their_operations, our_operations = operations(theirs), operations(ours)
    shared = their_operations.keys() & our_operations.keys()
    assert len(shared) > 600
    assert {key: our_operations[key] for key in shared} == {
        key: their_operations[key] for key in shared
    }
