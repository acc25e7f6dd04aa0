"""Objects from one version to another by a webhook, and the checks on what it returns.

A review carries many objects, all of one type: those of a list go together. The webhook may change
all but metadata, of which only labels and annotations are its to change. Wording is upstream's,
which tells clients of a failure with a 500 that has no reason.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final

import orjson

from apiserver.custom.definition import Definition
from apiserver.errors import conversion_failed
from apiserver.types.meta import validate_annotations, validate_labels
from kube.field import FieldError, quote
from kube.json_types import JsonObject

REVIEW: Final = "ConversionReview"
GROUP: Final = "apiextensions.k8s.io"
TIMEOUT_S: Final = 30.0
BATCH_MAX: Final = 200
BATCH_BYTES_MAX: Final = 4 << 20
"""What one review carries at most: its answer has a limit as well."""
_KNOWN: Final = ("v1", "v1beta1")
_SUCCESS: Final = "Success"
_FREE: Final = ("labels", "annotations")

Ask = Callable[[JsonObject, bytes], Awaitable[JsonObject]]
"""Sends a review to a webhook, by its clientConfig; returns the answer, decoded.

Raises:
    CallFailed: there is none; worded as upstream.
"""


class BadMetadata(Exception):
    """A converted object has labels or annotations that are none."""


class CallFailed(Exception):
    """A webhook gave no answer that can be used."""


class WebhookConversion:
    """The conversions of one definition.

    Args of the constructor:
        definition: whose objects.
        ask: how to reach its webhook.
    """

    def __init__(self, definition: Definition, ask: Ask) -> None:
        webhook = definition.conversion.get("webhook") or {}
        self._config: JsonObject = webhook.get("clientConfig") or {}
        given = webhook.get("conversionReviewVersions") or ()
        self._review = next((version for version in given if version in _KNOWN), "")
        self._ask = ask

    async def convert(self, objects: Sequence[JsonObject], version: str) -> list[JsonObject]:
        """Return objects in another version.

        Args:
            objects: none of them in that version; they stay as they are.
            version: the apiVersion wanted.

        Raises:
            StatusError: 500, the webhook failed.
        """
        converted: list[JsonObject] = []
        for batch in _batches(objects):
            converted += await self._convert(batch, version)
        return converted

    async def _convert(self, objects: Sequence[JsonObject], version: str) -> list[JsonObject]:
        head = f"conversion webhook for {_kind_of(objects[0])}"
        if not self._review:
            raise conversion_failed("no supported conversion review versions")
        uid = str(uuid.uuid4())
        review = {
            "kind": REVIEW,
            "apiVersion": f"{GROUP}/{self._review}",
            "request": {"uid": uid, "desiredAPIVersion": version, "objects": objects},
        }
        try:
            answer = await self._ask(self._config, orjson.dumps(review))
            found = self._converted(answer, uid)
        except CallFailed as error:
            raise conversion_failed(f"{head} failed: {error}") from error
        if len(found) != len(objects):
            raise conversion_failed(
                f"{head} returned {len(found)} objects, expected {len(objects)}"
            )
        return [
            _accepted(head, index, before, after, version)
            for index, (before, after) in enumerate(zip(objects, found, strict=True))
        ]

    def _converted(self, answer: JsonObject, uid: str) -> list[Any]:
        """Return the objects in an answer.

        Raises:
            CallFailed: the webhook says that it failed, or the answer is none to this request.
        """
        response = answer.get("response")
        if self._review == "v1":
            wanted = f"{GROUP}/v1, Kind={REVIEW}"
            version = str(answer.get("apiVersion") or "")
            shown = version if "/" in version else f"/{version}"
            given = f"{shown}, Kind={answer.get('kind') or ''}"
            if given != wanted:
                raise CallFailed(f"expected webhook response of {wanted}, got {given}")
        if not isinstance(response, dict):
            raise CallFailed("no response provided")
        if self._review == "v1" and response.get("uid") != uid:
            got = quote(str(response.get("uid") or ""))
            raise CallFailed(f"expected response.uid={quote(uid)}, got {got}")
        result = response.get("result")
        result = result if isinstance(result, dict) else {}
        if result.get("status") != _SUCCESS:
            said = result.get("message")
            if said:
                raise CallFailed(str(said))
            status = result.get("status") or ""
            raise CallFailed(f"response.result.status was '{status}', not 'Success'")
        found = response.get("convertedObjects")
        return found if isinstance(found, list) else []


def _batches(objects: Sequence[JsonObject]) -> Iterator[Sequence[JsonObject]]:
    batch: list[JsonObject] = []
    size_bytes = 0
    for obj in objects:
        own_bytes = len(orjson.dumps(obj))
        if batch and (len(batch) >= BATCH_MAX or size_bytes + own_bytes > BATCH_BYTES_MAX):
            yield batch
            batch, size_bytes = [], 0
        batch.append(obj)
        size_bytes += own_bytes
    if batch:
        yield batch


def _kind_of(obj: JsonObject) -> str:
    return f"{obj.get('apiVersion', '')}, Kind={obj.get('kind', '')}"


def _accepted(head: str, index: int, before: JsonObject, after: Any, version: str) -> JsonObject:
    """Return a converted object with the metadata it had.

    Raises:
        StatusError: 500, it is not what was asked for.
    """
    where = f"{head} returned invalid converted object at index {index}"
    if not isinstance(after, dict) or not after.get("kind"):
        raise conversion_failed(f"{where}: Object 'Kind' is missing")
    got = after.get("apiVersion") or ""
    if got != version:
        shown = ", ".join((f"expected {version}", f"received {got}"))
        raise conversion_failed(f"{where}: invalid groupVersion ({shown})")
    if after["kind"] != before["kind"]:
        shown = f"expected {before['kind']}, received {after['kind']}"
        raise conversion_failed(f"{where}: invalid kind ({shown})")
    metadata = after.get("metadata")
    bad = f"{head} returned invalid metadata in object at index {index}"
    if "metadata" not in after:
        raise conversion_failed(f"{bad}: missing metadata in converted object")
    if not isinstance(metadata, dict):
        raise conversion_failed(f"{bad}: invalid metadata of type {_go(metadata)}")
    own = before["metadata"]
    for key, name in (("name", "name"), ("namespace", "namespace"), ("uid", "UID")):
        old, new = own.get(key) or "", metadata.get(key) or ""
        if old != new:
            raise conversion_failed(f"{where}: must have the same {name}: {old} != {new}")
    try:
        return {**after, "metadata": _restored(own, metadata)}
    except BadMetadata as error:
        raise conversion_failed(f"{bad}: {error}") from error


def _restored(own: JsonObject, given: JsonObject) -> JsonObject:
    """Return an object's metadata with the labels and annotations of the converted one.

    Raises:
        BadMetadata: those are none.
    """
    restored: JsonObject = orjson.loads(orjson.dumps(own))
    for key in _FREE:
        found = given.get(key)
        if found is None:
            restored.pop(key, None)
            continue
        if not isinstance(found, dict):
            raise BadMetadata(f"invalid metadata.{key} of type {_go(found)} in converted object")
        for name, value in found.items():
            if not isinstance(value, str):
                raise BadMetadata(
                    f"metadata.{key}[{name}] must be a string, but is {_go(value)} in converted "
                    "object"
                )
        if found != own.get(key):
            faults: list[FieldError]
            if key == "labels":
                faults = validate_labels(found, "metadata.labels")
            else:
                faults = validate_annotations(found, "metadata.annotation")
            if faults:
                raise BadMetadata(_together([str(fault) for fault in faults]))
        restored[key] = found
    return restored


def _together(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def _go(value: object) -> str:
    """Return what Go calls the type of a JSON value."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "bool"
        case int():
            return "int64"
        case float():
            return "float64"
        case str():
            return "string"
        case list():
            return "[]interface {}"
        case _:
            return "map[string]interface {}"
