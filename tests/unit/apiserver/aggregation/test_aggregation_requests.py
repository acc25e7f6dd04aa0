"""What requests for extensions' types ask for, and as whom they are passed on."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from apiserver.aggregation.identity import escape_key, identity_headers
from apiserver.aggregation.request_info import attributes_of_path
from apiserver.aggregation.trust import _certificates, _merged
from apiserver.authn import User
from apiserver.exchange import Exchange
from apiserver.proxying.wire import BackendFailed
from tests.integration.fake_backends import self_signed

ROOT = "/apis/example.test/v1"


def _asked(method: str, path: str) -> tuple[str, ...]:
    path, _, query = path.partition("?")
    scope: dict[str, Any] = {
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [],
    }
    exchange = Exchange(scope, _nothing, _nothing, 100)
    found = attributes_of_path(exchange, path.strip("/").split("/"))
    return found.verb, found.resource, found.subresource, found.namespace, found.name


async def _nothing(*_: Any) -> Any:
    raise AssertionError("nothing is read or written here")


@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [
        ("GET", "/x", ("list", "x", "", "", "")),
        ("GET", "/x?watch=1", ("watch", "x", "", "", "")),
        ("GET", "/x?fieldSelector=metadata.name%3Da", ("list", "x", "", "", "a")),
        ("GET", "/watch/namespaces/n/x", ("watch", "x", "", "n", "")),
        ("HEAD", "/namespaces/n/x/a", ("get", "x", "", "n", "a")),
        ("POST", "/namespaces/n/x", ("create", "x", "", "n", "")),
        ("PUT", "/namespaces/n/x/a/status", ("update", "x", "status", "n", "a")),
        ("PATCH", "/x/a/b/c/d", ("patch", "x", "b", "", "a")),
        ("DELETE", "/namespaces/n/x", ("deletecollection", "x", "", "n", "")),
        ("DELETE", "/namespaces/n/x/a", ("delete", "x", "", "n", "a")),
        ("GET", "/namespaces", ("list", "namespaces", "", "", "")),
        ("GET", "/namespaces/n", ("get", "namespaces", "", "n", "n")),
        ("GET", "/namespaces/n/status", ("get", "namespaces", "status", "n", "n")),
        ("OPTIONS", "/x", ("options", "x", "", "", "")),
        ("GET", "", ("get", "", "", "", "")),
    ],
)
def test_a_path_says_what_is_asked_for(method: str, path: str, wanted: tuple[str, ...]) -> None:
    assert _asked(method, ROOT + path) == wanted


def test_every_fact_of_a_user_has_a_header() -> None:
    user = User("jo", ("a", "b"), "7", {"Example.org/Scope 1": ["x", "ü"], "50%": ["y"]})
    assert identity_headers(user) == [
        (b"X-Remote-User", b"jo"),
        (b"X-Remote-Uid", b"7"),
        (b"X-Remote-Group", b"a"),
        (b"X-Remote-Group", b"b"),
        (b"X-Remote-Extra-Example.org%2FScope%201", b"x"),
        (b"X-Remote-Extra-Example.org%2FScope%201", "ü".encode()),
        (b"X-Remote-Extra-50%25", b"y"),
    ]
    assert escape_key("é") == "%C3%A9"


@pytest.mark.parametrize("name", ["jo\r\nX-Remote-Group: system:masters", "jo\0", "jo\x7f"])
def test_a_name_that_would_begin_another_header_is_refused(name: str) -> None:
    with pytest.raises(BackendFailed, match="invalid header field value"):
        identity_headers(User(name, ()))


def test_trust_of_several_servers_adds_up_and_no_name_means_any() -> None:
    names = "requestheader-allowed-names"
    assert _merged({names: '["a"]'}, {names: '["b","a"]'}, 0)[names] == '["a","b"]'
    assert _merged({names: "[]"}, {names: '["b"]'}, 0)[names] == "[]"
    assert _merged({names: '["a"]'}, {names: "[]"}, 0)[names] == "[]"
    assert _merged({"other": "x"}, {}, 0) == {"other": "x"}


def test_a_ca_is_believed_once_and_until_its_time_is_over(tmp_path: Any) -> None:
    one = self_signed(tmp_path, ())[0].read_text()
    other = self_signed(tmp_path, ())[0].read_text()
    now_s = datetime.datetime.now(datetime.UTC).timestamp()
    assert _certificates(one, one, now_s) == one
    assert _certificates(one, other, now_s) == one + other
    assert _certificates("no PEM", other, now_s) == other
    assert _certificates(one, "", now_s + 2 * 86_400) == ""
