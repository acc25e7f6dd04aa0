"""Who asks: token files, certificates, and those who present nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from apiserver.authn import (
    ANONYMOUS,
    AUTHENTICATED,
    AnonymousRule,
    Authenticator,
    TokenFileError,
    User,
    read_token_file,
    user_of_certificate,
)
from apiserver.exchange import Exchange
from kube.status import StatusError


def _exchange(path: str, authorization: bytes = b"") -> Exchange:
    request = SimpleNamespace(
        connection=None, authorization=authorization, impersonation=(), path=path
    )
    return cast("Exchange", request)


def _authenticator(rule: AnonymousRule, tokens: dict[str, User] | None = None) -> Authenticator:
    return Authenticator(tokens or {}, [], lambda user, _: user, anonymous=rule)


def test_a_token_file_is_read_as_upstream_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "tokens.csv"
    path.write_text('a,jo,1\n"b",ann,2,"dev,ops"\n,nobody,3\nc,eve,4,one\n#d,hash,5\na,joe,6\n')
    users = read_token_file(path)
    assert users["a"] == User("joe", (AUTHENTICATED,), "6")
    assert users["b"].groups == ("dev", "ops", AUTHENTICATED)
    assert users["c"].groups == ("one", AUTHENTICATED)
    assert users["#d"].name == "hash"
    assert "" not in users


def test_a_token_file_with_too_few_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens.csv"
    path.write_text("a,jo\n")
    with pytest.raises(TokenFileError, match="at least 3 columns"):
        read_token_file(path)


@pytest.mark.parametrize(
    ("subject", "user"),
    [
        ([("commonName", "jo")], User("jo", (AUTHENTICATED,))),
        (
            [("organizationName", "a"), ("organizationName", "b"), ("commonName", "jo")],
            User("jo", ("a", "b", AUTHENTICATED)),
        ),
        (
            [("commonName", "jo"), ("1.3.6.1.4.1.57683.2", "u")],
            User("jo", (AUTHENTICATED,), "u"),
        ),
        ([("commonName", "jo"), *[("1.3.6.1.4.1.57683.2", "u")] * 2], None),
        ([("commonName", "jo"), ("1.3.6.1.4.1.57683.2", "")], None),
        ([("organizationName", "a")], None),
    ],
)
def test_a_certificates_subject_names_a_user(subject: Any, user: User | None) -> None:
    assert user_of_certificate({"subject": [[part] for part in subject]}) == user


@pytest.mark.parametrize(
    ("rule", "path", "is_let_in"),
    [
        (AnonymousRule(), "/api/v1/pods", True),
        (AnonymousRule(enabled=False), "/livez", False),
        (AnonymousRule(paths=frozenset({"/livez"})), "/livez", True),
        (AnonymousRule(paths=frozenset({"/livez"})), "/livez/ping", False),
        (AnonymousRule(paths=frozenset({"/livez"})), "/api/v1/pods", False),
    ],
)
def test_who_presents_nothing_is_let_in_where_that_is_said(
    rule: AnonymousRule,
    path: str,
    is_let_in: bool,  # noqa: FBT001
) -> None:
    authenticator = _authenticator(rule)
    if is_let_in:
        assert authenticator.authenticate(_exchange(path)) is ANONYMOUS
        return
    with pytest.raises(StatusError) as refused:
        authenticator.authenticate(_exchange(path))
    assert refused.value.code == 401


def test_a_token_is_taken_in_any_spelling_of_the_scheme_and_a_wrong_one_is_refused() -> None:
    jo = User("jo", (AUTHENTICATED,))
    authenticator = _authenticator(AnonymousRule(), {"secret": jo})
    for header in (b"Bearer secret", b"bearer secret", b"BEARER   secret "):
        assert authenticator.authenticate(_exchange("/x", header)) is jo
    assert authenticator.authenticate(_exchange("/x", b"Basic c2VjcmV0")) is ANONYMOUS
    with pytest.raises(StatusError):
        authenticator.authenticate(_exchange("/x", b"Bearer secre"))
