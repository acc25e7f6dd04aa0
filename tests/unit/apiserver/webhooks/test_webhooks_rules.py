"""Rules of webhooks and policies: which requests they are about."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.webhooks.rules import Place, first_match, is_excluded, rule_matches

PODS = Place("CREATE", "", "v1", "pods", "", is_namespaced=True)
SCALE = Place("UPDATE", "apps", "v1", "deployments", "scale", is_namespaced=True)
NODES = Place("DELETE", "", "v1", "nodes", "", is_namespaced=False)
EVENTS = Place("CREATE", "", "v1", "events", "", is_namespaced=True)
SAME_EVENTS = (("", "v1", "events"), ("events.k8s.io", "v1", "events"))


def _rule(**changes: Any) -> dict[str, Any]:
    everything = {
        "operations": ["*"],
        "apiGroups": ["*"],
        "apiVersions": ["*"],
        "resources": ["*/*"],
        "scope": "*",
    }
    return {**everything, **changes}


@pytest.mark.parametrize(
    ("resources", "place", "matches"),
    [
        (["pods"], PODS, True),
        (["pods/*"], PODS, True),
        (["*"], PODS, True),
        (["*/*"], PODS, True),
        (["pods/status"], PODS, False),
        (["services", "pods"], PODS, True),
        (["deployments"], SCALE, False),
        (["*"], SCALE, False),
        (["deployments/*"], SCALE, True),
        (["*/scale"], SCALE, True),
        (["deployments/scale"], SCALE, True),
        (["deployments/status"], SCALE, False),
        ([], PODS, False),
    ],
)
def test_resources_and_subresources_are_matched_by_pattern(
    resources: list[str], place: Place, *, matches: bool
) -> None:
    assert rule_matches(_rule(resources=resources), place) is matches


@pytest.mark.parametrize(
    ("changes", "matches"),
    [
        ({"operations": ["CREATE"]}, True),
        ({"operations": ["UPDATE", "DELETE"]}, False),
        ({"apiGroups": [""]}, True),
        ({"apiGroups": ["apps"]}, False),
        ({"apiVersions": ["v1"]}, True),
        ({"apiVersions": ["v1beta1"]}, False),
        ({"scope": "Namespaced"}, True),
        ({"scope": "Cluster"}, False),
    ],
)
def test_every_part_of_a_rule_has_to_match(changes: dict[str, Any], *, matches: bool) -> None:
    assert rule_matches(_rule(**changes), PODS) is matches


def test_what_is_in_no_namespace_is_of_the_clusters_scope() -> None:
    assert rule_matches(_rule(scope="Cluster"), NODES)
    assert not rule_matches(_rule(scope="Namespaced"), NODES)


def test_an_equivalent_type_is_shown_as_the_rule_wants_it() -> None:
    rule = _rule(apiGroups=["events.k8s.io"], resources=["events"])
    assert first_match([rule], EVENTS, SAME_EVENTS, "") == ("events.k8s.io", "v1", "events")
    assert first_match([rule], EVENTS, (), "") is None


def test_the_requested_type_goes_before_equivalents_whatever_the_order_of_rules() -> None:
    rules = [_rule(apiGroups=["events.k8s.io"]), _rule(apiGroups=[""])]
    assert first_match(rules, EVENTS, SAME_EVENTS, "") == ("", "v1", "events")


def test_a_rule_with_names_is_about_these_objects_only() -> None:
    rule = _rule(resourceNames=["a", "b"])
    assert first_match([rule], PODS, (), "a") is not None
    assert first_match([rule], PODS, (), "c") is None
    assert first_match([rule], PODS, (), "") is None


def test_nobody_is_asked_about_configurations_of_admission_and_about_reviews() -> None:
    group = "admissionregistration.k8s.io"
    assert is_excluded(group, "validatingadmissionpolicies")
    assert is_excluded(group, "mutatingwebhookconfigurations")
    assert is_excluded("authorization.k8s.io", "subjectaccessreviews")
    assert not is_excluded("authentication.k8s.io", "tokenrequests")
    assert not is_excluded("", "pods")


def test_policies_look_at_configurations_of_webhooks_but_not_at_policies() -> None:
    group = "admissionregistration.k8s.io"
    assert is_excluded(group, "mutatingadmissionpolicybindings", by_policies=True)
    assert not is_excluded(group, "validatingwebhookconfigurations", by_policies=True)
    assert is_excluded("authentication.k8s.io", "tokenreviews", by_policies=True)
