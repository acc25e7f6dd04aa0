"""The Status errors of the Kubernetes API: every refusal a client can see is built here.

Codes, reasons and wording follow k8s.io/apimachinery `api/errors`. A `StatusError` is raised
anywhere in the API server and turned into a response in one place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from kube.field import FieldError, quote

FAULTS_MAX: Final = 10_000
FAULTS_LENGTH_MAX: Final = 4 << 20
CONFLICT_ADVICE: Final = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


class StatusError(Exception):
    """A request that ends in a Status object other than success.

    Attributes:
        code: HTTP status code.
        status: the whole Status object, ready to be encoded.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.headers = tuple(headers)
        self.status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
        }
        if reason:
            self.status["reason"] = reason
        if details is not None:
            self.status["details"] = details
        self.status["code"] = code

    @property
    def reason(self) -> str:
        """The machine-readable reason, empty when there is none."""
        return str(self.status.get("reason", ""))

    @property
    def message(self) -> str:
        """The human-readable message."""
        return str(self.status["message"])


def qualified(group: str, resource: str) -> str:
    """Return `resource.group`, or the bare resource of the core group."""
    return f"{resource}.{group}" if group else resource


def resource_details(group: str, kind: str, name: str = "", **more: object) -> dict[str, Any]:
    """Return the details of a Status that tell what it is of."""
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    details.update(more)
    return details


def not_found(group: str, resource: str, name: str) -> StatusError:
    """404: there is no such object."""
    message = f"{qualified(group, resource)} {quote(name)} not found"
    return StatusError(404, "NotFound", message, details=resource_details(group, resource, name))


def already_exists(group: str, resource: str, name: str) -> StatusError:
    """409: an object of this name is there already."""
    message = f"{qualified(group, resource)} {quote(name)} already exists"
    details = resource_details(group, resource, name)
    return StatusError(409, "AlreadyExists", message, details=details)


def generate_name_conflict(group: str, resource: str, name: str) -> StatusError:
    """409: no free name was found for a generateName."""
    message = (
        f"{qualified(group, resource)} {quote(name)} already exists, "
        "the server was not able to generate a unique name for the object"
    )
    details = resource_details(group, resource, name, retryAfterSeconds=1)
    headers = [(b"retry-after", b"1")]
    return StatusError(409, "AlreadyExists", message, details=details, headers=headers)


def unauthorized(message: str = "Unauthorized") -> StatusError:
    """401: the credentials name nobody."""
    return StatusError(401, "Unauthorized", message)


def forbidden(group: str, resource: str, name: str, why: str) -> StatusError:
    """403: this user, or this state of the cluster, does not allow it."""
    if not resource:
        message = f"forbidden: {why}"
    elif not name:
        message = f"{qualified(group, resource)} is forbidden: {why}"
    else:
        message = f"{qualified(group, resource)} {quote(name)} is forbidden: {why}"
    return StatusError(403, "Forbidden", message, details=resource_details(group, resource, name))


def conflict(group: str, resource: str, name: str, why: str = CONFLICT_ADVICE) -> StatusError:
    """409: the object is not in the state that the request names."""
    where = f"{qualified(group, resource)} {quote(name)}"
    message = f"Operation cannot be fulfilled on {where}: {why}"
    return StatusError(409, "Conflict", message, details=resource_details(group, resource, name))


def apply_conflict(causes: Sequence[dict[str, str]], message: str) -> StatusError:
    """409: an apply would change what others manage; `causes` names each field."""
    return StatusError(409, "Conflict", message, details={"causes": list(causes)})


def expired(message: str, continue_token: str = "") -> StatusError:
    """410: the revision is compacted away; `continue_token` allows going on inconsistently."""
    error = StatusError(410, "Expired", message)
    if continue_token:
        error.status["metadata"] = {"continue": continue_token}
    return error


