"""What is wrong with a whole object inside a custom resource: its apiVersion, kind and metadata."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apiserver.types.formats import is_dns1035_label, name_is_path_segment
from apiserver.types.meta import validate_object_meta
from kube.field import FieldError, invalid, required
from kube.json_types import JsonObject
from kube.structural.embedded import decode_metadata
from kube.structural.search import child_path


def check_embedded(value: JsonObject, path: str) -> list[FieldError]:
    """Return what is wrong with an embedded object.

    Args:
        value: the object; its metadata, if it has any, was decoded.
        path: where it stands, "" for the root.
    """
    errors = [required(child_path(path, key)) for key in ("apiVersion", "kind") if key not in value]
    if "apiVersion" in value:
        errors += _text_errors(value["apiVersion"], child_path(path, "apiVersion"), _version_faults)
    if "kind" in value:
        errors += _text_errors(value["kind"], child_path(path, "kind"), _kind_faults)
    if "metadata" in value:
        errors += _metadata_errors(value, path)
    return errors


def _text_errors(value: Any, path: str, faults: Any) -> Iterator[FieldError]:
    if value.__class__ is not str:
        yield invalid(path, value, "must be a string")
    elif not value:
        yield invalid(path, value, "must not be empty")
    else:
        for fault in faults(value):
            yield invalid(path, value, fault)


def _version_faults(text: str) -> list[str]:
    return [f"unexpected GroupVersion string: {text}"] if text.count("/") > 1 else []


def _kind_faults(text: str) -> list[str]:
    faults = is_dns1035_label(text.lower())
    prefix = "may have mixed case, but should otherwise match: "
    return [prefix + ",".join(faults)] if faults else []


def _metadata_errors(value: JsonObject, path: str) -> list[FieldError]:
    # Defaults that were filled in since may be no metadata.
    copy = {"metadata": value["metadata"]}
    if (error := decode_metadata(copy, path, [])) is not None:
        return [error]
    metadata = copy["metadata"] or {}
    named = metadata if metadata.get("name") else {**metadata, "name": "fakename"}
    return validate_object_meta(
        named,
        namespaced=bool(metadata.get("namespace")),
        name_check=name_is_path_segment,
        path=child_path(path, "metadata"),
    )
