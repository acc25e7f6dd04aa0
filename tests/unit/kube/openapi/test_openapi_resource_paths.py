"""Paths and operations: what kubectl looks for in them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from kube.builtin_kinds import builtin_registry
from kube.openapi import OpenApi
from kube.openapi.resource_paths import version_paths

OPENAPI = OpenApi(builtin_registry())
SWAGGER = json.loads(OPENAPI.v2())
APPS = json.loads(OPENAPI.v3("apis/apps/v1") or b"")
CORE = json.loads(OPENAPI.v3("api/v1") or b"")
DEPLOYMENT = "/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
POD = "/api/v1/namespaces/{namespace}/pods/{name}"
KIND = "x-kubernetes-group-version-kind"


def names(parameters: list[dict[str, Any]]) -> set[str]:
    return {parameter["name"] for parameter in parameters if "name" in parameter}


@pytest.mark.parametrize(("path", "method"), [(DEPLOYMENT, "patch"), (DEPLOYMENT, "put")])
def test_field_validation_stands_in_the_operation_itself(path: str, method: str) -> None:
    assert "fieldValidation" in names(APPS["paths"][path][method]["parameters"])
    assert "fieldValidation" in names(SWAGGER["paths"][path][method]["parameters"])


def test_patch_operation_names_its_kind() -> None:
    kind = {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert APPS["paths"][DEPLOYMENT]["patch"][KIND] == kind


def test_patch_takes_all_four_patch_types() -> None:
    assert set(APPS["paths"][DEPLOYMENT]["patch"]["requestBody"]["content"]) == {
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
    }


def test_custom_resource_takes_no_strategic_merge_patch() -> None:
    info = builtin_registry().lookup("apps", "v1", "deployments")
    assert info is not None
    custom = dataclasses.replace(info, group="example.com", custom=True, schema_name="")
    bodies = [
        operation.body
        for item in version_paths("example.com", "v1", [custom])
        for operation in item.operations
        if operation.method == "patch"
    ]
    assert bodies
    assert all(
        body is not None and "application/strategic-merge-patch+json" not in body.media_types
        for body in bodies
    )


def test_operation_ids_are_unique() -> None:
    ids = [
        operation["operationId"]
        for item in SWAGGER["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]
    assert len(ids) == len(set(ids))


def test_scale_subresource_speaks_of_scale() -> None:
    patch = APPS["paths"][f"{DEPLOYMENT}/scale"]["patch"]
    assert patch[KIND] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    assert "io.k8s.api.autoscaling.v1.Scale" in APPS["components"]["schemas"]


def test_log_answers_with_text() -> None:
    content = CORE["paths"][f"{POD}/log"]["get"]["responses"]["200"]["content"]
    assert content["text/plain"] == {"schema": {"type": "string"}}


def test_exec_is_a_connection_with_its_options() -> None:
    item = CORE["paths"][f"{POD}/exec"]
    assert item["get"]["x-kubernetes-action"] == "connect"
    assert {"command", "container", "stdin", "tty"} <= names(item["parameters"])


def test_proxy_also_has_a_path_below_it() -> None:
    item = CORE["paths"][f"{POD}/proxy/{{path}}"]
    places = {(each["name"], each["in"]) for each in item["parameters"]}
    assert {("path", "path"), ("path", "query")} <= places


def test_reviews_can_only_be_created() -> None:
    item = SWAGGER["paths"]["/apis/authorization.k8s.io/v1/subjectaccessreviews"]
    assert set(item) == {"post", "parameters"}


def test_deleting_a_pod_answers_with_the_pod_and_a_deployment_with_status() -> None:
    def deleted(path: str) -> str:
        schema = SWAGGER["paths"][path]["delete"]["responses"]["200"]["schema"]["$ref"]
        return str(schema).rpartition(".")[2]

    assert (deleted(POD), deleted(DEPLOYMENT)) == ("Pod", "Status")


def test_every_parameter_in_a_path_is_declared() -> None:
    for document in (APPS, CORE):
        for path, item in document["paths"].items():
            declared = {p["name"] for p in item.get("parameters", []) if p["in"] == "path"}
            assert declared == {part[1:-1] for part in path.split("/") if part.startswith("{")}
