"""Upstream's binary: how it is asked, and how its results are read; a script stands for it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from conformance.e2e_binary import (
    BinaryFailed,
    Run,
    arguments,
    chosen,
    focus_of,
    missing,
    read_junit,
    run_binary,
)
from conformance.results import Outcome
from conformance.specs import Needs, all_specs

FAKE = Path(__file__).with_name("fake_e2e.py")


def _run(directory: Path, *focus: str) -> Run:
    return Run(FAKE, Path("/kubeconfig"), directory, focus)


def test_its_results_are_those_of_conformance_specs_that_ran(tmp_path: Path) -> None:
    results = asyncio.run(run_binary(_run(tmp_path / "new")))
    assert [(result.name, result.outcome, result.seconds) for result in results] == [
        ("[sig-node] Secrets should patch a secret [Conformance]", Outcome.PASSED, 1.5),
        (
            "[sig-api-machinery] Namespaces should patch a Namespace [Conformance] [Serial]",
            Outcome.FAILED,
            2.5,
        ),
    ]
    assert results[1].message == "no label"
    assert {result.source for result in results} == {"e2e.test"}
    assert "--kubeconfig=/kubeconfig" in (tmp_path / "new" / "seen").read_text()
    left = missing(results, _run(tmp_path))
    assert len(left) == len(chosen(_run(tmp_path))) - 2
    assert missing(results, _run(tmp_path, "Secrets")) == []


def test_old_results_are_not_taken_for_new_ones(tmp_path: Path) -> None:
    (tmp_path / "junit_01.xml").write_text("<testsuites/>")
    with pytest.raises(BinaryFailed, match=r"code 2 and left no results; see .*e2e\.log"):
        asyncio.run(run_binary(_run(tmp_path, "nothing")))


def test_a_binary_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    run = Run(tmp_path / "e2e.test", Path("/kubeconfig"), tmp_path)
    with pytest.raises(BinaryFailed, match=r"e2e\.test: No such file"):
        asyncio.run(run_binary(run))


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "junit_01.xml"
    file.write_text("<testsuites>")
    with pytest.raises(BinaryFailed, match=r"junit_01\.xml"):
        read_junit(file)


@pytest.mark.parametrize("spec", all_specs(), ids=lambda spec: spec.name)
def test_a_specs_focus_finds_its_name_wherever_labels_stand(spec: object) -> None:
    assert hasattr(spec, "name")
    pattern, name = focus_of(spec), spec.name  # type: ignore[arg-type]
    assert re.search(pattern, name), pattern
    moved = name.replace(" should ", " [Serial] should ", 1)
    assert re.search(pattern, moved), pattern


def test_a_focus_does_not_find_longer_names() -> None:
    specs = {spec.name: spec for spec in all_specs()}
    short = "[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should mutate "
    pattern = focus_of(specs[f"{short}custom resource [Conformance]"])
    assert not re.search(pattern, f"{short}custom resource with pruning [Conformance]")


def test_all_that_needs_no_container_is_asked_for(tmp_path: Path) -> None:
    alone = _run(tmp_path)
    words = arguments(alone)
    assert sum(word.startswith("--ginkgo.focus=") for word in words) == len(chosen(alone))
    words = arguments(_run(tmp_path, "sig-auth"))
    assert [word for word in words if "focus" in word] == ["--ginkgo.focus=sig-auth"]


def test_workloads_are_asked_for_where_there_are_nodes(tmp_path: Path) -> None:
    alone, with_nodes = _run(tmp_path), Run(FAKE, Path("/kubeconfig"), tmp_path, nodes=3)
    assert {spec.needs for spec in chosen(alone)} == {Needs.API}
    assert {spec.needs for spec in chosen(with_nodes)} == {
        Needs.API,
        Needs.CONTROLLERS,
        Needs.NODES,
    }


@pytest.mark.parametrize("nodes", [0, 3])
def test_the_binary_is_told_how_many_nodes_there_are(tmp_path: Path, nodes: int) -> None:
    # test/e2e/e2e.go looks for them if it is not told, and runs nothing where it finds none.
    words = arguments(Run(FAKE, Path("/kubeconfig"), tmp_path, nodes=nodes))
    assert f"--num-nodes={nodes}" in words
