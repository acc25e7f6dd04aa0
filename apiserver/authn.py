"""Who asks: client certificates, bearer tokens, or nobody.

Every request carries a `User`; what it may do is asked of `apiserver.authz`. A certificate is
looked at once a connection. Tokens are shown to those who know some kind of them, in turn; each
remembers what it has checked, so that the same token costs next to nothing again.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from apiserver.errors import from_storage_error
from apiserver.exchange import Exchange
from apiserver.protocol_tokens import take_token
from kube import status as st
from storage.errors import StorageError

ANONYMOUS_NAME: Final = "system:anonymous"
AUTHENTICATED: Final = "system:authenticated"
UNAUTHENTICATED: Final = "system:unauthenticated"
MASTERS: Final = "system:masters"
CREDENTIAL_ID: Final = "authentication.kubernetes.io/credential-id"
_UID_ATTRIBUTE: Final = "1.3.6.1.4.1.57683.2"
"""Of a certificate's subject, as upstream takes a user's uid from it."""
_WAITS_MAX: Final = 64
"""For keys, and for each thing that Impersonate headers name."""
_log: Final = logging.getLogger(__name__)


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


ANONYMOUS: Final = User(ANONYMOUS_NAME, (UNAUTHENTICATED,))
Impersonate = Callable[[User, Exchange], User]
"""Returns whom a request's Impersonate headers name, if its user may act as that one."""


class Found(NamedTuple):
    """Whom a token names, and for which of the audiences asked for it is good."""

    user: User
    audiences: tuple[str, ...]


class TokenRefused(Exception):
    """A token is of a kind that somebody knows, and is not good; the text says why."""


class NotYet(Exception):
    """Who asks cannot be told now, but after a wait: keys are on their way, or somebody is asked.

    Attributes:
        ready: to be awaited before that is tried again.
    """

    def __init__(self, ready: Awaitable[object]) -> None:
        super().__init__("what is needed to tell is on its way")
        self.ready = ready


class TokenJudge(Protocol):
    """Knows one kind of bearer tokens."""

    def check(self, token: str, audiences: Sequence[str]) -> Found | None:
        """Return whom a token names; None: it is no token of this kind.

        Args:
            token: as presented.
            audiences: it must be for one of them.

        Raises:
            TokenRefused: it is of this kind, and not good. NotYet: that takes a wait to tell.
        """
        ...


class TokenFileError(ValueError):
    """The token file is malformed; the server must not start without the users it names."""


def read_token_file(path: Path) -> dict[str, User]:
    """Return the users of a token file by token: upstream's CSV, token,user,uid,"group1,group2".

    Raises:
        TokenFileError: a line has too few columns.
        OSError: it cannot be read.
    """
    users: dict[str, User] = {}
    with path.open(newline="", encoding="utf-8") as lines:
        for number, row in enumerate(csv.reader(lines, skipinitialspace=True), start=1):
            if not row:
                continue
            if len(row) < 3:
                text = "must have at least 3 columns (token, user name, user uid)"
                raise TokenFileError(f"{path}, record {number}: {text}, found {len(row)}")
            if not row[0]:
                _log.warning("empty token in token file %s, record %d", path, number)
                continue
            if row[0] in users:
                _log.warning("duplicate token in token file %s, record %d", path, number)
            groups = tuple(name for name in row[3].split(",") if name) if len(row) > 3 else ()
            users[row[0]] = User(row[1], _with_authenticated(groups), row[2])
    return users


def _with_authenticated(groups: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*groups, AUTHENTICATED)))


def user_of_certificate(certificate: dict[str, Any], der: bytes = b"") -> User | None:
    """Return the user a verified client certificate names: CN is the name, O are the groups.

    None: it names nobody, or more than one uid.
    """
    name, groups, uids = "", [], []
    for relative_name in certificate.get("subject", ()):
        for key, value in relative_name:
            if key == "commonName":
                name = value
            elif key == "organizationName":
                groups.append(value)
            elif key == _UID_ATTRIBUTE:
                uids.append(value)
    if not name or len(uids) > 1 or uids == [""]:
        return None
    extra = {CREDENTIAL_ID: [f"X509SHA256={hashlib.sha256(der).hexdigest()}"]} if der else {}
    return User(name, _with_authenticated(groups), uids[0] if uids else "", extra)


