"""Changes of one thing at a time: edit, patch, label, annotate, scale, set, rollout, delete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integration.kubectl.kubectl_runner import Kubectl, rows

pytestmark = pytest.mark.kubectl


@pytest.fixture
def web(kubectl: Kubectl) -> Kubectl:
    """A Deployment `web` of two replicas."""
    kubectl("create", "deployment", "web", "--image=web:1", "--replicas=2")
    return kubectl


def test_edit_writes_what_the_editor_leaves(web: Kubectl) -> None:
    done = web.run("edit", "deployment", "web", editor="sed -i 's/replicas: 2/replicas: 7/'")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "deployment.apps/web edited\n"
    assert web("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}") == "7"


def test_edit_without_a_change_is_cancelled(web: Kubectl) -> None:
    done = web.run("edit", "deployment", "web", editor="true")
    assert (done.returncode, done.stderr) == (0, "Edit cancelled, no changes made.\n")


def test_edit_to_something_invalid_is_refused(web: Kubectl) -> None:
    done = web.run("edit", "deployment", "web", editor="sed -i 's/replicas: 2/replicas: -2/'")
    assert done.returncode == 1
    assert 'error: deployments.apps "web" is invalid' in done.stderr
    found = re.search(r'stored to "([^"]+)"', done.stderr)
    assert found is not None
    kept = Path(found[1])
    assert (
        "# * spec.replicas: Invalid value: -2: must be greater than or equal to 0"
        in kept.read_text()
    )
    kept.unlink()


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("strategic", '{"spec":{"template":{"spec":{"containers":[{"name":"web","tty":true}]}}}}'),
        ("merge", '{"spec":{"template":{"metadata":{"annotations":{"a":"b"}}}}}'),
        ("json", '[{"op":"replace","path":"/spec/replicas","value":5}]'),
    ],
)
def test_patches_of_each_kind_change_and_then_do_not(web: Kubectl, kind: str, patch: str) -> None:
    command = ("patch", "deployment", "web", f"--type={kind}", "-p", patch)
    assert web(*command) == "deployment.apps/web patched\n"
    assert web(*command) == "deployment.apps/web patched (no change)\n"
    changed = web.json("get", "deployment", "web")
    assert changed["metadata"]["generation"] == 2
    assert changed["spec"]["template"]["spec"]["containers"][0]["image"] == "web:1"


def test_a_json_patch_whose_test_fails_is_refused(web: Kubectl) -> None:
    patch = '[{"op":"test","path":"/spec/replicas","value":9}]'
    said = web.refused("patch", "deployment", "web", "--type=json", "-p", patch)
    assert said == (
        "The request is invalid: the server rejected our request due to an error in our request\n"
    )


def test_labels_and_annotations_are_set_guarded_and_removed(web: Kubectl) -> None:
    assert web("label", "deployment", "web", "x=1") == "deployment.apps/web labeled\n"
    said = web.refused("label", "deployment", "web", "x=2")
    assert said == "error: 'x' already has a value (1), and --overwrite is false\n"
    web("label", "deployment", "web", "x=2", "--overwrite")
    assert web("label", "deployment", "web", "x-") == "deployment.apps/web unlabeled\n"
    assert web("annotate", "deployment", "web", "n=1") == "deployment.apps/web annotated\n"
    metadata = web.json("get", "deployment", "web")["metadata"]
    assert metadata["annotations"] == {"n": "1"}
    assert metadata["labels"] == {"app": "web"}


def test_scale_changes_replicas_if_they_are_as_expected(web: Kubectl) -> None:
    assert web("scale", "deployment", "web", "--replicas=3") == "deployment.apps/web scaled\n"
    said = web.refused("scale", "deployment", "web", "--replicas=9", "--current-replicas=8")
    assert said == "error: Expected replicas to be 8, was 3\n"
    table = rows(web("get", "deployment", "web", "--subresource=scale"))
    assert table[0] == ["NAME", "DESIRED", "AVAILABLE", "AGE"]
    assert table[1][:3] == ["web", "3", "0"]


def test_set_changes_image_environment_and_resources(web: Kubectl) -> None:
    assert web("set", "image", "deployment/web", "web=web:2") == (
        "deployment.apps/web image updated\n"
    )
    web("set", "env", "deployment/web", "A=B")
    web("set", "resources", "deployment/web", "--limits=cpu=1")
    (container,) = web.json("get", "deployment", "web")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "web:2"
    assert container["env"] == [{"name": "A", "value": "B"}]
    assert container["resources"] == {"limits": {"cpu": "1"}}


def test_rollouts_are_paused_resumed_and_restarted(web: Kubectl) -> None:
    assert web("rollout", "pause", "deployment/web") == "deployment.apps/web paused\n"
    said = web.refused("rollout", "pause", "deployment/web")
    assert said == 'error: deployments.apps "web" is already paused\n'
    assert web("rollout", "resume", "deployment/web") == "deployment.apps/web resumed\n"
    assert web("rollout", "restart", "deployment/web") == "deployment.apps/web restarted\n"


def test_a_rollout_without_history_says_so(web: Kubectl) -> None:
    said = web("rollout", "history", "deployment/web")
    assert said == "deployment.apps/web \nNo rollout history found.\n"
    said = web.refused("rollout", "undo", "deployment/web")
    assert said == 'error: no rollout history found for deployment "web"\n'


def test_expose_and_autoscale_work_on_a_deployment(web: Kubectl) -> None:
    assert web("expose", "deployment", "web", "--port=80") == "service/web exposed\n"
    said = web("autoscale", "deployment", "web", "--min=1", "--max=4")
    assert said == "horizontalpodautoscaler.autoscaling/web autoscaled\n"
    (row,) = rows(web("get", "hpa", "--no-headers"))
    assert row[:6] == ["web", "Deployment/web", "cpu:", "<unknown>/80%", "1", "4"]


def test_delete_by_label_and_of_all(kubectl: Kubectl) -> None:
    for name in "abc":
        kubectl("create", "secret", "generic", name)
    kubectl("label", "secret", "a", "side=left")
    assert kubectl("delete", "secret", "-l", "side=left", "-o", "name") == "secret/a\n"
    said = kubectl("delete", "secret", "--all", "-o", "name")
    assert said == "secret/b\nsecret/c\n"
    assert kubectl("delete", "secret", "a", "--ignore-not-found") == ""
    said = kubectl.refused("delete", "secret", "a")
    assert said == 'Error from server (NotFound): secrets "a" not found\n'


def test_delete_in_the_background_is_done_at_once(web: Kubectl) -> None:
    web("delete", "deployment", "web")
    assert "not found" in web.refused("get", "deployment", "web")