def invalid(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> StatusError:
    """422: the object breaks the rules of its type, one cause a field."""
    causes: list[dict[str, Any]] = []
    texts: dict[str, None] = {}
    length = 0
    for error in errors:
        text = error.body
        causes.append({"reason": error.kind, "message": text, "field": error.path})
        texts[f"{error.path}: {text}"] = None
        length += len(text)
        # Each fault may show a whole list: a body of a few megabytes can have gigabytes of them.
        if length > FAULTS_LENGTH_MAX or len(causes) == FAULTS_MAX:
            break
    message = f"{qualified(group, kind)} {quote(name)} is invalid"
    # Upstream's aggregate prints each distinct message once, bracketed when there are several.
    distinct = list(texts)
    if len(distinct) == 1:
        message = f"{message}: {distinct[0]}"
    elif distinct:
        message = f"{message}: [{', '.join(distinct)}]"
    details = resource_details(group, kind, name)
    if causes:
        details["causes"] = causes
    return StatusError(422, "Invalid", message, details=details)


def bad_request(message: str) -> StatusError:
    """400: the request itself is malformed."""
    return StatusError(400, "BadRequest", message)


def method_not_allowed(group: str, resource: str, action: str) -> StatusError:
    """405: the resource lacks this verb."""
    message = f"{action} is not supported on resources of kind {quote(qualified(group, resource))}"
    return StatusError(405, "MethodNotAllowed", message, details=resource_details(group, resource))


def wrong_method() -> StatusError:
    """405: there is no such method at this path; upstream's router says so, not the resource."""
    text = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", text, details={})


def nothing_there() -> StatusError:
    """404: upstream's router knows nothing at this path."""
    text = "the server could not find the requested resource"
    return StatusError(404, "NotFound", text, details={})


def not_acceptable(accepted: Sequence[str]) -> StatusError:
    """406: none of the media types the client accepts can be served."""
    message = f"only the following media types are accepted: {', '.join(accepted)}"
    return StatusError(406, "NotAcceptable", message)


def wrong_shape(asked: str, group: str, kind: str, *, is_list: bool) -> StatusError:
    """406: metadata of a list was asked for as that of one object, or the other way round.

    Args:
        asked: the kind asked for.
        group, kind: of what there is; upstream names its Go type.
        is_list: whether that is a list.
    """
    what = "is a list" if is_list else "is not a list"
    package = group.partition(".")[0] or "core"
    message = f"you requested {asked}, but the requested object {what} (*{package}.{kind})"
    return StatusError(406, "NotAcceptable", message)


def unsupported_media_type(accepted: Sequence[str]) -> StatusError:
    """415: the body's media type cannot be read here."""
    message = (
        "the body of the request was in an unknown format - accepted media types include: "
        f"{', '.join(accepted)}"
    )
    return StatusError(415, "UnsupportedMediaType", message)


def too_large(message: str) -> StatusError:
    """413: the body is over the limit."""
    full = f"Request entity too large: {message}"
    return StatusError(413, "RequestEntityTooLarge", full)


def too_many_requests(message: str, retry_after_s: int) -> StatusError:
    """429: come back after `retry_after_s`."""
    headers = [(b"retry-after", str(retry_after_s).encode())]
    details = {"retryAfterSeconds": retry_after_s}
    return StatusError(429, "TooManyRequests", message, details=details, headers=headers)


def timeout(
    message: str, retry_after_s: int = 0, causes: Sequence[dict[str, str]] = ()
) -> StatusError:
    """504: not done in time; it may still be done."""
    details: dict[str, Any] = {}
    if causes:
        details["causes"] = list(causes)
    headers = []
    if retry_after_s:
        details["retryAfterSeconds"] = retry_after_s
        headers.append((b"retry-after", str(retry_after_s).encode()))
    return StatusError(504, "Timeout", f"Timeout: {message}", details=details, headers=headers)


def service_unavailable(message: str, retry_after_s: int = 1) -> StatusError:
    """503: a part that this request needs is away; 0: nobody knows for how long."""
    headers = [(b"retry-after", str(retry_after_s).encode())] if retry_after_s else []
    return StatusError(503, "ServiceUnavailable", message, headers=headers)


def insufficient_storage(
    group: str, resource: str, message: str, cause: tuple[str, str]
) -> StatusError:
    """507: there is no room for what a write would add; deletes make some.

    Upstream has no such case: there, a full etcd is an InternalError (500). No Retry-After, as
    clients of Go send what has one again by themselves, ten times: nothing changes so soon.
    """
    reason, why = cause
    details = resource_details(group, resource, causes=[{"reason": reason, "message": why}])
    return StatusError(507, "InsufficientStorage", message, details=details)


def internal_error(message: str) -> StatusError:
    """500: a broken invariant of ours, never the client's fault."""
    full = f"Internal error occurred: {message}"
    return StatusError(500, "InternalError", full, details={"causes": [{"message": message}]})
