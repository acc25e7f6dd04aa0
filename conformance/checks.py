"""What a case says when the server does not do as upstream does.

Checks raise `CaseFailed` with what was expected and what was there; a case ends at the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from kube.status import StatusError

EVENTUALLY_S: Final = 30.0
_POLL_S: Final = 0.1
_SHOWN_MAX: Final = 1_500

T = TypeVar("T")


class CaseFailed(Exception):
    """The server did something else than the spec demands."""


class CaseSkipped(Exception):
    """The case cannot be judged here, as something on this machine is missing. Contrast
    CaseFailed: nothing is said about the server.
    """


def check(condition: object, what: str) -> None:
    """Demand that `condition` holds."""
    if not condition:
        raise CaseFailed(what)


def same(actual: object, expected: object, what: str) -> None:
    """Demand equality."""
    if actual != expected:
        raise CaseFailed(f"{what}: expected {shown(expected)}, got {shown(actual)}")


def has(container: Any, part: Any, what: str) -> None:
    """Demand that `part` is in `container`: a piece of a text, an element, or keys with values."""
    if isinstance(container, dict) and isinstance(part, dict):
        found = all(container.get(name) == value for name, value in part.items())
    else:
        found = container is not None and part in container
    if not found:
        raise CaseFailed(f"{what}: expected {shown(part)} in {shown(container)}")


def shown(value: object) -> str:
    """Return a value as text of a length that a person can read."""
    text = repr(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"


async def refused(reason: str, request: Awaitable[object], *, containing: str = "") -> StatusError:
    """Demand that a request is refused for `reason` ("" for any) with a message that has a part."""
    try:
        answer = await request
    except StatusError as error:
        if reason and error.reason != reason:
            raise CaseFailed(
                f"expected a refusal for {reason}, got {error.reason or error.code}: {error}"
            ) from error
        has(str(error), containing, "the refusal's message")
        return error
    raise CaseFailed(f"expected a refusal for {reason or 'some reason'}, got {shown(answer)}")


async def eventually(
    what: str, look: Callable[[], Awaitable[T]], *, within_s: float = EVENTUALLY_S
) -> T:
    """Look again and again until what is seen is true, and return it.

    What `look` raises by checks or as a refusal counts as "not yet".

    Raises:
        CaseFailed: it did not become so in time; the last reason is told.
    """
    last = "it was never seen"
    try:
        async with asyncio.timeout(within_s):
            while True:
                try:
                    seen = await look()
                    if seen:
                        return seen
                    last = f"last seen: {shown(seen)}"
                except (CaseFailed, StatusError) as error:
                    last = str(error)
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        raise CaseFailed(f"not within {within_s:g} s: {what} ({last})") from error
