"""Which printer prints which type.

Invariant: every type has a printer; one without its own shows Name and Created At. Printers are
built once, at the first question, as that is when column descriptions are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from types import MappingProxyType
from typing import Any, Final

import orjson

from kube import durations
from kube.builtin_kinds import definitions_file
from kube.json_types import JsonObject
from kube.table import (
    access,
    autoscaling,
    cluster,
    control,
    devices,
    network,
    pods,
    volumes,
    workloads,
)
from kube.table.layout import AGE, NAME, Column, Layout, Printer, fields_of
from kube.table.text import name_of

DEFAULT: Final = ""
SCALE: Final = "autoscaling/scale"
_AREAS: Final = (
    pods.LAYOUTS,
    workloads.LAYOUTS,
    network.LAYOUTS,
    cluster.LAYOUTS,
    volumes.LAYOUTS,
    access.LAYOUTS,
    control.LAYOUTS,
    devices.LAYOUTS,
    autoscaling.LAYOUTS,
)


def printer_for(storage_resource: str) -> Printer:
    """Return the printer of a built-in type, as `pods` or `apps/deployments`.

    The scale subresource of any type prints as `SCALE`. A type without a printer of its own gets
    the default one.
    """
    printers = _printers()
    return printers.get(storage_resource) or printers[DEFAULT]


def describe_fields(fields: Iterable[str]) -> dict[str, str]:
    """Return the descriptions of API fields given as `definition.property`."""
    definitions = orjson.loads(definitions_file().read_bytes())["$defs"]
    found = {}
    for field in fields:
        definition, _, name = field.rpartition(".")
        known = definitions.get(definition, {}).get("properties", {}).get(name, {})
        found[field] = str(known.get("description", ""))
    return found


@cache
def metadata_descriptions() -> Mapping[str, str]:
    """Return the descriptions of the name and the creation time, for columns made at run time."""
    return MappingProxyType(describe_fields((NAME.field, AGE.field)))


def _default_cells(obj: JsonObject, _now_s: float) -> list[Any]:
    created = obj["metadata"].get("creationTimestamp")
    if not created:
        return [name_of(obj), "0001-01-01T00:00:00Z"]
    moment = datetime.fromtimestamp(durations.timestamp_s(created), UTC)
    return [name_of(obj), moment.strftime("%Y-%m-%dT%H:%M:%SZ")]


@cache
def _printers() -> Mapping[str, Printer]:
    layouts: dict[str, Layout] = {
        DEFAULT: Layout((NAME, Column("Created At", "date", field=AGE.field)), _default_cells)
    }
    for area in _AREAS:
        assert layouts.keys().isdisjoint(area), "a type is printed in one area only"
        layouts.update(area)
    descriptions = describe_fields(fields_of(layouts.values()))
    return MappingProxyType({key: Printer(item, descriptions) for key, item in layouts.items()})
