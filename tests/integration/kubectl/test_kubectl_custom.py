"""kubectl with types that CustomResourceDefinitions define."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.cluster import Cluster
from tests.integration.definitions import definition, install, remove, version
from tests.integration.kubectl.kubectl_runner import Kubectl

pytestmark = pytest.mark.kubectl
GROUP = "tools.example.com"
_NAME = f"gears.{GROUP}"
_PART = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "description": "What the part is called."},
        "weight": {"type": "integer", "description": "In grams."},
    },
}
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "A gear.",
    "properties": {
        "spec": {
            "type": "object",
            "description": "What is wanted.",
            "properties": {
                "replicas": {"type": "integer", "minimum": 0, "default": 1},
                "teeth": {"type": "integer", "description": "How many teeth it has."},
                "shape": {"type": "string", "enum": ["round", "square"]},
                "parts": {
                    "type": "array",
                    "items": _PART,
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                },
            },
        },
        "status": {
            "type": "object",
            "properties": {
                "replicas": {"type": "integer"},
                "selector": {"type": "string"},
                "conditions": {
                    "type": "array",
                    "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                },
            },
        },
    },
}
_COLUMNS = [
    {"name": "Teeth", "type": "integer", "jsonPath": ".spec.teeth"},
    {"name": "Shape", "type": "string", "jsonPath": ".spec.shape", "priority": 1},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]


def gears() -> dict[str, Any]:
    """Return the definition."""
    made = version(
        schema=_SCHEMA,
        additionalPrinterColumns=_COLUMNS,
        subresources={
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
    )
    names = {"plural": "gears", "kind": "Gear", "shortNames": ["gr"], "categories": ["tools"]}
    return definition(GROUP, "Gear", made, names=names)


def gear(name: str = "g", **spec: Any) -> str:
    """Return a manifest."""
    return json.dumps(
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": "Gear",
            "metadata": {"name": name},
            "spec": {"teeth": 12, "shape": "round", **spec},
        }
    )


@pytest.fixture(autouse=True, scope="module")
def _installed(cluster: Cluster) -> Iterator[None]:
    install(cluster, gears())
    yield
    remove(cluster, _NAME)


def test_a_definition_is_applied_waited_for_listed_and_deleted(kubectl: Kubectl) -> None:
    made = definition("other.example.com", "Cog")
    name = "cogs.other.example.com"
    said = kubectl("apply", "-f", "-", stdin=json.dumps(made))
    assert said == f"customresourcedefinition.apiextensions.k8s.io/{name} created\n"
    said = kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=10s")
    assert said == f"customresourcedefinition.apiextensions.k8s.io/{name} condition met\n"
    head, row = kubectl("get", "crd", name).splitlines()
    assert head.split() == ["NAME", "CREATED", "AT"]
    assert row.split()[0] == name
    service = "apiservice/v1.other.example.com"
    kubectl("wait", "--for=create", service, "--timeout=10s")
    kubectl("wait", "--for=condition=Available", service, "--timeout=10s")
    shown = kubectl("get", service).splitlines()[1].split()
    assert shown[:3] == ["v1.other.example.com", "Local", "True"]
    spec = kubectl.json("get", service)["spec"]
    assert (spec["groupPriorityMinimum"], spec["versionPriority"]) == (1000, 100)
    assert kubectl.run("get", "cogs").stderr.startswith("No resources found in")
    assert kubectl.run("delete", "crd", name).returncode == 0
    kubectl("wait", "--for=delete", service, "--timeout=10s")
    assert kubectl("api-resources", "--api-group=other.example.com", "-o", "name") == ""


def test_explain_tells_what_the_schema_says(kubectl: Kubectl) -> None:
    told = kubectl("explain", "gears")
    assert told.startswith(f"GROUP:      {GROUP}\nKIND:       Gear\nVERSION:    v1\n")
    assert "DESCRIPTION:\n    A gear.\n" in told
    assert "  apiVersion\t<string>\n    APIVersion defines" in told
    assert "  metadata\t<ObjectMeta>\n    Standard object's metadata." in told
    assert "  spec\t<Object>\n    What is wanted.\n" in told
    assert "  name\t<string> -required-\n    What the part is called." in kubectl(
        "explain", "gr.spec.parts"
    )
    assert "ENUM:\n    round\n    square\n" in kubectl("explain", "gear.spec.shape")


def test_explain_recursive_shows_the_whole_tree(kubectl: Kubectl) -> None:
    told = kubectl("explain", "gears", "--recursive")
    for line in (
        "  apiVersion\t<string>",
        "  metadata\t<ObjectMeta>",
        "    ownerReferences\t<[]OwnerReference>",
        "  spec\t<Object>",
        "    parts\t<[]Object>",
        "      name\t<string> -required-",
        "    replicas\t<integer>",
        "    shape\t<string>",
    ):
        assert f"{line}\n" in told


def test_strict_validation_refuses_unknown_fields_by_name(kubectl: Kubectl) -> None:
    bad = gear(tooth=3, parts=[{"name": "a", "wight": 1}])
    said = kubectl.refused("create", "-f", "-", stdin=bad)
    assert "strict decoding error: " in said
    assert 'unknown field "spec.parts[0].wight"' in said
    assert 'unknown field "spec.tooth"' in said
    created = kubectl.run("create", "--validate=warn", "-f", "-", stdin=bad)
    assert created.returncode == 0
    assert 'Warning: unknown field "spec.tooth"' in created.stderr
    kubectl("create", "--validate=ignore", "-f", "-", stdin=gear("quiet", tooth=3))


def test_what_the_schema_forbids_is_refused_in_upstreams_words(kubectl: Kubectl) -> None:
    said = kubectl.refused("create", "-f", "-", stdin=gear(shape="oval", replicas=-1))
    assert said.startswith('The Gear "g" is invalid: \n')
    assert '* spec.shape: Unsupported value: "oval": supported values: "round", "square"\n' in said
    assert "* spec.replicas: Invalid value: -1: spec.replicas in body should be" in said


def test_apply_merges_by_the_last_configuration_and_diff_foretells_it(kubectl: Kubectl) -> None:
    name = f"gear.{GROUP}/g"
    assert kubectl("apply", "-f", "-", stdin=gear()) == f"{name} created\n"
    assert kubectl("apply", "-f", "-", stdin=gear()) == f"{name} unchanged\n"
    assert kubectl("diff", "-f", "-", stdin=gear()) == ""
    foretold = kubectl.run("diff", "-f", "-", stdin=gear(teeth=13))
    assert foretold.returncode == 1, foretold.stderr
    assert "-  teeth: 12\n+  teeth: 13\n" in foretold.stdout
    assert kubectl("apply", "-f", "-", stdin=gear(teeth=13)) == f"{name} configured\n"
    assert kubectl.json("get", "gear", "g")["spec"]["teeth"] == 13


def test_server_side_apply_merges_lists_by_the_schemas_keys_and_conflicts(
    kubectl: Kubectl,
) -> None:
    side = ("apply", "--server-side", "-f", "-")
    said = kubectl(*side, stdin=gear(parts=[{"name": "a", "weight": 1}]))
    assert said == f"gear.{GROUP}/g serverside-applied\n"
    other = ("--field-manager=other", *side)
    part = {"apiVersion": f"{GROUP}/v1", "kind": "Gear", "metadata": {"name": "g"}}
    part["spec"] = {"parts": [{"name": "b", "weight": 2}]}
    kubectl(*other, stdin=json.dumps(part))
    parts = kubectl.json("get", "gear", "g")["spec"]["parts"]
    assert sorted(one["name"] for one in parts) == ["a", "b"]
    part["spec"] = {"teeth": 14}
    said = kubectl.refused(*other, stdin=json.dumps(part))
    assert 'conflict with "kubectl": .spec.teeth' in said
    kubectl(*other, "--force-conflicts", stdin=json.dumps(part))
    assert kubectl.json("get", "gear", "g")["spec"]["teeth"] == 14


def test_get_prints_the_declared_columns_and_wide_those_of_lower_priority(
    kubectl: Kubectl,
) -> None:
    kubectl("create", "-f", "-", stdin=gear())
    head, row = kubectl("get", "gr").splitlines()
    assert head.split() == ["NAME", "TEETH", "AGE"]
    assert row.split()[:2] == ["g", "12"]
    head, row = kubectl("get", "tools", "-o", "wide").splitlines()
    assert head.split() == ["NAME", "TEETH", "SHAPE", "AGE"]
    assert row.split()[:3] == ["g", "12", "round"]


def test_watching_prints_rows_of_the_declared_columns(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=gear())
    with kubectl.watching("get", "gears", "-w", "--output-watch-events") as output:
        assert output.readline().split() == ["EVENT", "NAME", "TEETH", "AGE"]
        assert output.readline().split()[:3] == ["ADDED", "g", "12"]
        kubectl("patch", "gear", "g", "--type=merge", "-p", '{"spec":{"teeth":15}}')
        assert output.readline().split()[:3] == ["MODIFIED", "g", "15"]
        kubectl("delete", "gear", "g")
        assert output.readline().split()[:3] == ["DELETED", "g", "15"]


def test_scale_changes_what_the_definition_says(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=gear())
    assert kubectl("scale", "gear/g", "--replicas=3") == f"gear.{GROUP}/g scaled\n"
    assert kubectl.json("get", "gear", "g")["spec"]["replicas"] == 3
    said = kubectl.refused("scale", "gear/g", "--replicas=5", "--current-replicas=2")
    assert "Expected replicas to be 2, was 3" in said


def test_edit_writes_what_the_editor_leaves(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=gear())
    edited = kubectl.run("edit", "gear", "g", editor="sed -i 's/teeth: 12/teeth: 16/'")
    assert edited.stdout == f"gear.{GROUP}/g edited\n", edited.stderr
    assert kubectl.json("get", "gear", "g")["spec"]["teeth"] == 16


def test_wait_sees_a_condition_of_a_custom_object(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=gear())
    ready = '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}'
    with kubectl.watching("wait", "--for=condition=Ready", "gear/g") as output:
        kubectl("patch", "gear", "g", "--subresource=status", "--type=merge", "-p", ready)
        assert output.readline() == f"gear.{GROUP}/g condition met\n"


def test_labels_annotations_and_deletions_by_label(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=gear())
    assert kubectl("label", "gear", "g", "a=b") == f"gear.{GROUP}/g labeled\n"
    assert kubectl("annotate", "gear/g", "c=d") == f"gear.{GROUP}/g annotated\n"
    assert kubectl("get", "gears", "-l", "a=b", "-o", "name") == f"gear.{GROUP}/g\n"
    said = kubectl("delete", "gears", "-l", "a=b")
    assert said.startswith(f'gear.{GROUP} "g" deleted')
