"""What a rule matches, as upstream's rule evaluation."""

from __future__ import annotations

import pytest

from apiserver.authz import Attributes
from apiserver.rbac.rules import compile_rule


@pytest.mark.parametrize(
    ("resources", "resource", "part", "covered"),
    [
        (["pods"], "pods", "", True),
        (["pods"], "pods", "log", False),
        (["pods/log"], "pods", "log", True),
        (["pods/log"], "pods", "", False),
        (["*"], "pods", "", True),
        (["*"], "pods", "log", True),
        (["*/scale"], "deployments", "scale", True),
        (["*/scale"], "scale", "", False),
        (["pods/*"], "pods", "log", False),
    ],
)
def test_resources(resources: list[str], resource: str, part: str, covered: bool) -> None:  # noqa: FBT001
    rule = compile_rule({"verbs": ["get"], "apiGroups": [""], "resources": resources})
    assert rule.covers(Attributes("get", "", "v1", resource, part)) is covered


@pytest.mark.parametrize(
    ("url", "path", "covered"),
    [
        ("/healthz", "/healthz", True),
        ("/healthz", "/healthz/etcd", False),
        ("/healthz/*", "/healthz/etcd", True),
        ("/healthz/*", "/healthz", False),
        ("/healthz*", "/healthzzz", True),
        ("*", "/any", True),
        ("/a/*/b", "/a/x/b", False),
    ],
)
def test_paths(url: str, path: str, covered: bool) -> None:  # noqa: FBT001
    rule = compile_rule({"verbs": ["get"], "nonResourceURLs": [url]})
    assert rule.covers(Attributes("get", path=path)) is covered
    assert not rule.covers(Attributes("post", path=path))


def test_a_star_stands_for_all_verbs_and_groups() -> None:
    rule = compile_rule({"verbs": ["*"], "apiGroups": ["*"], "resources": ["pods"]})
    assert rule.covers(Attributes("escalate", "any", "v1", "pods"))
    assert not rule.covers(Attributes("get", "any", "v1", "nodes"))
    assert not rule.covers(Attributes("get", path="/healthz"))
