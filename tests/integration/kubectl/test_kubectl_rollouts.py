"""Rollouts as kubectl tells and undoes them, from ReplicaSets as their controller leaves them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.integration.kubectl.kubectl_runner import Kubectl, rows

pytestmark = pytest.mark.kubectl
_CAUSE = "kubernetes.io/change-cause"
_REVISION = "deployment.kubernetes.io/revision"


def _replica_set(web: Any, revision: int) -> str:
    """Return what the controller makes of a revision of a Deployment."""
    template = orjson.loads(orjson.dumps(web["spec"]["template"]))
    template["metadata"]["labels"]["pod-template-hash"] = f"r{revision}"
    template["spec"]["containers"][0]["image"] = f"web:{revision}"
    owner = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "web",
        "uid": web["metadata"]["uid"],
        "controller": True,
    }
    labels = template["metadata"]["labels"]
    metadata = {
        "name": f"web-{revision}",
        "labels": labels,
        "annotations": {
            _REVISION: str(revision),
            "kubernetes.io/change-cause": f"cause {revision}",
        },
        "ownerReferences": [owner],
    }
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    made = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": spec}
    return orjson.dumps(made).decode()


@pytest.fixture
def rolled(kubectl: Kubectl) -> Kubectl:
    """A Deployment `web` whose image is `web:2`, with two revisions behind it."""
    kubectl("create", "deployment", "web", "--image=web:2", "--replicas=2")
    web = kubectl.json("get", "deployment", "web")
    for revision in (1, 2):
        kubectl("create", "-f", "-", stdin=_replica_set(web, revision))
    kubectl("annotate", "deployment", "web", f"{_REVISION}=2", "--overwrite")
    return kubectl


def test_history_lists_revisions_and_shows_one(rolled: Kubectl) -> None:
    told = rows(rolled("rollout", "history", "deployment/web"))
    assert told[1:4] == [["REVISION", "CHANGE-CAUSE"], ["1", "cause", "1"], ["2", "cause", "2"]]
    shown = rolled("rollout", "history", "deployment/web", "--revision=1")
    assert "Image:\tweb:1" in shown


def test_undo_goes_back_to_the_revision_before(rolled: Kubectl) -> None:
    assert rolled("rollout", "undo", "deployment/web") == "deployment.apps/web rolled back\n"
    (container,) = rolled.json("get", "deployment", "web")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "web:1"
    again = rolled.run("rollout", "undo", "deployment/web", "--to-revision=1")
    assert "skipped rollback (current template already matches revision 1)" in (
        again.stdout + again.stderr
    )


def test_a_rollout_is_waited_for_until_its_status_says_that_it_is_done(rolled: Kubectl) -> None:
    refused = rolled.refused("rollout", "status", "deployment/web", "--timeout=1s")
    assert "timed out waiting" in refused
    generation = rolled.json("get", "deployment", "web")["metadata"]["generation"]
    status = {
        "observedGeneration": generation,
        "replicas": 2,
        "updatedReplicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 2,
    }
    patch = orjson.dumps({"status": status}).decode()
    rolled("patch", "deployment", "web", "--subresource=status", "--type=merge", "-p", patch)
    said = rolled("rollout", "status", "deployment/web", "--timeout=20s")
    assert said == 'deployment "web" successfully rolled out\n'
