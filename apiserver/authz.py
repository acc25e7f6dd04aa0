"""What a user may do: whoever decides is asked in turn, and the first to allow or deny it does.

system:masters may do everything, whatever else is in force, as upstream's privileged group. What
none allows is refused, with all their reasons. One may be far away, a webhook: where it has not
said yet what it thinks, that has to be waited for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, Protocol, runtime_checkable

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
    """Whether something may be done, and why.

    Attributes:
        denied: it is not, whatever those would say who come next.
    """

    allowed: bool
    reason: str = ""
    denied: bool = False


ALLOWED: Final = Decision(allowed=True)
NO_OPINION: Final = Decision(allowed=False)


class Judge(Protocol):
    """One of those who are asked."""

    def decide(self, user: User, asked: Attributes) -> Decision | None:
        """Decide; it has to cost next to nothing, as it is asked for each request.

        None: that has to be asked for, as the judge is far away; see RemoteJudge.
        """
        ...


@runtime_checkable
class RemoteJudge(Judge, Protocol):
    """One who is far away; what it said before it may tell at once."""

    async def ask(self, user: User, asked: Attributes) -> Decision:
        """Return what it says; it never fails."""
        ...


Ask = Callable[[User, Attributes], Awaitable[Decision]]


class Authorizer:
    """Asks all judges in turn, until one allows or denies."""

    def __init__(self, judges: Sequence[Judge] = ()) -> None:
        self._judges: tuple[tuple[Callable[..., Decision | None], Ask | None], ...] = ()
        self.use(judges)

    def use(self, judges: Sequence[Judge]) -> None:
        """Ask these from now on."""
        self._judges = tuple(
            (judge.decide, judge.ask if isinstance(judge, RemoteJudge) else None)
            for judge in judges
        )

    @property
    def is_remote(self) -> bool:
        """Whether one of them is far away."""
        return any(ask is not None for _, ask in self._judges)

    def known(self, user: User, asked: Attributes) -> Decision | None:
        """Tell whether `user` may do this, and why (not); None: somebody has to be asked."""
        if MASTERS in user.groups:
            return ALLOWED
        reasons = []
        for decide, _ in self._judges:
            decision = decide(user, asked)
            if decision is None:
                return None
            if decision.allowed:
                return decision
            if decision.reason:
                reasons.append(decision.reason)
            if decision.denied:
                return Decision(allowed=False, reason="\n".join(reasons), denied=True)
        return Decision(allowed=False, reason="\n".join(reasons)) if reasons else NO_OPINION

    def decide(self, user: User, asked: Attributes) -> Decision:
        """Tell the same; what is not known here is not allowed."""
        return self.known(user, asked) or NO_OPINION

    async def decide_at_last(self, user: User, asked: Attributes) -> Decision:
        """Tell the same, whoever has to be asked for it."""
        if MASTERS in user.groups:
            return ALLOWED
        reasons = []
        for decide, ask in self._judges:
            decision = decide(user, asked)
            if decision is None:
                assert ask is not None, "who is here knows"
                decision = await ask(user, asked)
            if decision.allowed:
                return decision
            if decision.reason:
                reasons.append(decision.reason)
            if decision.denied:
                return Decision(allowed=False, reason="\n".join(reasons), denied=True)
        return Decision(allowed=False, reason="\n".join(reasons))

    def allows(self, user: User, asked: Attributes) -> bool:
        """Tell whether `user` may do this, as far as is known here."""
        return self.decide(user, asked).allowed

    def check(self, user: User, asked: Attributes) -> bool:
        """Refuse what `user` may not do; False: somebody has to be asked, see `ask`.

        Raises:
            StatusError: 403.
        """
        decision = self.known(user, asked)
        if decision is None:
            return False
        if decision.allowed:
            return True
        raise refuse(user, asked, decision.reason)

    async def ask(self, user: User, asked: Attributes) -> None:
        """Refuse what `user` may not do, whoever has to be asked for it.

        Raises:
            StatusError: 403.
        """
        decision = await self.decide_at_last(user, asked)
        if not decision.allowed:
            raise refuse(user, asked, decision.reason)


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
