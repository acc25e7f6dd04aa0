"""Tables of meta.k8s.io: whole ones, their rows, and the one-row Tables of watch events.

    {"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{...},"columnDefinitions":[...],
     "rows":[{"cells":[...],"object":{...}},...]}

Only the first event of a watch carries column definitions. Tables and the metadata objects within
have the meta.k8s.io version that the client asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

import orjson

from kube import field, status
from kube.json_types import JsonObject
from kube.table.layout import Printer
from kube.table.partial import META_V1, META_V1BETA1, partial_object_metadata

Show: TypeAlias = Callable[[JsonObject], JsonObject]
"""Turns an object of the storage version into the version a client asked for."""
_INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"
_VERSIONS: Final = {"v1": META_V1, "v1beta1": META_V1BETA1}


class IncludeObject(Enum):
    """How much of each object its row carries."""

    NONE = "None"
    METADATA = "Metadata"
    OBJECT = "Object"


@dataclass(frozen=True, slots=True)
class TableOptions:
    """What the client asked for.

    Attributes:
        include: how much of each object rows carry.
        api_version: of the Table, `meta.k8s.io/v1` or `meta.k8s.io/v1beta1`.
    """

    include: IncludeObject = IncludeObject.METADATA
    api_version: str = META_V1


def table_options(include_object: str, version: str) -> TableOptions:
    """Return the options of a request's `includeObject` (may be empty) and Accept's `v`.

    Raises:
        kube.status.StatusError: 400, no such includeObject; 406, no Table in that version.
    """
    api_version = _VERSIONS.get(version)
    if api_version is None:
        where = f"meta.k8s.io/{version}"
        message = f"no Table exists in group version {where}"
        raise status.StatusError(406, "NotAcceptable", message)
    try:
        include = IncludeObject(include_object or "Metadata")
    except ValueError:
        why = "must be 'Metadata', 'Object', 'None', or empty"
        fault = field.invalid("includeObject", include_object, why)
        message = f"Unable to convert to Table as requested: {fault}"
        raise status.bad_request(message) from None
    return TableOptions(include, api_version)


def table_document(
    printer: Printer,
    objects: Iterable[JsonObject],
    list_meta: JsonObject,
    now_s: float,
    options: TableOptions,
    *,
    show: Show | None = None,
) -> JsonObject:
    """Return a whole Table; its rows are in the printer's order where it has one.

    `show` is for objects whose stored shape is not the one asked for.
    """
    if options.include is not IncludeObject.OBJECT:
        show = None
    if printer.order is not None:
        objects = sorted(objects, key=printer.order)
    return {
        "kind": "Table",
        "apiVersion": options.api_version,
        "metadata": list_meta,
        "columnDefinitions": printer.columns,
        "rows": [
            row(printer, obj, now_s, options, None if show is None else show(obj))
            for obj in objects
        ],
    }


def row(
    printer: Printer,
    obj: JsonObject,
    now_s: float,
    options: TableOptions,
    shown: JsonObject | None = None,
) -> JsonObject:
    """Return one TableRow of a storage-version object.

    Args:
        printer: of the object's type.
        obj: in its storage version; its cells are taken from this.
        now_s: Unix time against which ages are taken.
        options: of the request.
        shown: what the row carries under `IncludeObject.OBJECT`, where that is another version.
    """
    item: JsonObject = {"cells": printer.cells(obj, now_s)}
    if printer.conditions is not None and (conditions := printer.conditions(obj)):
        item["conditions"] = conditions
    if options.include is IncludeObject.METADATA:
        item["object"] = partial_object_metadata(obj, options.api_version)
    elif options.include is IncludeObject.OBJECT:
        item["object"] = obj if shown is None else shown
    elif _INITIAL_EVENTS_END in obj["metadata"].get("annotations", ()):
        # The bookmark that ends a list by watch would be unrecognisable without its annotation.
        item["object"] = partial_object_metadata(obj, options.api_version)
    else:
        item["object"] = None
    return item


def row_bytes(
    printer: Printer,
    obj: JsonObject,
    now_s: float,
    options: TableOptions,
    body: bytes | None = None,
) -> bytes:
    """Return one TableRow, encoded.

    `body` is the object's JSON in the version the client asked for: under `IncludeObject.OBJECT`
    it is put in as it is, otherwise ignored.
    """
    if body is None or options.include is not IncludeObject.OBJECT:
        return orjson.dumps(row(printer, obj, now_s, options))
    bare = {"cells": printer.cells(obj, now_s)}
    if printer.conditions is not None and (conditions := printer.conditions(obj)):
        bare["conditions"] = conditions
    return b'%b,"object":%b}' % (orjson.dumps(bare)[:-1], body)


def event_table_bytes(
    printer: Printer,
    obj: JsonObject,
    now_s: float,
    options: TableOptions,
    *,
    is_first: bool,
    body: bytes | None = None,
) -> bytes:
    """Return the one-row Table that is a watch event's object, without a newline.

    Only the watch's first event (`is_first`) defines columns; clients keep them. Bookmarks are
    rows too, of an object that has nothing but a resourceVersion.
    """
    revision = obj["metadata"].get("resourceVersion")
    list_meta = {"resourceVersion": revision} if revision else {}
    head = _head(printer.columns_json if is_first else b"null", list_meta, options)
    return b"%b%b]}" % (head, row_bytes(printer, obj, now_s, options, body))


def _head(columns_json: bytes, list_meta: JsonObject, options: TableOptions) -> bytes:
    return b'{"kind":"Table","apiVersion":"%b","metadata":%b,"columnDefinitions":%b,"rows":[' % (
        options.api_version.encode(),
        orjson.dumps(list_meta),
        columns_json,
    )
