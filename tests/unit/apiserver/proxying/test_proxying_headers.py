"""Headers of requests that are passed on, and of their answers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from apiserver.exchange import Exchange
from apiserver.proxying.forward import Onward, answer_headers, request_head
from apiserver.proxying.kubelets import DEFAULT_PORT, Kubelets, preferred_address
from apiserver.proxying.places import any_endpoint, is_allowed, read_name
from apiserver.proxying.rewriting import Rewriting
from apiserver.proxying.wire import Address, Head
from apiserver.settings import KubeletSettings
from kube.status import StatusError


async def _nothing(*_: Any) -> Any:
    raise AssertionError("nothing is read or written here")


def _exchange(*headers: tuple[bytes, bytes], method: str = "GET") -> Exchange:
    scope = {
        "method": method,
        "path": "/",
        "query_string": b"",
        "headers": list(headers),
        "client": ("192.0.2.9", 1),
    }
    return Exchange(scope, _nothing, _nothing, 100)


def _lines(exchange: Exchange, *, upgrade: bool = False, **more: Any) -> list[bytes]:
    onward = Onward(address=Address("10.0.0.1", 80), target=b"/x?y", **more)
    return request_head(exchange, onward, upgrade=upgrade).split(b"\r\n")[:-2]


def test_what_was_said_to_us_alone_is_not_passed_on() -> None:
    exchange = _exchange(
        (b"host", b"server"),
        (b"authorization", b"Bearer secret"),
        (b"x-remote-user", b"evil"),
        (b"impersonate-group", b"system:masters"),
        (b"connection", b"keep-alive, X-Hop"),
        (b"x-hop", b"1"),
        (b"te", b"trailers"),
        (b"accept", b"*/*"),
        (b"x-forwarded-for", b"198.51.100.1"),
    )
    assert _lines(exchange) == [
        b"GET /x?y HTTP/1.1",
        b"Host: server",
        b"accept: */*",
        b"X-Forwarded-For: 198.51.100.1, 192.0.2.9",
    ]


def test_an_upgrade_is_asked_for_as_the_client_does() -> None:
    exchange = _exchange((b"upgrade", b"websocket"), (b"connection", b"Upgrade"))
    lines = _lines(exchange, upgrade=True)
    assert lines[-2:] == [b"Connection: Upgrade", b"Upgrade: websocket"]
    assert _lines(exchange)[-1].startswith(b"X-Forwarded-For")


def test_a_body_without_a_length_goes_in_chunks() -> None:
    chunked = _exchange((b"transfer-encoding", b"chunked"), method="POST")
    assert b"Transfer-Encoding: chunked" in _lines(chunked)
    sized = _exchange((b"content-length", b"3"), method="POST")
    assert _lines(sized)[2] == b"content-length: 3"


def test_our_own_headers_replace_the_clients() -> None:
    exchange = _exchange((b"audit-id", b"theirs"), (b"sec-websocket-key", b"k"))
    lines = _lines(exchange, headers=((b"Audit-Id", b"ours"),), without=b"sec-websocket-")
    assert lines[-1] == b"Audit-Id: ours"
    assert not any(line.startswith((b"audit-id", b"sec-")) for line in lines)


def test_an_answers_own_connection_ends_here_and_cors_is_ours_to_give() -> None:
    head = Head(
        200,
        b"OK",
        [
            (b"Connection", b"close, X-Hop"),
            (b"X-Hop", b"1"),
            (b"Transfer-Encoding", b"chunked"),
            (b"Access-Control-Allow-Origin", b"*"),
            (b"Location", b"/a"),
            (b"Bad Name", b"x"),
            (b"X-Bad", b"a\x01b"),
            (b"ETag", b"1"),
        ],
    )
    cached = (b"cache-control", b"no-cache, private")
    rewriting = Rewriting("", "", "/proxy", "10.0.0.1:80", "")
    assert answer_headers(head, rewriting) == [cached, (b"location", b"/proxy/a"), (b"etag", b"1")]
    plain = answer_headers(head, None)
    assert (b"access-control-allow-origin", b"*") in plain
    assert (b"location", b"/a") in plain


def test_an_answer_without_a_body_has_no_length() -> None:
    head = Head(304, b"", [(b"Content-Length", b"9")])
    assert answer_headers(head, None) == [(b"cache-control", b"no-cache, private")]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a", ("", "a", "")),
        ("a:b", ("", "a", "b")),
        ("https:a:1", ("https", "a", "1")),
        (":a:", ("", "a", "")),
    ],
)
def test_names_may_have_a_scheme_and_a_port(text: str, parts: tuple[str, str, str]) -> None:
    assert read_name(text, "pod") == parts


@pytest.mark.parametrize("text", ["", ":", "ftp:a:1", "a:b:c:d"])
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(StatusError, match="invalid pod request"):
        read_name(text, "pod")


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "0.0.0.0", "169.254.169.254", "fe80::1", "224.0.0.1", "", "x"],
)
def test_addresses_of_the_servers_own_machine_are_not_led_to(address: str) -> None:
    assert not is_allowed(address)
    assert is_allowed("10.0.0.1")
    assert is_allowed("fd00::2")


def test_a_nodes_address_is_of_the_first_kind_that_it_has() -> None:
    addresses = [
        {"type": "Hostname", "address": "h"},
        {"type": "InternalIP", "address": "10.0.0.1"},
        {"type": "InternalIP", "address": "10.0.0.2"},
    ]
    assert preferred_address(addresses, ("ExternalIP", "InternalIP", "Hostname")) == "10.0.0.1"
    with pytest.raises(StatusError) as caught:
        preferred_address(addresses[:1], ("InternalIP",))
    assert caught.value.message == ("no preferred addresses found; known addresses: [{Hostname h}]")


def test_endpoints_are_ready_ones_of_the_first_family_if_there_are_any() -> None:
    def slice_of(family: str, *endpoints: dict[str, Any]) -> dict[str, Any]:
        return {
            "addressType": family,
            "ports": [{"name": "web", "port": 8080}],
            "endpoints": list(endpoints),
        }

    four = slice_of("IPv4", {"addresses": ["10.0.0.1"]})
    six = slice_of("IPv6", {"addresses": ["fd00::1"]})
    away = slice_of("IPv6", {"addresses": ["fd00::2"], "conditions": {"ready": False}})
    assert any_endpoint([four, six], "web", ("IPv6",)) == ("fd00::1", 8080)
    assert any_endpoint([four, away], "web", ("IPv6",)) == ("10.0.0.1", 8080)
    assert any_endpoint([four], "other", ()) is None
    assert any_endpoint([four], "web", (), lambda _one: False) is None


def test_certificates_that_are_gone_are_said_to_be(tmp_path: Path) -> None:
    address = {"type": "InternalIP", "address": "10.0.0.1"}
    body = orjson.dumps({"status": {"addresses": [address]}})

    async def read(*_: Any) -> Any:
        return SimpleNamespace(body=body)

    server: Any = SimpleNamespace(read=read, catalog=SimpleNamespace(by_storage={"nodes": None}))
    settings = KubeletSettings(certificate_authority_file=tmp_path / "absent.crt")
    with pytest.raises(StatusError, match="certificates of this server") as caught:
        asyncio.run(Kubelets(settings).of(server, "n"))
    assert caught.value.reason == "ServiceUnavailable"
    found = asyncio.run(Kubelets(settings).of(server, "n", skips_verification=True))
    assert (found.address.host, found.address.port) == ("10.0.0.1", DEFAULT_PORT)
