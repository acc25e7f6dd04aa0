"""The audit policy's rules, and the log's files."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from apiserver.audit import log as audit_log
from apiserver.audit.log import AuditLog, LogLimits
from apiserver.audit.policy import Level, PolicyUseless, parse_policy
from apiserver.authn import User
from apiserver.authz import Attributes
from runtime.clock import SimulatedClock

Json = dict[str, Any]
USER = User("jo", ("dev", "system:authenticated"))
LOG = Attributes("get", "", "v1", "pods", "log", "a", "p", "/x")


class Ticking(SimulatedClock):
    """A clock on which a second passes at each look."""

    _looks = 0

    def now_s(self) -> float:
        self._looks += 1
        return super().now_s() + self._looks


def _policy(*rules: Json, **more: Any) -> Json:
    return {"kind": "Policy", "apiVersion": "audit.k8s.io/v1", "rules": list(rules), **more}


def _level(rule: Json, asked: Attributes) -> Level:
    return parse_policy(_policy({"level": "Metadata", **rule})).treat(USER, asked).level


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"users": ["jo", "x"]},
        {"userGroups": ["dev"]},
        {"verbs": ["get"]},
        {"namespaces": ["a"]},
        {"resources": [{}]},
        {"resources": [{"resources": ["pods/log"]}]},
        {"resources": [{"resources": ["pods/*"]}]},
        {"resources": [{"resources": ["*/log"]}]},
        {"resources": [{"resources": ["*"]}]},
        {"resources": [{"resources": ["pods/log"], "resourceNames": ["p"]}]},
    ],
)
def test_a_rule_matches(rule: Json) -> None:
    assert _level(rule, LOG) is Level.METADATA


@pytest.mark.parametrize(
    "rule",
    [
        {"users": ["x"]},
        {"userGroups": ["x"]},
        {"verbs": ["list"]},
        {"namespaces": [""]},
        {"resources": [{"group": "apps"}]},
        {"resources": [{"resources": ["pods"]}]},
        {"resources": [{"resources": ["*/exec"]}]},
        {"resources": [{"resources": ["pods/log"], "resourceNames": ["x"]}]},
        {"nonResourceURLs": ["*"]},
    ],
)
def test_a_rule_does_not_match(rule: Json) -> None:
    assert _level(rule, LOG) is Level.NONE


def test_paths_match_by_their_beginning() -> None:
    path = Attributes("get", path="/livez/ping")
    assert _level({"nonResourceURLs": ["/livez*"]}, path) is Level.METADATA
    assert _level({"nonResourceURLs": ["/livez"]}, path) is Level.NONE
    assert _level({"resources": [{}]}, path) is Level.NONE


def test_the_first_rule_that_matches_says_how_much_and_when() -> None:
    rules = (
        {"level": "None", "users": ["x"]},
        {"level": "Request", "omitStages": ["ResponseStarted"], "omitManagedFields": False},
        {"level": "Metadata"},
    )
    more = {"omitStages": ["RequestReceived"], "omitManagedFields": True}
    found = parse_policy(_policy(*rules, **more)).treat(USER, LOG)
    assert found.level is Level.REQUEST
    assert found.omitted == {"RequestReceived", "ResponseStarted"}
    assert found.omits_managed_fields is False


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ([], "must be an object"),
        ({"kind": "Policy", "apiVersion": "v1"}, "must be a Policy"),
        (_policy(), "has no rules"),
        (_policy({"level": "All"}), r"rules\[0\]\.level"),
        (_policy({"level": "None", "omitStages": ["x"]}), r"rules\[0\]\.omitStages"),
        (
            _policy({"level": "None", "nonResourceURLs": ["/x"], "resources": [{}]}),
            "both regular resources and non-resource URLs",
        ),
        (_policy({"level": "None", "nonResourceURLs": ["/a*b"]}), "no path"),
        (_policy({"level": "None", "resources": [{"group": "a/v1"}]}), "version"),
        (_policy({"level": "None", "resources": [{"resourceNames": ["x"]}]}), "need resources"),
    ],
)
def test_a_malformed_policy_is_refused(document: Any, why: str) -> None:
    with pytest.raises(PolicyUseless, match=why):
        parse_policy(document)


def test_a_large_log_is_set_aside_and_old_ones_go(tmp_path: Path) -> None:
    limits = LogLimits(bytes_max=100, backups_max=2)
    log = AuditLog(tmp_path / "audit.log", limits, Ticking())
    for number in range(6):
        log.write([b"%d" % number * 80 + b"\n"])
    assert (tmp_path / "audit.log").read_bytes() == b"5" * 80 + b"\n"
    backups = sorted(tmp_path.glob("audit-*.log"))
    assert [path.read_bytes()[:1] for path in backups] == [b"3", b"4"]


def test_what_waits_is_written_at_the_end_and_what_is_too_much_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_log, "WAITING_MAX", 3)

    async def run() -> AuditLog:
        log = AuditLog(tmp_path / "audit.log", LogLimits(), SimulatedClock())
        writing = asyncio.ensure_future(log.run())
        await asyncio.sleep(0)
        for number in range(5):
            log.put(b"%d\n" % number)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        return log

    log = asyncio.run(run())
    assert log.dropped == 2
    assert (tmp_path / "audit.log").read_bytes() == b"0\n1\n2\n"
