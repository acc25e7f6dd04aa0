"""What is told of an answer of another server that is no success and no Status.

Upstream's NewGenericServerResponse (apimachinery, pkg/api/errors): a reason and a sentence for each
status code, what the server said as a cause where it is nothing that an API server says.
"""

from __future__ import annotations

from typing import Final

from kube.field import quote
from kube.status import StatusError, qualified, resource_details

_TOLD: Final = {
    400: ("BadRequest", "the server rejected our request for an unknown reason"),
    401: ("Unauthorized", "the server has asked for the client to provide credentials"),
    403: ("Forbidden", ""),
    404: ("NotFound", "the server could not find the requested resource"),
    405: (
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
    ),
    406: ("NotAcceptable", ""),
    409: ("Conflict", "the server reported a conflict"),
    415: ("UnsupportedMediaType", ""),
    422: ("Invalid", "the server rejected our request due to an error in our request"),
    429: (
        "TooManyRequests",
        "the server has received too many requests and has asked us to try again later",
    ),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: (
        "Timeout",
        "the server was unable to return a response in the time allotted, but may still be "
        "processing the request",
    ),
}
"""Reason and message by code; no message: what the server said."""

_NO_TYPE_FOR_US: Final = (
    "the server was unable to respond with a content type that the client supports"
)


def _told(code: int, said: str) -> tuple[str, str]:
    """Return the reason and the message for a code."""
    if code == 406 and said in ("", "unknown"):
        return "NotAcceptable", _NO_TYPE_FOR_US
    if code in _TOLD:
        reason, message = _TOLD[code]
        return reason, message or said
    if code >= 500:
        blamed = f"an error on the server ({quote(said)}) has prevented the request from succeeding"
        return "InternalError", blamed
    return "", (
        f"the server responded with the status code {code} but did not return more information"
    )


def unexpected_answer(code: int, said: str) -> StatusError:
    """Return what client-go makes of a POST's answer that nobody expects.

    Args:
        code: of the answer.
        said: its body, if that is text.
    """
    reason, message = _told(code, said)
    cause = {"reason": "UnexpectedServerResponse", "message": said}
    reason = "AlreadyExists" if code == 409 else reason
    return StatusError(code, reason, message, details={"causes": [cause]})


def foreign_answer(code: int, group: str, resource: str, name: str, text: str) -> StatusError:
    """Return the refusal that a server behind this one has answered a GET with.

    Args:
        code: its status code.
        group, resource, name: what the client has asked for.
        text: what it said.
    """
    reason, message = _told(code, text)
    # Upstream's verb has no name here, but its place.
    message = f"{message} ( {qualified(group, resource)} {name})"
    return StatusError(code, reason, message, details=resource_details(group, resource, name))
