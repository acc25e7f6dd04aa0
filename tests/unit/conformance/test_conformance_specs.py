"""The list of specs, the cases under its names, and what is added up from results."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from conformance.registry import all_cases, case
from conformance.reports import as_json, junit
from conformance.results import Outcome, Result, table, verdicts
from conformance.running import Selection
from conformance.specs import Needs, all_specs, by_key, key

NAMES = [spec.name for spec in all_specs()]
SECRET = "[sig-node] Secrets should patch a secret [Conformance]"
ROOT = Path(__file__).parents[3]


def test_each_spec_has_a_name_of_its_own_even_without_labels() -> None:
    assert len(by_key()) == len(NAMES) == 462


def test_names_of_other_tools_and_releases_meet_ours() -> None:
    ours = "[sig-api-machinery] Namespaces should patch a Namespace [Conformance] [Serial]"
    theirs = "[sig-api-machinery] Namespaces [Serial] should patch a Namespace [Conformance]"
    assert key(ours) == key(theirs)
    assert key(ours) != key(ours.replace("sig-api-machinery", "sig-node"))


def test_every_spec_that_needs_no_container_has_a_case() -> None:
    covered = {found.name for found in all_cases()}
    missing = [
        spec.name
        for spec in all_specs()
        if spec.needs is not Needs.CONTAINERS and spec.name not in covered
    ]
    assert missing == []


def test_what_stands_in_for_a_container_is_marked() -> None:
    for found in all_cases():
        if found.spec.needs in {Needs.WEBHOOK, Needs.CONTAINERS}:
            assert found.local, found.name


@pytest.mark.parametrize("name", ["no such spec", SECRET])
def test_a_case_is_of_a_spec_that_has_none_yet(name: str) -> None:
    assert all_cases()
    with pytest.raises(ValueError, match=re.escape(name)):
        case(name)(lambda stage: stage)  # type: ignore[arg-type, return-value]


def test_focus_and_skip_are_searched_for_in_names() -> None:
    chosen = Selection((re.compile("sig-auth"),), (re.compile("TokenReview"),)).choose(all_cases())
    assert chosen
    assert all("sig-auth" in found.name for found in chosen)
    assert not any("TokenReview" in found.name for found in chosen)
    plain = Selection(local=False).choose(all_cases())
    assert plain
    assert not any(found.local for found in plain)


def test_rows_add_up_to_upstreams_list() -> None:
    results = [
        Result(SECRET, Outcome.PASSED, 1.0, local=True),
        Result("[sig-node] Lease lease API should be available [Conformance]", Outcome.FAILED, 1.0),
        Result(
            "[sig-node] PodTemplates should replace a pod template [Conformance]",
            Outcome.SKIPPED,
            0.0,
        ),
    ]
    rows = {row.sig: row for row in table(results)}
    node = rows["sig-node"]
    assert (node.passed, node.local, node.failed) == (1, 1, 1)
    assert node.uncovered == node.specs - 2
    assert (
        rows["all"].specs
        == len(NAMES)
        == sum(row.specs for sig, row in rows.items() if sig != "all")
    )


def test_what_upstreams_binary_says_counts_before_ours() -> None:
    ours = Result(SECRET, Outcome.PASSED, 1.0)
    theirs = Result(SECRET, Outcome.FAILED, 1.0, source="e2e.test")
    for order in ([ours, theirs], [theirs, ours]):
        assert verdicts(order) == {key(SECRET): theirs}


def test_reports_can_be_read_whatever_a_server_answers() -> None:
    message = "got '\x00\x1b]]> <a>&\ud83d'\nat a.py:1"
    results = [Result(SECRET, Outcome.FAILED, 0.5, message)]
    text = junit(results).decode()
    assert 'failures="1"' in text
    assert "got '??]]&gt; &lt;a&gt;&amp;?'" in text
    document = orjson.loads(as_json([Result(SECRET, Outcome.FAILED, 0.5, "why")]))
    assert len(document["specs"]) == len(NAMES)
    found = [spec for spec in document["specs"] if spec["outcome"] == "failed"]
    assert [(spec["name"], spec["message"]) for spec in found] == [(SECRET, "why")]


def test_lists_of_releases_are_compared(tmp_path: Path) -> None:
    tool = [sys.executable, str(ROOT / "tools" / "conformance-specs")]
    listed = [f"- Defined in code as: {name}" for name in NAMES]
    file = tmp_path / "KubeConformance.md"
    file.write_text("\n".join(listed))
    same = subprocess.run([*tool, str(file)], capture_output=True, text=True, check=False)
    assert (same.returncode, same.stdout) == (0, "")
    quoted = "- codename: x\n  codename: '[sig-node] It should ''be'' new\n    [Conformance]'\n"
    file.write_text("\n".join([*listed[1:], ""]) + quoted)
    other = subprocess.run([*tool, str(file)], capture_output=True, text=True, check=False)
    assert other.stdout.splitlines() == [
        "+ [sig-node] It should 'be' new [Conformance]",
        f"- {NAMES[0]}",
    ]
