"""`kubectl apply --server-side`, its conflicts, and the way there from client-side apply."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.integration.kubectl.kubectl_runner import Kubectl

pytestmark = pytest.mark.kubectl

SERVER = ("apply", "--server-side", "-f", "-")


def manifest(replicas: int | None = 2, image: str = "example.com/web:1") -> str:
    """Return a Deployment, as JSON (which is YAML)."""
    labels = {"app": "web"}
    container = {"name": "web", "image": image, "ports": [{"containerPort": 80}]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec: dict[str, Any] = {"selector": {"matchLabels": labels}, "template": template}
    if replicas is not None:
        spec["replicas"] = replicas
    document = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": spec,
    }
    return orjson.dumps(document).decode()


def managers(kubectl: Kubectl) -> dict[tuple[str, str], Any]:
    """Return the fields of the Deployment by manager and operation."""
    obj = kubectl.json("get", "deployment", "web", "--show-managed-fields")
    return {
        (entry["manager"], entry["operation"]): entry["fieldsV1"]
        for entry in obj["metadata"]["managedFields"]
        if entry.get("subresource", "") != "status"
    }


def test_applying_twice_is_applied_once(kubectl: Kubectl) -> None:
    assert kubectl(*SERVER, stdin=manifest()) == "deployment.apps/web serverside-applied\n"
    revision = ("get", "deployment", "web", "-o", "jsonpath={.metadata.generation}")
    first = kubectl(*revision)
    assert kubectl(*SERVER, stdin=manifest()) == "deployment.apps/web serverside-applied\n"
    assert kubectl(*revision) == first == "1"


def test_a_conflict_names_field_and_manager_and_can_be_forced(kubectl: Kubectl) -> None:
    kubectl(*SERVER, stdin=manifest())
    kubectl("scale", "deployment", "web", "--replicas=5")
    said = kubectl.refused(*SERVER, stdin=manifest())
    assert 'Apply failed with 1 conflict: conflict with "kubectl" with subresource "scale"' in said
    assert "using apps/v1: .spec.replicas" in said
    assert "--force-conflicts" in said
    kubectl(*SERVER, "--force-conflicts", stdin=manifest())
    assert kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}") == "2"


def test_what_is_left_out_of_the_manifest_is_left_to_others(kubectl: Kubectl) -> None:
    kubectl(*SERVER, stdin=manifest())
    kubectl(*SERVER, "--field-manager=scaler", stdin=manifest())
    kubectl(*SERVER, stdin=manifest(None))
    kubectl("scale", "deployment", "web", "--replicas=5")
    kubectl(*SERVER, stdin=manifest(None))
    assert kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}") == "5"


def test_client_side_apply_becomes_server_side_apply_without_conflicts(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=manifest())
    assert ("kubectl-client-side-apply", "Update") in managers(kubectl)
    kubectl(*SERVER, stdin=manifest(image="example.com/web:2"))
    found = managers(kubectl)
    assert ("kubectl-client-side-apply", "Update") not in found
    assert "f:replicas" in found["kubectl", "Apply"]["f:spec"]
    shown = kubectl("apply", "view-last-applied", "deployment", "web", "-o", "json")
    containers = orjson.loads(shown)["spec"]["template"]["spec"]["containers"]
    assert containers[0]["image"] == "example.com/web:2"


def test_a_server_side_diff_shows_what_would_change(kubectl: Kubectl) -> None:
    kubectl(*SERVER, stdin=manifest())
    same = kubectl.run("diff", "--server-side", "-f", "-", stdin=manifest())
    assert (same.returncode, same.stdout) == (0, "")
    other = kubectl.run("diff", "--server-side", "-f", "-", stdin=manifest(3))
    assert other.returncode == 1
    assert "-  replicas: 2\n+  replicas: 3" in other.stdout


def test_a_server_side_dry_run_changes_nothing(kubectl: Kubectl) -> None:
    kubectl(*SERVER, stdin=manifest())
    said = kubectl(*SERVER, "--dry-run=server", stdin=manifest(3))
    assert said == "deployment.apps/web serverside-applied (server dry run)\n"
    assert kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}") == "2"


def test_managed_fields_are_shown_only_to_those_who_ask(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "a", "--from-literal=k=v")
    assert "managedFields" not in kubectl("get", "configmap", "a", "-o", "yaml")
    shown = kubectl("get", "configmap", "a", "-o", "yaml", "--show-managed-fields")
    assert "manager: kubectl-create" in shown


def test_fields_that_no_schema_has_are_refused(kubectl: Kubectl) -> None:
    document = orjson.loads(manifest())
    document["spec"]["replica"] = 1
    said = kubectl.refused(*SERVER, "--validate=false", stdin=orjson.dumps(document).decode())
    assert ".spec.replica: field not declared in schema" in said
