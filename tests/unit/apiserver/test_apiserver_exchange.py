"""Headers sent twice: the first one counts, as Go's Header.Get has it."""

from __future__ import annotations

from typing import Any

from apiserver.authn import AUTHENTICATED, MASTERS, User
from apiserver.authz import Attributes, Authorizer
from apiserver.exchange import Exchange
from apiserver.impersonation import Impersonator
from runtime.clock import SimulatedClock


def _exchange(*headers: tuple[bytes, bytes]) -> Exchange:
    async def unused(*_message: Any) -> Any:
        raise AssertionError("nothing is read or sent")

    scope = {"method": "GET", "path": "/", "query_string": b"", "headers": list(headers)}
    return Exchange(scope, unused, unused, 1024)


def test_the_first_of_two_credentials_and_content_types_counts() -> None:
    exchange = _exchange(
        (b"authorization", b"Bearer first"),
        (b"content-type", b"application/json"),
        (b"authorization", b"Bearer second"),
        (b"content-type", b"application/yaml"),
    )
    assert exchange.authorization == b"Bearer first"
    assert exchange.content_type == b"application/json"


def test_all_of_several_accepts_count() -> None:
    exchange = _exchange((b"accept", b"a/b"), (b"accept", b"c/d"))
    assert exchange.accept == b"a/b,c/d"


def test_the_first_of_two_impersonated_users_counts() -> None:
    named = [(b"user", b"jane"), (b"uid", b"1"), (b"user", b"joe"), (b"uid", b"2")]
    exchange = _exchange(*((b"impersonate-" + key, value) for key, value in named))
    exchange.asked = Attributes("get", "", "v1", "nodes")
    root = User("root", (MASTERS,))
    user = Impersonator(Authorizer(), SimulatedClock()).impersonate(root, exchange)
    assert user == User("jane", (AUTHENTICATED,), "1")
    assert exchange.asker is root
