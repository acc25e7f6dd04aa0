"""Alternatives of a schema: anyOf, oneOf, allOf, not.

Of several that do not fit, the faults of the best are told along: that with most checks made, as
upstream counts them; the first of equals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from kube.field import quote
from kube.json_types import JsonObject
from kube.structural.verdict import PLACELESS, Fault, Verdict

Explain: TypeAlias = Callable[[JsonObject, Any, str], Verdict]


def check(schema: JsonObject, value: Any, path: str, verdict: Verdict, explain: Explain) -> None:
    """Check a value against a schema's alternatives.

    Args:
        schema: the schema.
        value: any value but null.
        path: its name in messages.
        verdict: gets what is found.
        explain: how a value is checked against one alternative.
    """
    if any_of := schema.get("anyOf"):
        _check_any([explain(branch, value, path) for branch in any_of], path, verdict)
    if one_of := schema.get("oneOf"):
        _check_one([explain(branch, value, path) for branch in one_of], path, verdict)
    if all_of := schema.get("allOf"):
        _check_all([explain(branch, value, path) for branch in all_of], path, verdict)
    excluded = schema.get("not")
    if excluded is not None and not explain(excluded, value, path).faults:
        _add(verdict, path, "must not validate the schema (not)")


def _add(verdict: Verdict, path: str, text: str) -> None:
    verdict.add(Fault(PLACELESS, path, f"{quote(path)} {text}"))


def _best(found: Sequence[Verdict]) -> Verdict:
    return max(found, key=lambda result: result.matches)


def _check_any(found: Sequence[Verdict], path: str, verdict: Verdict) -> None:
    valid = [result for result in found if not result.faults]
    if valid:
        verdict.merge(valid[0])
        return
    _add(verdict, path, "must validate at least one schema (anyOf)")
    verdict.merge(_best(found))


def _check_one(found: Sequence[Verdict], path: str, verdict: Verdict) -> None:
    valid = [result for result in found if not result.faults]
    if len(valid) == 1:
        verdict.merge(valid[0])
        return
    more = f"Found {len(valid)} valid alternatives" if valid else "Found none valid"
    _add(verdict, path, f"must validate one and only one schema (oneOf). {more}")
    if not valid:
        verdict.merge(_best(found))


def _check_all(found: Sequence[Verdict], path: str, verdict: Verdict) -> None:
    for result in found:
        verdict.merge(result)
    valid = sum(not result.faults for result in found)
    if valid != len(found):
        more = "" if valid else ". None validated"
        _add(verdict, path, f"must validate all the schemas (allOf){more}")
