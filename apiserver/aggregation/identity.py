"""Who asks, as an extension API server is told it: the headers of an authenticating front proxy."""

from __future__ import annotations

import re
from typing import Final

from apiserver.authn import MASTERS, User
from apiserver.proxying.wire import BackendFailed

AGGREGATOR: Final = User("system:kube-aggregator", (MASTERS,))
"""As whom this server asks for itself: always let in."""
_BAD_VALUE: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
_LEGAL_IN_NAME: Final = frozenset(
    b"!#$&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)


def identity_headers(user: User) -> list[tuple[bytes, bytes]]:
    """Return the headers that name a user.

    Raises:
        BackendFailed: no header can hold what is to be said; part of it would be a lie.
    """
    named = [("X-Remote-User", user.name)]
    if user.uid:
        named.append(("X-Remote-Uid", user.uid))
    named += [("X-Remote-Group", group) for group in user.groups]
    for key, values in user.extra.items():
        named += [(f"X-Remote-Extra-{escape_key(key)}", value) for value in values]
    for name, value in named:
        if _BAD_VALUE.search(value):
            raise BackendFailed(f'net/http: invalid header field value for "{name}"')
    return [(name.encode(), value.encode()) for name, value in named]


def escape_key(key: str) -> str:
    """Return the name of an extra as part of a header's name."""
    return "".join(chr(byte) if byte in _LEGAL_IN_NAME else f"%{byte:02X}" for byte in key.encode())