class AnonymousRule(NamedTuple):
    """Whether those who present nothing are let on, and on which paths (None: on all)."""

    enabled: bool = True
    paths: frozenset[str] | None = None

    def lets(self, path: str) -> bool:
        """Tell whether a request without credentials may be decided about at all."""
        return self.enabled and (self.paths is None or path in self.paths)


class Authenticator:
    """Finds the user of a request."""

    def __init__(
        self,
        tokens: dict[str, User],
        judges: Sequence[TokenJudge],
        impersonate: Impersonate,
        *,
        api_audiences: tuple[str, ...] = (),
        anonymous: AnonymousRule = AnonymousRule(),  # noqa: B008 (it is immutable)
    ) -> None:
        self._by_header = {b"Bearer " + token.encode(): user for token, user in tokens.items()}
        self._judges = tuple(judges)
        self._impersonate = impersonate
        self._api_audiences = api_audiences
        self._anonymous = anonymous
        self._lets_anybody = anonymous.enabled and anonymous.paths is None

    def authenticate(self, exchange: Exchange) -> User:
        """Return who asks, or for whom; `ANONYMOUS` when nothing is presented.

        Raises:
            StatusError: 401, something is presented and it names nobody; 403, this user may not
                ask in the name of others.
            NotYet: that can be told after a wait only.
        """
        user = self._identify(exchange)
        if user is ANONYMOUS and not (self._lets_anybody or self._anonymous.lets(exchange.path)):
            raise st.unauthorized()
        return self._impersonate(user, exchange) if exchange.impersonation else user

    async def authenticate_later(self, exchange: Exchange, cause: NotYet) -> User:
        """Return who asks, when what is needed to tell has come; raises as `authenticate`.

        Raises:
            StatusError: 401, it has come and is not enough.
        """
        for _ in range(_WAITS_MAX):
            await cause.ready
            try:
                return self.authenticate(exchange)
            except NotYet as another:
                cause = another
        raise st.unauthorized()

    def _identify(self, exchange: Exchange) -> User:
        connection = exchange.connection
        if connection is not None:
            if connection.user is None:
                certificate = connection.peer_certificate
                found = None
                if certificate:
                    found = user_of_certificate(certificate, connection.peer_certificate_der)
                connection.user = found or ANONYMOUS
            known: User = connection.user
            if known is not ANONYMOUS:
                return known  # upstream looks at certificates first, too
        header = exchange.authorization
        if not header and connection is not None and connection.is_upgrade:
            token = take_token(exchange)
            header = b"Bearer " + token if token else b""
        return self._by_token(header) if header else ANONYMOUS

    async def check_token(self, token: str, audiences: Sequence[str] = ()) -> Found | str:
        """Return whom a bearer token names, or why it names nobody (for TokenReview).

        Args:
            token: to be looked at.
            audiences: for whom it should be; none: for this server.
        """
        wanted = tuple(audiences) or self._api_audiences
        user = self._by_header.get(b"Bearer " + token.encode())
        if user is not None:
            # Such a token is for this server, whoever else it is shown to.
            both = tuple(one for one in wanted if one in self._api_audiences)
            return Found(user, both) if both or not wanted else ""
        try:
            try:
                found = self._judge(token, wanted)
            except NotYet as cause:
                await cause.ready
                found = self._judge(token, wanted)
        except TokenRefused as refused:
            return f"[invalid bearer token, {refused}]"
        except NotYet:
            found = None
        return found or "[invalid bearer token, unknown token]"

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
        try:
            found = self._judge(token.decode("latin-1"), self._api_audiences)
        except TokenRefused as refused:
            _log.info("a bearer token is refused: %s", refused)
            found = None
        if found is None:
            raise st.unauthorized()
        return found.user

    def _judge(self, token: str, audiences: Sequence[str]) -> Found | None:
        refusals = []
        for judge in self._judges:
            try:
                found = judge.check(token, audiences)
            except TokenRefused as refused:
                refusals.append(str(refused))
                continue
            except (ValueError, RecursionError):
                # Whatever can be wrong with what a stranger has nested or encoded.
                refusals.append("malformed token")
                continue
            except StorageError as error:
                raise from_storage_error(error, ("", "tokens")) from error
            if found is not None:
                return found
        if refusals:
            raise TokenRefused(", ".join(refusals))
        return None
