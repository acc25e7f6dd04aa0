"""Custom resources are printed by the columns that their definitions declare."""

from __future__ import annotations

from typing import Any

import pytest

from kube.table.custom import custom_printer
from kube.table.json_path import JsonPath

NOW_S = 1_000_000.0
CREATED = "1970-01-12T13:41:40Z"  # 300 s before NOW_S
OBJECT: dict[str, Any] = {
    "metadata": {"name": "w", "creationTimestamp": CREATED, "labels": {"x.io/a": "b"}},
    "spec": {
        "size": 3,
        "ratio": 1.5,
        "on": True,
        "text": "t",
        "nil": None,
        "parts": [{"name": "p", "n": 1}, {"name": "q", "n": 2}],
    },
    "status": {"conditions": [{"type": "A", "status": "No"}, {"type": "Ready", "status": "Yes"}]},
}


def cell(kind: str, path: str) -> Any:
    printer = custom_printer([{"name": "C", "type": kind, "jsonPath": path}])
    return printer.cells(OBJECT, NOW_S)[1]


@pytest.mark.parametrize(
    ("kind", "path", "expected"),
    [
        ("integer", ".spec.size", 3),
        ("integer", ".spec.ratio", 1),
        ("integer", ".spec.on", None),
        ("integer", ".spec.text", None),
        ("number", ".spec.size", 3.0),
        ("boolean", ".spec.on", True),
        ("boolean", ".spec.text", None),
        ("string", ".spec.text", "t"),
        ("string", ".spec.size", "3"),
        ("string", ".spec.on", "true"),
        ("string", ".spec.parts[0]", '{"n":1,"name":"p"}'),
        ("string", ".spec.absent", None),
        ("string", ".spec.nil", None),
        ("date", ".metadata.creationTimestamp", "5m"),
        ("date", ".spec.text", "<invalid>"),
        ("date", ".spec.size", None),
    ],
)
def test_cell_is_of_its_columns_type_or_null(kind: str, path: str, expected: Any) -> None:
    shown = cell(kind, path)
    assert (shown, type(shown)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".spec.parts[*].name", ["p", "q"]),
        (".spec.parts[-1].name", ["q"]),
        (".spec.parts[5].name", []),
        (".spec.parts[0:1].name", ["p"]),
        (".spec.parts.*.n", [1, 2]),
        ("['spec']['text']", ["t"]),
        (".metadata.labels.x\\.io/a", ["b"]),
        (".metadata.labels['x.io/a']", ["b"]),
        ("..name", ["w", "p", "q"]),
        ("$.spec.size", [3]),
        ('.status.conditions[?(@.type=="Ready")].status', ["Yes"]),
        (".status.conditions[?(@.type == 'Ready')].status", ["Yes"]),
        ('.status.conditions[?(@.type!="Ready")].status', ["No"]),
        (".spec.parts[?(@.n==2)].name", ["q"]),
        (".spec.parts[?(@.absent)].name", []),
        (".spec.parts[?(@.name)].name", ["p", "q"]),
    ],
)
def test_path_finds(path: str, expected: list[Any]) -> None:
    found = list(JsonPath(path).find(OBJECT))
    if path == "..name":
        assert sorted(found) == sorted(expected)
    else:
        assert found == expected


def test_definition_without_columns_shows_age() -> None:
    printer = custom_printer([])
    assert [column["name"] for column in printer.columns] == ["Name", "Age"]
    assert printer.columns[1]["type"] == "date"
    assert printer.cells(OBJECT, NOW_S) == ["w", "5m"]


def test_columns_keep_what_the_definition_says() -> None:
    declared = {
        "name": "Size",
        "type": "integer",
        "format": "int32",
        "description": "how big",
        "priority": 1,
        "jsonPath": ".spec.size",
    }
    column = custom_printer([declared]).columns[1]
    assert column == {key: value for key, value in declared.items() if key != "jsonPath"}


def test_undescribed_column_is_described_by_its_path() -> None:
    column = custom_printer([{"name": "S", "type": "string", "jsonPath": ".spec.a"}]).columns[1]
    expected = "Custom resource definition column (in JSONPath format): .spec.a"
    assert column["description"] == expected


@pytest.mark.parametrize("path", [".spec[", "spec.size", ".a[?(@.b==c d)]", ".a[b]"])
def test_unreadable_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="unrecognized column definition"):
        custom_printer([{"name": "S", "type": "string", "jsonPath": path}])
