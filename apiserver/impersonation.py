"""Impersonate headers: a request is made as somebody else, by one who may act as that somebody.

Each thing that the headers name is asked for by itself, with the verb `impersonate`: the user (or
service account), each group, the uid, and each value of each extra.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from apiserver.authn import ANONYMOUS_NAME, AUTHENTICATED, UNAUTHENTICATED, NotYet, User
from apiserver.authz import Attributes, Authorizer
from apiserver.exchange import Exchange
from kube import status as st

_GROUP: Final = "authentication.k8s.io"
SERVICE_ACCOUNT: Final = re.compile(r"system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})")


@dataclass(slots=True)
class _Named:
    """Who is named; empty where a header is missing."""

    user: str = ""
    uid: str = ""
    groups: list[str] = field(default_factory=list)
    extra: dict[str, list[str]] = field(default_factory=dict)


class Impersonator:
    """Finds whom a request is made as."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def impersonate(self, user: User, exchange: Exchange) -> User:
        """Return the user that Impersonate headers name.

        Raises:
            StatusError: 403, `user` may not; 400, the headers name nobody.
            NotYet: somebody has to be asked.
        """
        exchange.asker = user
        named = _read(exchange.impersonation)
        if not named.user:
            raise st.bad_request("requested impersonation of groups or extra without a user")
        for asked in _asked(named):
            if not self._authorizer.check(user, asked):
                raise NotYet(self._authorizer.ask(user, asked))
        return User(named.user, _groups_as(named.user, named.groups), named.uid, named.extra)


def _read(headers: Sequence[tuple[bytes, bytes]]) -> _Named:
    named = _Named()
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


def _asked(named: _Named) -> Iterator[Attributes]:
    account = SERVICE_ACCOUNT.fullmatch(named.user)
    if account is not None:
        yield _about("", "serviceaccounts", account[2], namespace=account[1])
    else:
        yield _about("", "users", named.user)
    for group in named.groups:
        yield _about("", "groups", group)
    for key, values in named.extra.items():
        for value in values:
            yield _about(_GROUP, "userextras", value, part=key)
    if named.uid:
        yield _about(_GROUP, "uids", named.uid)


def _about(
    group: str, resource: str, name: str, *, part: str = "", namespace: str = ""
) -> Attributes:
    return Attributes("impersonate", group, "v1", resource, part, namespace, name)


def _groups_as(name: str, named: Sequence[str]) -> tuple[str, ...]:
    groups = list(named)
    account = SERVICE_ACCOUNT.fullmatch(name)
    if account is not None and not groups:
        # A service account's groups follow from its name.
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{account[1]}"]
    if name == ANONYMOUS_NAME:
        groups.append(UNAUTHENTICATED)
    elif UNAUTHENTICATED not in groups:
        groups.append(AUTHENTICATED)
    return tuple(dict.fromkeys(groups))
