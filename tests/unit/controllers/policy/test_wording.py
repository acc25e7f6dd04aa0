"""How Go prints selectors."""

from __future__ import annotations

from controllers.policy.wording import selector_text


def test_selectors_are_printed_as_upstream_prints_them() -> None:
    assert selector_text(None) == "nil"
    assert selector_text({"matchLabels": {"foo": "bar", "a": "b"}}) == (
        "&LabelSelector{MatchLabels:map[string]string{a: b,foo: bar,},"
        "MatchExpressions:[]LabelSelectorRequirement{},}"
    )
    rule = {"key": "k", "operator": "In", "values": ["x", "y"]}
    assert selector_text({"matchExpressions": [rule]}) == (
        "&LabelSelector{MatchLabels:map[string]string{},"
        "MatchExpressions:[]LabelSelectorRequirement{"
        "LabelSelectorRequirement{Key:k,Operator:In,Values:[x y],},},}"
    )
