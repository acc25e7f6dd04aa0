"""Simple JSON paths, as selectable fields and rules name fields."""

from __future__ import annotations

import pytest
from structural_schemas import INTEGER, STRING, listed, mapped, obj

from kube.structural.field_paths import BadPath, resolve

SCHEMA = obj(spec=obj(a=STRING, m=mapped(INTEGER), l=listed(STRING), **{"b.c": STRING}))


@pytest.mark.parametrize(
    ("json_path", "path", "type_"),
    [
        (".spec", "spec", "object"),
        (".spec.a", "spec.a", "string"),
        ("['spec']['b.c']", "spec.b.c", "string"),
        (".spec.m['k.l']", "spec.m[k.l]", "integer"),
        (".spec.m.k", "spec.m[k]", "integer"),
        (".spec.l", "spec.l", "array"),
        (".spec.m['it\\'s']", "spec.m[it's]", "integer"),
    ],
)
def test_a_path_leads_to_a_field(json_path: str, path: str, type_: str) -> None:
    target = resolve(json_path, SCHEMA)
    assert (target.path, target.root, target.schema["type"]) == (path, "spec", type_)


@pytest.mark.parametrize(
    ("json_path", "message"),
    [
        ("spec", "expected [ or . but got: spec"),
        (".spec.x", "does not refer to a valid field"),
        (".spec.a.b", "does not refer to a valid field"),
        (".spec.l[0]", "expected single quoted string but got 0"),
        (".spec.m['k'", "unexpected end of JSON path"),
        (".spec.m['k'.", "expected ] but got ."),
        (".spec.", "unexpected end of JSON path"),
        (".spec[", "unexpected end of JSON path"),
    ],
)
def test_a_path_that_leads_nowhere_is_told_why(json_path: str, message: str) -> None:
    with pytest.raises(BadPath) as bad:
        resolve(json_path, SCHEMA)
    assert str(bad.value) == message


def test_brackets_may_be_ruled_out() -> None:
    with pytest.raises(BadPath, match="array notation is not allowed"):
        resolve("['spec']", SCHEMA, allow_brackets=False)
