"""Who asks: client certificates, bearer tokens, or nobody.

Every request carries a `User`; what it may do is asked of `apiserver.authz`.
A certificate is looked at once a connection, a token once each time it changes in the table.
"""

from __future__ import annotations

import csv
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from apiserver.exchange import Exchange
from kube import status as st

ANONYMOUS_NAME: Final = "system:anonymous"
AUTHENTICATED: Final = "system:authenticated"
UNAUTHENTICATED: Final = "system:unauthenticated"
MASTERS: Final = "system:masters"


@dataclass(frozen=True, slots=True)
class User:
    """Who a request comes from, as authentication found it.

    Attributes:
        extra: further facts by name, as SelfSubjectReview shows them.
    """

    name: str
    groups: tuple[str, ...]
    uid: str = ""
    extra: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody was authenticated."""
        return self.name == ANONYMOUS_NAME


ANONYMOUS: Final = User(ANONYMOUS_NAME, (UNAUTHENTICATED,))
TokenCheck = Callable[[str], User | None]
Impersonate = Callable[[User, Exchange], User]
"""Returns whom a request's Impersonate headers name, if its user may act as that one."""


class TokenFileError(ValueError):
    """The token file is malformed; the server must not start without the users it names."""


def read_token_file(path: Path) -> dict[str, User]:
    """Return the users of a token file by token: upstream's CSV, token,user,uid,"group1,group2".

    Raises:
        TokenFileError: a line has too few columns or an empty token.
        OSError: it cannot be read.
    """
    users: dict[str, User] = {}
    with path.open(newline="", encoding="utf-8") as lines:
        for number, row in enumerate(csv.reader(lines), start=1):
            if not row or row[0].startswith("#"):
                continue
            if len(row) < 3 or not row[0]:
                raise TokenFileError(f"{path}, line {number}: must be token,user,uid[,groups]")
            groups = tuple(name for name in row[3].split(",") if name) if len(row) > 3 else ()
            users[row[0]] = User(row[1], (*groups, AUTHENTICATED), row[2])
    return users


def user_of_certificate(certificate: dict[str, Any]) -> User | None:
    """Return the user a verified client certificate names: CN is the name, O are the groups."""
    name, groups = "", []
    for relative_name in certificate.get("subject", ()):
        for key, value in relative_name:
            if key == "commonName":
                name = value
            elif key == "organizationName":
                groups.append(value)
    return User(name, (*groups, AUTHENTICATED)) if name else None


class Authenticator:
    """Finds the user of a request."""

    def __init__(
        self, tokens: dict[str, User], check_service_account: TokenCheck, impersonate: Impersonate
    ) -> None:
        self._by_header = {b"Bearer " + token.encode(): user for token, user in tokens.items()}
        self._check_service_account = check_service_account
        self._impersonate = impersonate

    def authenticate(self, exchange: Exchange) -> User:
        """Return who asks, or for whom; `ANONYMOUS` when nothing is presented.

        Raises:
            StatusError: 401, something is presented and it names nobody; 403, this user may not
                ask in the name of others.
        """
        user = self._identify(exchange)
        return self._impersonate(user, exchange) if exchange.impersonation else user

    def _identify(self, exchange: Exchange) -> User:
        connection = exchange.connection
        if connection is not None:
            if connection.user is None:
                certificate = connection.peer_certificate
                found = user_of_certificate(certificate) if certificate else None
                connection.user = found or ANONYMOUS
            known: User = connection.user
            if known is not ANONYMOUS:
                return known  # upstream looks at certificates first, too
        header = exchange.authorization
        return self._by_token(header) if header else ANONYMOUS

    def check_token(self, token: str) -> User | None:
        """Return the user of a bearer token, None if it names nobody (for TokenReview)."""
        try:
            return self._by_token(b"Bearer " + token.encode())
        except st.StatusError:
            return None

    def _by_token(self, header: bytes) -> User:
        user = self._by_header.get(header)
        if user is not None:
            return user
        scheme, _, token = header.partition(b" ")
        token = token.strip()
        if scheme.lower() != b"bearer" or not token:
            return ANONYMOUS  # nothing here knows such credentials, so they name nobody
        for known, candidate in self._by_header.items():
            if hmac.compare_digest(known[7:], token):
                return candidate
        found = self._check_service_account(token.decode("latin-1"))
        if found is None:
            raise st.unauthorized()
        return found
