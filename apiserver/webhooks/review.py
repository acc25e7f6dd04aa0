"""AdmissionReviews: what a webhook is asked, and what counts as an answer.

Answers are checked member by member before anything of them is used: they come from programs of
all kinds. The texts are upstream's where clients and operators see them.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from typing import Any, Final, NamedTuple

import orjson

from apiserver.webhooks.matching import ShownAs, View
from kube.field import quote
from kube.json_types import JsonObject
from kube.schema.decode import DecodeError, builtin_decoder

GROUP: Final = "admission.k8s.io"
KIND: Final = "AdmissionReview"
VERSIONS: Final = ("v1", "v1beta1")
JSON_PATCH: Final = "JSONPatch"
_STATUSES: Final = builtin_decoder("io.k8s.apimachinery.pkg.apis.meta.v1.Status")
WARNINGS_MAX: Final = 1000
"""The headers that carry them have limits of their own."""


class BadReview(Exception):
    """A webhook cannot be asked, or its answer is none; the text says what of it is wrong."""


class Question(NamedTuple):
    """A review to be sent."""

    uid: str
    version: str
    body: bytes


class Response(NamedTuple):
    """A checked answer.

    Attributes:
        status: what goes with a denial, as a Status object.
        patch: decoded, of the mutating phase only; b"" for none.
    """

    is_allowed: bool
    status: JsonObject
    patch: bytes
    patch_type: str
    warnings: tuple[str, ...]
    annotations: dict[str, str]


def ask_of(view: View, shown_as: ShownAs, versions: tuple[str, ...]) -> Question:
    """Return the review for a webhook that takes `versions`, in its order.

    Raises:
        BadReview: it takes none that is known here.
    """
    version = next((version for version in versions if version in VERSIONS), None)
    if version is None:
        known = ", ".join(VERSIONS)
        raise BadReview(f"webhook does not accept known AdmissionReview versions ({known})")
    uid = str(uuid.uuid4())
    request = {
        "uid": uid,
        **view.request(shown_as),
        "object": view.object_as(shown_as),
        "oldObject": view.old_as(shown_as),
    }
    review = {"kind": KIND, "apiVersion": f"{GROUP}/{version}", "request": request}
    return Question(uid, version, orjson.dumps(review))


def read_answer(answer: JsonObject, question: Question, *, mutates: bool) -> Response:
    """Return the response within an answer.

    Raises:
        BadReview: it does not answer the question.
    """
    response = answer.get("response")
    if response is None:
        raise BadReview("webhook response was absent")
    response = _Members(_typed(response, dict, "AdmissionReview.response"))
    patch = _decoded(response.text("patch"))
    patch_type: str | None = response.text("patchType") if response.has("patchType") else None
    if question.version == "v1":
        _check_v1(answer, response, question)
        patch_type = _check_patch(patch, patch_type, mutates=mutates)
    elif not mutates:
        patch, patch_type = b"", ""
    elif patch:
        patch_type = JSON_PATCH
    return Response(
        is_allowed=response.flag("allowed"),
        status=_status(response),
        patch=patch,
        patch_type=patch_type or "",
        warnings=response.texts("warnings"),
        annotations=response.pairs("auditAnnotations"),
    )


def denial(name: str, status: JsonObject) -> JsonObject:
    """Return the Status that a client gets of a webhook's denial."""
    code = status.get("code")
    given = status.get("message") or status.get("reason")
    head = f"admission webhook {quote(name)} denied the request"
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        **status,
        "status": "Failure" if status.get("status") in (None, "", "Success") else status["status"],
        "message": f"{head}: {given}" if given else f"{head} without explanation",
        "code": code if isinstance(code, int) and 400 <= code <= 599 else 400,
    }


class _Members:
    """Members of a response, each of the type it has to be."""

    def __init__(self, obj: JsonObject) -> None:
        self._obj = obj

    def has(self, name: str) -> bool:
        return self._obj.get(name) is not None

    def text(self, name: str) -> str:
        value: str = _typed(self._obj.get(name, ""), str, _place(name))
        return value

    def flag(self, name: str) -> bool:
        value: bool = _typed(self._obj.get(name, False), bool, _place(name))
        return value

    def object(self, name: str) -> JsonObject:
        value: JsonObject = _typed(self._obj.get(name, {}), dict, _place(name))
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        items = _typed(self._obj.get(name, []), list, _place(name))
        return tuple(_typed(item, str, _place(name)) for item in items[:WARNINGS_MAX])

    def pairs(self, name: str) -> dict[str, str]:
        return {key: _typed(value, str, _place(name)) for key, value in self.object(name).items()}


_GO_TYPES: Final = {str: "string", bool: "bool", dict: "object", list: "array", int: "number"}


def _place(name: str) -> str:
    return f"AdmissionResponse.response.{name}"


def _typed(value: Any, wanted: type, place: str) -> Any:
    if value is None:
        return wanted()
    if value.__class__ is wanted:
        return value
    found = _GO_TYPES.get(value.__class__, "number")
    raise BadReview(
        f"json: cannot unmarshal {found} into Go struct field {place} of type {_GO_TYPES[wanted]}"
    )


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadReview(f"illegal base64 data in response.patch: {error}") from error


def _status(response: _Members) -> JsonObject:
    status = response.object("status")
    try:
        _STATUSES.decode(status)
    except DecodeError as error:
        raise BadReview(str(error)) from error
    return status


def _check_v1(answer: JsonObject, response: _Members, question: Question) -> None:
    uid = response.text("uid")
    if uid != question.uid:
        raise BadReview(f"expected response.uid={quote(question.uid)}, got {quote(uid)}")
    wanted = f"{GROUP}/{question.version}"
    api_version, kind = answer.get("apiVersion") or "", answer.get("kind") or ""
    if api_version != wanted or kind != KIND:
        shown = api_version if "/" in str(api_version) else f"/{api_version}"
        raise BadReview(
            f"expected webhook response of {wanted}, Kind={KIND}, got {shown}, Kind={kind}"
        )


def _check_patch(patch: bytes, patch_type: str | None, *, mutates: bool) -> str | None:
    if not mutates:
        if patch:
            raise BadReview("validating webhook may not return response.patch")
        if patch_type is not None:
            raise BadReview("validating webhook may not return response.patchType")
        return None
    if patch and patch_type is None:
        raise BadReview("webhook returned response.patch but not response.patchType")
    if not patch and patch_type is not None:
        raise BadReview("webhook returned response.patchType but not response.patch")
    if patch_type == "":
        raise BadReview('webhook returned invalid response.patchType of ""')
    return patch_type
