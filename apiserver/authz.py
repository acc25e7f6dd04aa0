"""What a user may do: whoever decides is asked in turn, and the first to allow it does.

system:masters may do everything, whatever else is in force, as upstream's privileged group. Nobody
is refused for good by one of those asked: what none allows is refused, with all their reasons. One
may be far away, a webhook: it is asked last, and only where that can be waited for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from apiserver.authn import MASTERS, User
from kube import status as st
from kube.field import quote


class Attributes(NamedTuple):
    """What is to be done: on a resource, or on a path where `resource` is empty.

    Attributes:
        selectors: of a list, watch or deletecollection: field and label selector, as given.
    """

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    selectors: tuple[str, str] = ("", "")


class Decision(NamedTuple):
    """Whether something may be done, and why."""

    allowed: bool
    reason: str = ""


ALLOWED: Final = Decision(allowed=True)
NO_OPINION: Final = Decision(allowed=False)


class Judge(Protocol):
    """One of those who are asked."""

    def decide(self, user: User, asked: Attributes) -> Decision:
        """Decide; it has to cost next to nothing, as it is asked for each request."""
        ...


class LastJudge(Protocol):
    """One who is far away, and asked only when no other allows."""

    def known(self, user: User, asked: Attributes) -> Decision | None:
        """Return what it said before, None if that has to be asked."""
        ...

    async def ask(self, user: User, asked: Attributes) -> Decision:
        """Return what it says; it never fails."""
        ...


class Authorizer:
    """Asks all judges."""

    def __init__(self, judges: Sequence[Judge] = (), last: LastJudge | None = None) -> None:
        self._decides = tuple(judge.decide for judge in judges)
        self._last = last

    def decide(self, user: User, asked: Attributes) -> Decision:
        """Tell whether `user` may do this, and why (not), as far as is known here."""
        if MASTERS in user.groups:
            return ALLOWED
        reasons = []
        for decide in self._decides:
            decision = decide(user, asked)
            if decision.allowed:
                return decision
            if decision.reason:
                reasons.append(decision.reason)
        if self._last is not None:
            known = self._last.known(user, asked)
            if known is not None:
                return _joined(known, reasons)
        return Decision(allowed=False, reason="\n".join(reasons)) if reasons else NO_OPINION

    async def decide_at_last(self, user: User, asked: Attributes) -> Decision:
        """Tell the same, whoever has to be asked for it."""
        decision = self.decide(user, asked)
        if decision.allowed or self._last is None or self._last.known(user, asked) is not None:
            return decision
        return _joined(await self._last.ask(user, asked), [decision.reason])

    def allows(self, user: User, asked: Attributes) -> bool:
        """Tell whether `user` may do this, as far as is known here."""
        return self.decide(user, asked).allowed

    def check(self, user: User, asked: Attributes) -> bool:
        """Refuse what `user` may not do; False: somebody has to be asked, see `ask`.

        Raises:
            StatusError: 403.
        """
        decision = self.decide(user, asked)
        if decision.allowed:
            return True
        if self._last is not None and self._last.known(user, asked) is None:
            return False
        raise refuse(user, asked, decision.reason)

    async def ask(self, user: User, asked: Attributes) -> None:
        """Refuse what `user` may not do, whoever has to be asked for it.

        Raises:
            StatusError: 403.
        """
        decision = await self.decide_at_last(user, asked)
        if not decision.allowed:
            raise refuse(user, asked, decision.reason)


def _joined(decision: Decision, reasons: list[str]) -> Decision:
    """Return a refusal with all reasons, or what allows."""
    if decision.allowed:
        return decision
    told = "\n".join(reason for reason in (*reasons, decision.reason) if reason)
    return Decision(allowed=False, reason=told)


def refuse(user: User, attributes: Attributes, reason: str = "") -> st.StatusError:
    """Return upstream's 403 for a request not allowed."""
    why = _escaped(_what(user, attributes))
    if reason:
        why = f"{why}: {reason}"
    if not attributes.resource:
        return st.forbidden("", "", "", why)
    return st.forbidden(attributes.group, attributes.resource, attributes.name, why)


def _what(user: User, attributes: Attributes) -> str:
    name = quote(user.name)
    if not attributes.resource:
        return f"User {name} cannot {attributes.verb} path {quote(attributes.path)}"
    shown = attributes.resource
    if attributes.subresource:
        shown = f"{shown}/{attributes.subresource}"
    where = (
        f" in the namespace {quote(attributes.namespace)}"
        if attributes.namespace
        else " at the cluster scope"
    )
    return (
        f"User {name} cannot {attributes.verb} resource {quote(shown)} in API group "
        f"{quote(attributes.group)}{where}"
    )


def _escaped(text: str) -> str:
    """A name may hold what a browser would take for markup: upstream replaces it, too."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
