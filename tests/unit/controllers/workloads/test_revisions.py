"""Revisions: names, annotations, and which are forgotten."""

from __future__ import annotations

from controllers.workloads import revisions as of
from controllers.workloads.deployments import DEPLOYMENT
from tests.unit.controllers.workloads.workload_objects import deployment, replica_set, template


def test_the_new_set_is_the_oldest_of_the_same_template_whatever_its_hash() -> None:
    made = deployment()
    sets = [replica_set("b-2", 0), replica_set("a-1", 0), replica_set("c-0", 0, image="web:0")]
    sets[1]["spec"]["template"]["metadata"]["labels"] = {"app": "web", of.HASH: "x"}
    found = of.find_new(made, sets)
    assert found is not None
    assert found["metadata"]["name"] == "a-1"


def test_templates_and_collisions_give_other_hashes_that_are_names() -> None:
    texts = {
        of.hash_of(template("web:1"), 0),
        of.hash_of(template("web:2"), 0),
        of.hash_of(template("web:1"), 1),
    }
    assert len(texts) == 3
    assert all(text.isalnum() and 0 < len(text) <= 10 for text in texts)
    assert of.hash_of(template("web:1"), 0) in texts


def test_a_new_set_selects_its_own_pods_alone() -> None:
    made = of.new_set(DEPLOYMENT, deployment())
    digest = made["metadata"]["labels"][of.HASH]
    assert made["metadata"]["name"] == f"web-{digest}"
    assert made["spec"]["selector"]["matchLabels"] == {"app": "web", of.HASH: digest}
    assert made["spec"]["template"]["metadata"]["labels"] == {"app": "web", of.HASH: digest}
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("Deployment", "d", True)


def test_a_set_that_becomes_new_again_remembers_its_revisions() -> None:
    made = deployment()
    one = replica_set("a-1", 0, **{of.REVISION: "1"})
    assert of.annotate(made, one, 3, exists=True)
    assert one["metadata"]["annotations"][of.REVISION] == "3"
    assert of.annotate(made, one, 5, exists=True)
    assert one["metadata"]["annotations"][of.HISTORY] == "1,3"
    assert not of.annotate(made, one, 4, exists=True)


def test_a_long_history_forgets_its_beginning() -> None:
    one = replica_set("a-1", 0, **{of.REVISION: "9999"})
    one["metadata"]["annotations"][of.HISTORY] = ",".join(["1000"] * 102)
    of.annotate(deployment(), one, 10_000, exists=True)
    history = one["metadata"]["annotations"][of.HISTORY]
    assert len(history) <= 512
    assert history.endswith(",9999")


def test_annotations_of_the_deployment_are_copied_but_its_own() -> None:
    made = deployment()
    made["metadata"]["annotations"] = {
        "why": "because",
        of.REVISION: "7",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    }
    one = replica_set("a-1", 0)
    of.annotate(made, one, 1, exists=False)
    notes = one["metadata"]["annotations"]
    assert (notes["why"], notes[of.REVISION]) == ("because", "1")
    assert "kubectl.kubernetes.io/last-applied-configuration" not in notes


def test_idle_sets_beyond_the_limit_are_forgotten_oldest_first() -> None:
    made = deployment(revisionHistoryLimit=1)
    old = [replica_set(f"a-{n}", 0, **{of.REVISION: str(n)}) for n in (3, 1, 2)]
    assert [one["metadata"]["name"] for one in of.forgotten(made, old)] == ["a-1", "a-2"]
    old[1]["status"]["replicas"] = 1
    assert [one["metadata"]["name"] for one in of.forgotten(made, old)] == ["a-2"]
    assert of.forgotten(deployment(), old) == []
