"""By which rights one may act as somebody else, and what has to be allowed for each.

The constrained modes are for nodes (that of the asking service account's own pod, or any), for
service accounts, and for all others; the last mode, without a name, is that of old.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from apiserver.authn import MASTERS, User
from apiserver.authz import Attributes
from apiserver.types.formats import is_dns1123_subdomain
from apiserver.types.meta import domain_prefixed_path_errors
from kube.field import quote

ASSOCIATED_NODE: Final = "associated-node"
SERVICE_ACCOUNT: Final = re.compile(r"system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})")
_GROUP: Final = "authentication.k8s.io"
_NODE_PREFIX: Final = "system:node:"
_NODE_NAME: Final = "authentication.kubernetes.io/node-name"
_MANY: Final = 4
"""So many groups, or values, are first asked for all at once where a mode is constrained."""


@dataclass(slots=True)
class Named:
    """Who is named; empty where a header is missing."""

    user: str = ""
    uid: str = ""
    groups: list[str] = field(default_factory=list)
    extra: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_name_only(self) -> bool:
        """Whether nothing but a user's name is given."""
        return not (self.uid or self.groups or self.extra)


def account_of(user: str) -> tuple[str, str] | None:
    """Return namespace and name of the service account that a user is, None if it is none."""
    found = SERVICE_ACCOUNT.fullmatch(user)
    return (found[1], found[2]) if found else None


def node_of(user: str) -> str:
    """Return the name of the node that a user is, "" if it is none."""
    name = user.removeprefix(_NODE_PREFIX)
    return "" if name == user or is_dns1123_subdomain(name) else name


def _is_own_node(named: Named, asker: User) -> bool:
    node = node_of(named.user) if named.is_name_only else ""
    is_account = account_of(asker.name) is not None
    return bool(node) and is_account and asker.extra.get(_NODE_NAME) == [node]


def _is_node(named: Named, _asker: User) -> bool:
    return named.is_name_only and bool(node_of(named.user))


def _is_account(named: Named, _asker: User) -> bool:
    return named.is_name_only and account_of(named.user) is not None


def _is_other(named: Named, _asker: User) -> bool:
    return not node_of(named.user) and account_of(named.user) is None


def _is_anybody(_named: Named, _asker: User) -> bool:
    return True


class Mode(NamedTuple):
    """One way to be allowed to act as somebody else.

    Attributes:
        name: what verbs call it; "" is the mode of old.
        applies: tells whether one who is named may be acted as in this way at all.
    """

    name: str
    applies: Callable[[Named, User], bool]

    @property
    def verb(self) -> str:
        """The verb that allows to act as somebody."""
        return f"impersonate:{self.name}" if self.name else "impersonate"

    def on(self, asked: Attributes) -> Attributes:
        """Return what allows to do what a request is for in somebody else's name."""
        return asked._replace(verb=f"impersonate-on:{self.name}:{asked.verb}")

    def about(self, group: str, resource: str, name: str, part: str = "") -> Attributes:
        """Return what allows to act as something that is named."""
        return Attributes(self.verb, group, "v1", resource, part, "", name)

    def about_user(self, user: str) -> Attributes:
        """Return what allows to act as a user."""
        group = _GROUP if self.name else ""
        if account := account_of(user):
            namespace, name = account
            return self.about(group, "serviceaccounts", name)._replace(namespace=namespace)
        if self.name and (node := node_of(user)):
            # What is said of a pod's own node has to be good for whichever that is.
            return self.about(group, "nodes", "*" if self.name == ASSOCIATED_NODE else node)
        return self.about(group, "users", user)


MODES: Final = (
    Mode(ASSOCIATED_NODE, _is_own_node),
    Mode("arbitrary-node", _is_node),
    Mode("serviceaccount", _is_account),
    Mode("user-info", _is_other),
    Mode("", _is_anybody),
)
"""In the order in which they are tried."""


def asked_of(named: Named, mode: Mode) -> Iterator[tuple[list[Attributes], Attributes]]:
    """Yield what has to be allowed besides the name, kind by kind: each by itself, or all at once.

    What would allow all has no name where that need not be asked.
    """
    if named.uid:
        yield [mode.about(_GROUP, "uids", named.uid)], mode.about(_GROUP, "uids", "")
    if named.groups:
        group = _GROUP if mode.name else ""
        every = "*" if mode.name and len(named.groups) >= _MANY else ""
        each = [mode.about(group, "groups", name) for name in named.groups]
        yield each, mode.about(group, "groups", every)
    if named.extra:
        each = [
            mode.about(_GROUP, "userextras", value, key)
            for key, values in named.extra.items()
            for value in values
        ]
        every = "*" if mode.name and len(each) >= _MANY else ""
        yield each, mode.about(_GROUP, "userextras", every, every)


class Fault(NamedTuple):
    """Why what is named may not be acted as by a constrained mode, whatever is allowed.

    Attributes:
        about: the resource that is refused.
        name: of what is refused there, "" for none.
    """

    about: str
    name: str
    why: str


def fault_of(named: Named, mode: Mode) -> Fault | None:
    """Return the first fault of what is named; the mode of old finds none."""
    if not mode.name:
        return None
    if "" in named.groups:
        return Fault("groups", "", "impersonating the empty string group is not allowed")
    if MASTERS in named.groups:
        return Fault("groups", MASTERS, f"impersonating the {MASTERS} group is not allowed")
    for key, values in named.extra.items():
        if why := _fault_of_extra(key, values):
            return Fault("userextras", "", f"impersonating {why}")
    return None


def _fault_of_extra(key: str, values: list[str]) -> str:
    if not key:
        return "the empty string key in extra is not allowed"
    if faults := domain_prefixed_path_errors(key, "extra.key"):
        shown = ", ".join(map(str, faults))
        shown = f"[{shown}]" if len(faults) > 1 else shown
        return f"an invalid key in extra is not allowed: {shown}"
    if key != key.lower():
        return f"a non-lowercase key in extra is not allowed: {quote(key)}"
    return "the empty string value in extra is not allowed" if "" in values else ""
