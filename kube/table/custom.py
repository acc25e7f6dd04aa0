"""Printers of custom resources: Name, then the columns that the definition declares.

A definition without `additionalPrinterColumns` shows the age. A cell whose path finds nothing, or
a value that is not of the column's type, is null. Only a path's first result is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from kube import durations
from kube.json_types import JsonObject
from kube.table.json_path import JsonPath
from kube.table.layout import AGE, NAME, Column, Layout, Printer
from kube.table.printers import metadata_descriptions
from kube.table.text import name_of

_AGE_COLUMN: Final = Column("Age", "date", field=AGE.field)
_AGE_PATH: Final = ".metadata.creationTimestamp"


def custom_printer(declared: Sequence[JsonObject]) -> Printer:
    """Return the printer of one version of a custom resource.

    Args:
        declared: the version's `additionalPrinterColumns`, as in the definition.

    Raises:
        ValueError: a column's jsonPath cannot be parsed; worded as upstream.
    """
    columns = [NAME]
    found: list[tuple[str, JsonPath]] = []
    for item in declared:
        path = item.get("jsonPath", "")
        try:
            found.append((item.get("type", ""), JsonPath(path)))
        except ValueError:
            raise ValueError(f'unrecognized column definition "{path}"') from None
        columns.append(_column(item, path))
    if not declared:
        columns.append(_AGE_COLUMN)
        found.append((_AGE_COLUMN.kind, JsonPath(_AGE_PATH)))

    def cells(obj: JsonObject, now_s: float) -> list[Any]:
        values = (_cell(kind, next(path.find(obj), None), now_s) for kind, path in found)
        return [name_of(obj), *values]

    return Printer(Layout(tuple(columns), cells), metadata_descriptions())


def _column(item: JsonObject, path: str) -> Column:
    described = item.get("description")
    return Column(
        name=item.get("name", ""),
        kind=item.get("type", ""),
        format=item.get("format", ""),
        description=described or f"Custom resource definition column (in JSONPath format): {path}",
        priority=item.get("priority", 0),
    )


def _cell(kind: str, value: Any, now_s: float) -> Any:
    if value is None:
        return None
    match kind:
        case "string":
            return _text(value)
        case "integer" if isinstance(value, int | float) and not isinstance(value, bool):
            return int(value)
        case "number" if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        case "boolean" if isinstance(value, bool):
            return value
        case "date" if isinstance(value, str):
            return _date(value, now_s)
        case _:
            return None


def _text(value: Any) -> str:
    """Return any value as a string column shows it: numbers bare, structures as JSON."""
    if isinstance(value, str):
        return value
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _date(value: str, now_s: float) -> str:
    try:
        moment_s = durations.timestamp_s(value) if value else None
    except ValueError:
        return durations.INVALID
    return durations.UNKNOWN if moment_s is None else durations.human_duration(now_s - moment_s)
