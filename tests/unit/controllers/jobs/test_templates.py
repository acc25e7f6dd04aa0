"""The pods that Jobs create."""

from __future__ import annotations

import copy

import pytest

from controllers.jobs.job_pods import FAILURES, FINALIZER, IGNORED_FAILURES, INDEX
from controllers.jobs.templates import PodTemplate, prefix
from tests.unit.controllers.jobs.job_objects import job


def _indexed() -> PodTemplate:
    template = {
        "metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}, "finalizers": ["e/f"]},
        "spec": {
            "initContainers": [{"name": "first"}],
            "containers": [
                {"name": "main", "env": [{"name": "X", "value": "1"}]},
                {"name": "own", "env": [{"name": "JOB_COMPLETION_INDEX", "value": "x"}]},
            ],
        },
    }
    return PodTemplate(job(completionMode="Indexed", completions=3, template=template))


def test_a_pod_without_index_has_the_finalizer_and_its_owner() -> None:
    made = PodTemplate(job()).pod()
    metadata = made["metadata"]
    assert metadata["finalizers"] == [FINALIZER]
    assert metadata["generateName"] == "job-"
    (owner,) = metadata["ownerReferences"]
    assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == ("j", True, True)
    assert "hostname" not in made["spec"]


def test_a_finalizer_of_the_template_stays_and_ours_is_there_once() -> None:
    template = {"metadata": {"finalizers": ["e/f"]}, "spec": {"containers": []}}
    owner = job(template=template)
    assert PodTemplate(owner).pod()["metadata"]["finalizers"] == ["e/f", FINALIZER]
    template["metadata"]["finalizers"] = [FINALIZER]
    assert PodTemplate(owner).pod()["metadata"]["finalizers"] == [FINALIZER]


def test_an_index_is_in_labels_annotations_name_and_hostname() -> None:
    made = _indexed().indexed(2)
    metadata = made["metadata"]
    assert metadata["labels"] == {"a": "b", INDEX: "2"}
    assert metadata["annotations"] == {"c": "d", INDEX: "2"}
    assert metadata["generateName"] == "job-2-"
    assert made["spec"]["hostname"] == "job-2"


def test_every_container_learns_the_index_but_one_that_has_a_variable_of_that_name() -> None:
    spec = _indexed().indexed(0)["spec"]
    reference = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
    variable = {"name": "JOB_COMPLETION_INDEX", "valueFrom": reference}
    assert spec["initContainers"][0]["env"] == [variable]
    main, own = spec["containers"]
    assert main["env"] == [{"name": "X", "value": "1"}, variable]
    assert own["env"] == [{"name": "JOB_COMPLETION_INDEX", "value": "x"}]


def test_counts_of_failures_are_noted_where_indexes_have_limits() -> None:
    template = _indexed()
    assert FAILURES not in template.indexed(0)["metadata"]["annotations"]
    first = template.indexed(0, (0, 0))["metadata"]["annotations"]
    assert first[FAILURES] == "0"
    assert IGNORED_FAILURES not in first
    later = template.indexed(0, (2, 1))["metadata"]["annotations"]
    assert (later[FAILURES], later[IGNORED_FAILURES]) == ("2", "1")


def test_pods_of_one_template_do_not_share_what_differs() -> None:
    template = _indexed()
    one = template.indexed(1)
    before = copy.deepcopy(one)
    template.indexed(2, (1, 1))
    assert one == before


@pytest.mark.parametrize(
    ("name", "index", "start"),
    [
        ("short", 0, "short-0-"),
        ("n" * 55, 7, "n" * 55 + "-7-"),
        ("n" * 60, 7, "n" * 55 + "-7-"),
        ("n" * 63, 12345, "n" * 51 + "-12345-"),
    ],
)
def test_names_of_indexed_pods_are_labels(name: str, index: int, start: str) -> None:
    assert prefix(name, index) == start
