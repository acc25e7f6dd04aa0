"""Why a strategic merge patch cannot be applied, and what a client is told."""

from __future__ import annotations

from typing import ClassVar

from kube import status as st


class MergeError(Exception):
    """The patch does not fit the object or its schema; the object is untouched.

    Upstream does not map these to a reason, so its clients see a 500 with this text; ours see the
    text in a 400, as the fault is in what they sent.
    """

    code: ClassVar[int] = 400

    def as_status(self) -> st.StatusError:
        """Return the answer to the client."""
        return st.bad_request(str(self))


class BadFormat(MergeError):
    """A directive is malformed: the client's patch, whatever the object."""


class ListOfLists(MergeError):
    """Lists of lists cannot merge; upstream answers 422 and keeps the reason to itself."""

    code: ClassVar[int] = 422

    def as_status(self) -> st.StatusError:
        """Return the answer to the client."""
        text = "the server rejected our request due to an error in our request"
        error = st.StatusError(422, "Invalid", text)
        error.status["details"] = {}
        return error
