"""Storage's errors as the Status errors of the API; the only place that knows both."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from kube import status as st
from storage import errors
from storage.alarms import Alarm

_EXPIRED: Final = (
    "The provided continue parameter is too old to display a consistent list result. You can start "
    "a new list without the continue parameter, or use the continue token in this response to "
    "retrieve the remainder of the results. Continuing with the provided token results in an "
    "inconsistent list - objects that were created, modified, or deleted between the time the "
    "first chunk was returned and now may show up in the list."
)
SERVICE_UNAVAILABLE: Final = HTTPStatus.SERVICE_UNAVAILABLE.value
TOO_MANY_REQUESTS: Final = HTTPStatus.TOO_MANY_REQUESTS.value
TOO_MANY_REQUESTS_TEXT: Final = b"Too many requests, please try again later.\n"
"""What is said to those for whom there is no room: no Status, as it must cost nothing."""


def from_storage_error(
    error: errors.StorageError, group_resource: tuple[str, str] = ("", "")
) -> st.StatusError:
    """Return what the client is told of a failure of storage."""
    match error:
        case errors.Compacted():
            return too_old(error.revision, error.compact_revision)
        case errors.RevisionTimeout():
            return too_large_revision(error.revision, error.current)
        case errors.CommitTimeout():
            return st.timeout("the write was not confirmed in time; it may have taken effect", 1)
        case errors.TransactionTooLarge() | errors.TransactionInvalid():
            return st.too_large(str(error))
        case errors.TooManySnapshots():
            return st.too_many_requests("too many lists are being read, please try again later", 1)
        case errors.StorageFull() | errors.JournalUnavailable():
            group, resource = group_resource
            name = st.qualified(group, resource)
            return st.service_unavailable(f"storage of {name} is not available: {error}")
        case _:
            return st.service_unavailable(f"storage is not available: {error}")


def backend_failed(text: str) -> st.StatusError:
    """503: whom a request was to be passed on to has not answered.

    Upstream makes of it a 500 at places: this server is well, though, and so is the request.
    """
    return st.service_unavailable(text, retry_after_s=0)


def out_of_space(alarm: Alarm, resource: str) -> st.StatusError:
    """507: a limit of storage refuses a write that adds to it."""
    group, _, plural = resource.rpartition("/")
    message = (
        f"storage is {alarm.level.text} ({alarm.name}): {alarm.text}; "
        f"{st.qualified(group, plural)} can be deleted, but not added or let grow"
    )
    return st.insufficient_storage(group, plural, message, (alarm.name, alarm.text))


def conversion_failed(message: str) -> st.StatusError:
    """500 without a reason: a custom resource cannot be had in another version, as upstream."""
    return st.StatusError(HTTPStatus.INTERNAL_SERVER_ERROR.value, "", message)


def too_old(revision: int, compact_revision: int) -> st.StatusError:
    """410: what is asked for has been compacted."""
    return st.expired(f"too old resource version: {revision} ({compact_revision})")


def expired_list() -> st.StatusError:
    """410: the exact revision of a list has been compacted."""
    return st.expired("The resourceVersion for the provided list is too old.")


def expired_continue(token: str) -> st.StatusError:
    """410 for a continue token, with another to go on inconsistently."""
    return st.expired(_EXPIRED, token)


def too_large_revision(revision: int, current: int) -> st.StatusError:
    """504: the revision lies in the future of this server."""
    message = f"Too large resource version: {revision}, current: {current}"
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    return st.timeout(message, 1, causes)
