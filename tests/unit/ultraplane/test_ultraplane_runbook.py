"""What the code says when it refuses is in docs/runbook.md; the alerts name real metrics."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from apiserver.commit_metrics import CommitMetrics
from storage.alarms import ALARMS
from storage.txn import Delete

ROOT = Path(__file__).resolve().parents[3]
RUNBOOK = " ".join((ROOT / "docs" / "runbook.md").read_text().split())
_REFUSALS = ("RecoveryRefused", "DataLost")
_PIECE_LENGTH_MIN = 12
_STARTS = (
    *("CorruptStream", "DirectoryLocked", "UnsupportedFormat", "StreamClosed", "JournalFull"),
    *("OutcomeUnknown", "ReplicaLocked", "RecoveryRefused", "DataLost", "StorageFull"),
    *("CorruptTransaction", "UnsupportedTransaction", "UnsupportedState", "SealBroken"),
)


def _refusals() -> Iterator[tuple[str, list[str]]]:
    """Yield where a replica refuses to start, and the words that do not vary there."""
    for path in sorted((ROOT / "storage").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Raise) or not isinstance(node.exc, ast.Call):
                continue
            kind = node.exc.func
            if isinstance(kind, ast.Name) and kind.id in _REFUSALS:
                words = [one for one in ast.walk(node.exc) if isinstance(one, ast.Constant)]
                pieces = [piece for one in words for piece in re.split(r"[:;.,()]", str(one.value))]
                told = [piece.strip() for piece in pieces if len(piece) >= _PIECE_LENGTH_MIN]
                if told:
                    yield f"{path.name}:{node.lineno}", told


def _user_errors() -> Iterator[str]:
    for path in (ROOT / "ultraplane").glob("*.py"):
        yield from re.findall(r"^class (\w+)\(UserError\)", path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("alarm", ALARMS)
def test_every_alarm_has_an_entry(alarm: str) -> None:
    assert f"### {alarm} " in RUNBOOK


@pytest.mark.parametrize(("where", "words"), list(_refusals()))
def test_every_refusal_of_a_replica_is_found_by_its_words(where: str, words: list[str]) -> None:
    assert any(word in RUNBOOK for word in words), f"{where} says {words}"


@pytest.mark.parametrize("name", [*_STARTS, *sorted(_user_errors())])
def test_every_error_that_ends_a_start_is_named(name: str) -> None:
    assert f"`{name}`" in RUNBOOK


def test_alerts_name_metrics_that_there_are() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "apiserver").glob("*.py"))
    rules = yaml.safe_load((ROOT / "docs" / "alerts.yaml").read_text())["groups"][0]["rules"]
    names = {
        name
        for rule in rules
        for name in re.findall(r"\b(?:ultraplane|etcd)_[a-z_]+", rule["expr"])
    }
    assert names
    for name in names:
        assert f'"{name.removesuffix("_bucket")}"' in sources, name


def test_alerts_and_the_runbook_agree_on_anchors() -> None:
    for anchor in re.findall(r"runbook\.md#([a-z-]+)", (ROOT / "docs" / "alerts.yaml").read_text()):
        assert anchor in ALARMS


def test_commits_are_told_as_upstream_tells_of_etcd() -> None:
    metrics = CommitMetrics()
    metrics.observe(Delete("apps/deployments", "a", "b"), 0.01)
    metrics.fail(Delete("apps/deployments", "a", "b"), 2.5)
    samples = {
        (one.name, one.labels.get("le", "")): (one.labels, one.value)
        for family in metrics.collect()
        for one in family.samples
    }
    labels, total = samples["etcd_requests_total", ""]
    assert (labels["operation"], labels["group"], labels["resource"], total) == (
        *("delete", "apps", "deployments"),
        2,
    )
    assert samples["etcd_request_errors_total", ""][1] == 1
    assert samples["etcd_request_duration_seconds_bucket", "0.025"][1] == 1
    assert samples["etcd_request_duration_seconds_bucket", "+Inf"][1] == 2
