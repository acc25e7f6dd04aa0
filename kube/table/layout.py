"""What a printer is: columns and a function from an object to its cells.

Invariants: a printer's cells and columns correspond by position and always include the wide
columns (clients hide those of a priority above zero). A printer holds its columns encoded, so a
Table's head costs nothing. Column descriptions of API fields are taken from the definitions of
the Kubernetes version we follow when printers are built; only columns that show no single field
are worded here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeAlias

import orjson

from kube.json_types import JsonObject

Cells: TypeAlias = Callable[[JsonObject, float], list[Any]]
Conditions: TypeAlias = Callable[[JsonObject], list[JsonObject] | None]
Order: TypeAlias = Callable[[JsonObject], Any]

META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta."
API: Final = "io.k8s.api."


@dataclass(frozen=True, slots=True)
class Column:
    """One column definition of a Table.

    Attributes:
        kind: OpenAPI type: string, integer, number, boolean, date.
        format: OpenAPI format; `name` marks the primary identifier.
        description: the text itself, or, in a `Layout`, may be empty with `field` given.
        priority: 0 is always shown, more only in wide output.
        field: `definition.property` whose description describes the column.
    """

    name: str
    kind: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0
    field: str = ""

    def document(self, descriptions: Mapping[str, str]) -> JsonObject:
        """Return the TableColumnDefinition, all five fields always present."""
        return {
            "name": self.name,
            "type": self.kind,
            "format": self.format,
            "description": self.description or descriptions.get(self.field, ""),
            "priority": self.priority,
        }


NAME: Final = Column("Name", format="name", field=f"{META}name")
AGE: Final = Column("Age", field=f"{META}creationTimestamp")


def shows(name: str, field: str, kind: str = "string", *, wide: bool = False) -> Column:
    """Return a column that shows an API field, as `core.v1.PodSpec.nodeName`, described by it."""
    return Column(name, kind, priority=int(wide), field=API + field)


def worded(name: str, description: str, kind: str = "string", *, wide: bool = False) -> Column:
    """Return a column that shows something derived, described in our words."""
    return Column(name, kind, description=description, priority=int(wide))


@dataclass(frozen=True, slots=True)
class Layout:
    """How objects of one type are printed, before column descriptions are looked up.

    Attributes:
        columns: in order.
        cells: `(object, now in Unix seconds) -> cells`.
        conditions: `(object) -> row conditions` for types whose objects complete.
        order: sort key of a list's rows where upstream orders them; None keeps the list's order.
    """

    columns: tuple[Column, ...]
    cells: Cells
    conditions: Conditions | None = None
    order: Order | None = None


class Printer:
    """Prints the objects of one type.

    Attributes:
        columns: the column definitions, as JSON.
        cells: `(object, now in Unix seconds) -> cells`.
        conditions: `(object) -> row conditions`, None where rows never have any.
        order: sort key of rows, None to keep the list's order.
    """

    def __init__(self, layout: Layout, descriptions: Mapping[str, str]) -> None:
        """Build from `layout`, filling in `descriptions` by `definition.property`."""
        self.columns: tuple[JsonObject, ...] = tuple(
            column.document(descriptions) for column in layout.columns
        )
        self.cells = layout.cells
        self.conditions = layout.conditions
        self.order = layout.order

    @cached_property
    def columns_json(self) -> bytes:
        """The column definitions, encoded."""
        return orjson.dumps(self.columns)


def fields_of(layouts: Iterable[Layout]) -> set[str]:
    """Return every `definition.property` whose description the layouts' columns need."""
    return {column.field for layout in layouts for column in layout.columns if column.field}
