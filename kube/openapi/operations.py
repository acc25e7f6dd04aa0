"""API operations, free of any OpenAPI version: what a path's methods take and answer.

Schemas are named by their definitions. The empty name is plain text; None is no content.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kube.openapi.parameters import Parameter

META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1"
MEDIA_TYPES: Final = ("application/json", "application/yaml", "application/cbor")
_STATUS: Final = {200: "OK", 201: "Created", 202: "Accepted"}

Response = tuple[str, str, str | None]


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body: the definition of what it holds, and the media types it may come in."""

    schema: str
    media_types: tuple[str, ...] = ("*/*",)
    required: bool = True


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    Attributes:
        responses: status code, description and schema of each.
        produces: media types of successful responses.
        action, kind: upstream's extensions, empty and None where it writes none; the kind is
            group, version and kind.
    """

    method: str
    operation_id: str
    description: str
    tag: str
    responses: tuple[Response, ...]
    produces: tuple[str, ...] = MEDIA_TYPES
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    action: str = ""
    kind: tuple[str, str, str] | None = None


@dataclass(frozen=True, slots=True)
class PathItem:
    """A path, its operations, and the parameters that all of these take."""

    path: str
    parameters: tuple[Parameter, ...]
    operations: tuple[Operation, ...]


def responses(codes: tuple[int, ...], schema: str) -> tuple[Response, ...]:
    """Return the responses of an operation that answers with `schema` when it succeeds."""
    good = tuple((str(code), _STATUS[code], schema) for code in codes)
    return (*good, ("401", "Unauthorized", None))


def document_path(path: str, purpose: str, operation_id: str, tag: str, schema: str) -> PathItem:
    """Return a path that only answers with one document, as those of discovery do."""
    operation = Operation(
        method="get",
        operation_id=operation_id,
        description=purpose,
        tag=tag,
        responses=responses((200,), schema),
    )
    return PathItem(path, (), (operation,))
