"""Tables and metadata documents, whole, streamed and in watch events."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kube.builtin_kinds import builtin_registry
from kube.schema.compile import builtin_schemas
from kube.status import StatusError
from kube.table import documents
from kube.table.documents import IncludeObject, TableOptions
from kube.table.partial import (
    META_V1BETA1,
    metadata_cutter,
)
from kube.table.printers import printer_for

NOW_S = 1_000_000.0
POD: dict[str, Any] = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"name": "p", "resourceVersion": "7", "labels": {"a": "b"}},
    "spec": {"containers": []},
    "status": {"phase": "Succeeded"},
}


NASTY = '},"spec":{},"data":{}},"status":'
META: dict[str, Any] = {
    "resourceVersion": "7",
    "name": "p",
    "labels": {"spec": "", "data": "a"},
    "annotations": {"status": NASTY, "a": NASTY[1:], 'b\\"': '{"spec":{}},"spec":{'},
    "ownerReferences": [{"kind": "A", "apiVersion": "v1", "name": "spec", "uid": "u"}],
    "managedFields": [
        {
            "manager": NASTY,
            "operation": "Update",
            "apiVersion": "v1",
            "fieldsV1": {"f:spec": {"f:a": {}}, f'k:{{"name":"{NASTY}"}}': {".": {}}},
            "subresource": "status",
        }
    ],
}


def test_metadata_cut_out_of_the_bytes_is_what_a_decoder_finds() -> None:
    for info in builtin_registry().all():
        head = orjson.dumps({"kind": info.kind, "apiVersion": info.storage_version})[:-1]
        names = builtin_schemas().struct(info.schema_name).fields.keys()
        names -= {"kind", "apiVersion", "metadata"}
        cut = metadata_cutter(info.schema_name)
        for first in names:
            for meta in (META, {"resourceVersion": "7", "labels": {"spec": "data"}}, {"uid": ""}):
                rest = {name: {"metadata": {"spec": {"a": {}}, "data": {}}} for name in names}
                document = {"metadata": meta, first: rest.pop(first), **rest}
                body = head + b"," + orjson.dumps(document)[1:]
                found = cut(body, len(head) + 1)
                assert found == b'"metadata":' + orjson.dumps(meta), (info.kind, first)


def test_metadata_with_nothing_after_it_is_not_cut_out() -> None:
    body = orjson.dumps({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c"}})
    cut = metadata_cutter("io.k8s.api.core.v1.ConfigMap")
    assert cut(body, body.index(b'"metadata"')) is None


def test_every_type_prints_an_empty_object_into_all_its_columns() -> None:
    for info in builtin_registry().all():
        printer = printer_for(info.storage_resource)
        cells = printer.cells({"metadata": {}}, NOW_S)
        unannounced = 1 if info.plural == "ipaddresses" else 0
        assert len(cells) == len(printer.columns) + unannounced, info.storage_resource


def test_every_column_is_complete_and_described() -> None:
    for info in builtin_registry().all():
        for column in printer_for(info.storage_resource).columns:
            assert set(column) == {"name", "type", "format", "description", "priority"}
            assert column["description"], (info.storage_resource, column["name"])


def test_type_without_printer_shows_name_and_creation_time() -> None:
    printer = printer_for("rbac.authorization.k8s.io/roles")
    columns = [(c["name"], c["type"], c["format"]) for c in printer.columns]
    assert columns == [("Name", "string", "name"), ("Created At", "date", "")]
    created = {"metadata": {"name": "r", "creationTimestamp": "2026-01-02T03:04:05Z"}}
    assert printer.cells(created, NOW_S) == ["r", "2026-01-02T03:04:05Z"]


def test_wide_columns_have_priority() -> None:
    priorities = [column["priority"] for column in printer_for("pods").columns]
    assert priorities == [0, 0, 0, 0, 0, 1, 1, 1, 1]


def test_event_columns_hide_the_name() -> None:
    last = printer_for("events").columns[-1]
    assert (last["name"], last["format"], last["priority"]) == ("Name", "name", 1)


def test_row_carries_metadata_by_default() -> None:
    row = documents.row(printer_for("pods"), POD, NOW_S, documents.table_options("", "v1"))
    assert row["object"] == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": POD["metadata"],
    }
    assert row["conditions"][0]["reason"] == "Succeeded"
    assert list(row) == ["cells", "conditions", "object"]


def test_row_without_object_says_null() -> None:
    row = documents.row(printer_for("pods"), POD, NOW_S, TableOptions(IncludeObject.NONE))
    assert row["object"] is None


def test_row_keeps_the_annotation_that_ends_initial_events() -> None:
    annotations = {"k8s.io/initial-events-end": "true"}
    bookmark = {"metadata": {"resourceVersion": "7", "annotations": annotations}}
    options = TableOptions(IncludeObject.NONE)
    row = documents.row(printer_for("pods"), bookmark, NOW_S, options)
    assert row["object"]["metadata"] == bookmark["metadata"]


def test_row_puts_given_bytes_in_as_they_are() -> None:
    options = TableOptions(IncludeObject.OBJECT)
    body = b'{ "kind": "Pod" }'
    row = documents.row_bytes(printer_for("pods"), POD, NOW_S, options, body)
    assert row.endswith(b'"object":{ "kind": "Pod" }}')
    assert orjson.loads(row)["cells"][0] == "p"
    metadata = documents.row_bytes(printer_for("pods"), POD, NOW_S, TableOptions(), body)
    assert orjson.loads(metadata)["object"]["kind"] == "PartialObjectMetadata"


def test_only_the_first_event_of_a_watch_defines_columns() -> None:
    printer, options = printer_for("pods"), TableOptions()
    first, later = (
        orjson.loads(documents.event_table_bytes(printer, POD, NOW_S, options, is_first=is_first))
        for is_first in (True, False)
    )
    assert first["columnDefinitions"] == list(printer.columns)
    assert later["columnDefinitions"] is None
    assert first["rows"] == later["rows"]
    assert later["metadata"] == {"resourceVersion": "7"}


def test_versions_of_table_and_metadata_agree() -> None:
    options = documents.table_options("Metadata", "v1beta1")
    table = documents.table_document(printer_for("pods"), [POD], {}, NOW_S, options)
    assert table["apiVersion"] == table["rows"][0]["object"]["apiVersion"] == META_V1BETA1


def test_flow_schemas_are_listed_as_they_match() -> None:
    names = [("b", 200), ("z", 100), ("a", 200)]
    schemas = [
        {"metadata": {"name": name}, "spec": {"matchingPrecedence": precedence}}
        for name, precedence in names
    ]
    printer = printer_for("flowcontrol.apiserver.k8s.io/flowschemas")
    table = documents.table_document(printer, schemas, {}, NOW_S, TableOptions())
    assert [row["cells"][0] for row in table["rows"]] == ["z", "a", "b"]


def test_unknown_include_object_is_a_bad_request() -> None:
    with pytest.raises(StatusError) as caught:
        documents.table_options("Everything", "v1")
    assert caught.value.code == 400
    assert caught.value.message == (
        "Unable to convert to Table as requested: includeObject: Invalid value: "
        "\"Everything\": must be 'Metadata', 'Object', 'None', or empty"
    )


def test_unknown_table_version_is_not_acceptable() -> None:
    with pytest.raises(StatusError) as caught:
        documents.table_options("", "v2")
    assert (caught.value.code, caught.value.reason) == (406, "NotAcceptable")
