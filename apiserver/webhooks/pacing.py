"""Where expressions are evaluated: at once, or in the thread for large objects.

Nearly all take microseconds. Those of one policy may cost two seconds and a half before they are
stopped, and nobody else shall wait for that: what was slow once, or looks at a large object, goes
aside (apiserver.aside). Expressions that ask the authorizer stay, as that belongs to the event
loop; each question costs so much that there are few.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final, ParamSpec, TypeVar

import orjson

from apiserver.aside import aside
from kube.json_types import JsonObject

SLOW_S: Final = 0.01
_ASKS: Final = b"authorizer"
Given = ParamSpec("Given")
Result = TypeVar("Result")


class Pace:
    """How the expressions of one policy or webhook are evaluated.

    Attributes:
        is_slow: whether they took long once.
    """

    __slots__ = ("_may_leave", "is_slow")

    def __init__(self, spec: JsonObject) -> None:
        self._may_leave = _ASKS not in orjson.dumps(spec)
        self.is_slow = False

    async def run(
        self,
        is_large: bool,  # noqa: FBT001 (what follows are the function's arguments)
        function: Callable[Given, Result],
        *args: Given.args,
        **options: Given.kwargs,
    ) -> Result:
        """Return what a function returns that touches only what nobody else does meanwhile.

        Raises:
            StatusError: 429, too many wait for the thread.
        """
        if self._may_leave and (is_large or self.is_slow):
            return await aside(function, *args, **options)
        began_s = monotonic()
        try:
            return function(*args, **options)
        finally:
            if monotonic() - began_s > SLOW_S:
                self.is_slow = True
