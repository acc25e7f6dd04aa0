"""Impersonate headers: a request is made as somebody else, by one who may act as that somebody.

There are several ways to be allowed that (`Mode`). Those of constrained impersonation (KEP-5284)
ask whether its user may do what the request is for in somebody else's name, by the verb
`impersonate-on:MODE:VERB`, and whether he may act as that one, by `impersonate:MODE`; the one of
old asks for the latter only, by `impersonate`. They are tried in order, but the one that served a
user last comes first: most use one only. Each thing that the headers name is asked for by itself:
the user (or service account, or node), each group, the uid, each value of each extra. Where no mode
allows it, what the first one says is told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import unquote

from apiserver.authn import ANONYMOUS_NAME, AUTHENTICATED, UNAUTHENTICATED, NotYet, User
from apiserver.authz import Attributes, Authorizer, Decision, refuse
from apiserver.exchange import Exchange
from apiserver.impersonation_figures import ImpersonationFigures
from apiserver.impersonation_modes import (
    ASSOCIATED_NODE,
    MODES,
    Mode,
    Named,
    account_of,
    asked_of,
    fault_of,
    node_of,
)
from kube import status as st
from runtime.clock import Clock

LEGACY: Final = "legacy"
"""What the mode of old is called where modes are counted; in verbs it has no name."""
_LAST_MAX: Final = 10_000
_NODE_KEYS: Final = "authentication.kubernetes.io/associated-node-keys"


class Attempt:
    """To act as somebody else: what is asked for that, and what has been said until now.

    Attributes:
        mode: the one that allows it, None before one has.
    """

    def __init__(self, asker: User, named: Named, asked: Attributes, by: Impersonator) -> None:
        self.mode: Mode | None = None
        self.started_s = by.now_s()
        self._by = by
        self._asker = asker
        self._named = named
        self._asked = asked
        self._said: dict[tuple[bool, Attributes], tuple[Decision, float]] = {}

    @property
    def constraint(self) -> str:
        """The verb of the constrained mode that allows it; "": the mode of old does."""
        return self.mode.verb if self.mode and self.mode.name else ""

    def settle(self, first: Mode | None) -> User:
        """Return whom the request is made as.

        Args:
            first: the mode to be tried before the others.

        Raises:
            StatusError: 403, it may not.
            NotYet: somebody has to be asked.
        """
        refused: st.StatusError | None = None
        for mode in (first, *(one for one in MODES if one is not first)):
            if mode is None or not mode.applies(self._named, self._asker):
                continue
            refusal = self._try(mode)
            if refusal is None:
                self._said.clear()
                self.mode = mode
                return User(
                    self._named.user,
                    _groups_as(self._named, mode),
                    self._named.uid,
                    self._named.extra,
                )
            refused = refused or refusal
        assert refused is not None, "the mode of old applies to everybody"
        self._said.clear()
        raise refused

    def _try(self, mode: Mode) -> st.StatusError | None:
        if mode.name and (refusal := self._refusal(mode, mode.on(self._asked))):
            return refusal
        if refusal := self._refusal(mode, mode.about_user(self._named.user)):
            return refusal
        fault = fault_of(self._named, mode)
        for many, all_of_them in asked_of(self._named, mode):
            if fault is not None and fault.about == all_of_them.resource:
                about = all_of_them._replace(name=fault.name, subresource="")
                return refuse(self._asker, about, fault.why)
            if all_of_them.name and self._refusal(mode, all_of_them) is None:
                continue
            for one in many:
                if refusal := self._refusal(mode, one):
                    return refusal
        return None

    def _refusal(self, mode: Mode, asked: Attributes) -> st.StatusError | None:
        asker = self._asker
        is_node_agent = mode.name == ASSOCIATED_NODE
        if is_node_agent:
            # Upstream keeps what is said of a service account for all its nodes, so that it is
            # asked about without what tells them apart.
            asker = User(asker.name, asker.groups, asker.uid, {_NODE_KEYS: sorted(asker.extra)})
        by = self._by
        decision, took_s = self._said.get((is_node_agent, asked)) or (None, 0.0)
        if decision is None:
            asked_s = by.now_s()
            decision = by.authorizer.known(asker, asked)
            took_s = by.now_s() - asked_s
        if decision is None:
            raise NotYet(self._learn(is_node_agent, asker, asked))
        by.figures.asked(mode.name or LEGACY, took_s, is_allowed=decision.allowed)
        return None if decision.allowed else refuse(asker, asked, decision.reason)

    async def _learn(self, is_node_agent: bool, asker: User, asked: Attributes) -> None:  # noqa: FBT001
        asked_s = self._by.now_s()
        decision = await self._by.authorizer.decide_at_last(asker, asked)
        self._said[is_node_agent, asked] = decision, self._by.now_s() - asked_s


class Impersonator:
    """Finds whom a request is made as.

    Attributes:
        authorizer: who is asked.
        figures: what is counted.
        now_s: the time, monotonic.
    """

    def __init__(self, authorizer: Authorizer, clock: Clock) -> None:
        self.authorizer = authorizer
        self.figures = ImpersonationFigures()
        self.now_s = clock.monotonic_s
        # By the hash of a user's name, which has a size that is known: others' do no harm here.
        self._last: dict[int, Mode] = {}

    def impersonate(self, user: User, exchange: Exchange) -> User:
        """Return the user that Impersonate headers name, `user` if they name nothing.

        Raises:
            StatusError: 403, `user` may not; 400, the headers name nobody.
            NotYet: somebody has to be asked.
        """
        attempt = exchange.impersonating
        if attempt is None:
            named = _read(exchange.impersonation)
            if not (named.user or named.uid or named.groups or named.extra):
                return user
            exchange.asker = user
            if not named.user:
                text = f"requested {_in_go(named)} without impersonating a user name"
                raise st.bad_request(text)
            assert exchange.asked is not None, "what is asked for is known before who asks"
            attempt = Attempt(user, named, exchange.asked, self)
            exchange.impersonating = attempt
        who = hash(user.name)
        last = self._last.get(who)
        try:
            found: User = attempt.settle(last)
        except st.StatusError:
            self.figures.attempted("", self.now_s() - attempt.started_s)
            raise
        self.figures.attempted(attempt.mode.name or LEGACY, self.now_s() - attempt.started_s)
        if attempt.mode is not last:
            if len(self._last) >= _LAST_MAX:
                del self._last[next(iter(self._last))]
            self._last[who] = attempt.mode
        return found


def _read(headers: Sequence[tuple[bytes, bytes]]) -> Named:
    named = Named()
    for key, raw in headers:
        value = raw.decode("latin-1")
        if key == b"user":
            named.user = named.user or value
        elif key == b"uid":
            named.uid = named.uid or value
        elif key == b"group":
            named.groups.append(value)
        elif key.startswith(b"extra-"):
            named.extra.setdefault(unquote(key[6:].decode("latin-1")), []).append(value)
    return named


def _in_go(named: Named) -> str:
    """Return what Go prints of a user's struct."""
    extra = f"map[string][]string{_values(named.extra)}"
    return (
        f'&user.DefaultInfo{{Name:"", UID:{json.dumps(named.uid)}, '
        f"Groups:{_texts(named.groups)}, Extra:{extra}}}"
    )


def _values(extra: dict[str, list[str]]) -> str:
    if not extra:
        return "(nil)"
    parts = (f"{json.dumps(key)}:{_texts(extra[key])}" for key in sorted(extra))
    return "{" + ", ".join(parts) + "}"


def _texts(texts: list[str]) -> str:
    return "[]string{" + ", ".join(map(json.dumps, texts)) + "}" if texts else "[]string(nil)"


def _groups_as(named: Named, mode: Mode) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_all_groups(named, mode)))


def _all_groups(named: Named, mode: Mode) -> Iterator[str]:
    yield from named.groups
    if not named.groups:
        # The groups of service accounts follow from their names, and so do those of nodes.
        if account := account_of(named.user):
            yield "system:serviceaccounts"
            yield f"system:serviceaccounts:{account[0]}"
        elif mode.name and node_of(named.user):
            yield "system:nodes"
    if named.user == ANONYMOUS_NAME:
        yield UNAUTHENTICATED
    elif UNAUTHENTICATED not in named.groups:
        yield AUTHENTICATED
