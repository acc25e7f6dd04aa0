"""URLs of proxied pages, put in terms of where their reader found them."""

from __future__ import annotations

import gzip
import zlib

import pytest

from apiserver.proxying.rewriting import HTML_BYTES_MAX, Rewriting, encode_path, join_path

PREFIX = "/api/v1/namespaces/a/pods/p/proxy"
REWRITING = Rewriting("", "", PREFIX, "10.0.0.1:80", "server:6443")


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("/there?x=1#y", f"{PREFIX}/there?x=1#y"),
        ("http://10.0.0.1:80/there/", f"{PREFIX}/there/"),
        ("http://server:6443/there", f"http://server:6443{PREFIX}/there"),
        (f"{PREFIX}/there", f"{PREFIX}/there"),
        ("http://elsewhere/there", "http://elsewhere/there"),
        ("there", "there"),
        ("/a/../b", f"{PREFIX}/b"),
        ("//[bad/x", "//[bad/x"),
    ],
)
def test_only_urls_that_lead_to_the_backend_get_the_prefix(url: str, wanted: str) -> None:
    assert REWRITING.url(url) == wanted


def test_html_is_left_as_it_is_but_for_urls_in_attributes() -> None:
    page = (
        b"<!DOCTYPE html>\n<BODY Class=x>&nbsp;<A HREF='/a?b=1&amp;c=2'>/a</A>\n"
        b"<script>var x = '<a href=\"/s\">';</script><img src=/i /><!-- <a href='/c'> --> \xff"
    )
    assert REWRITING.html(page, b"") == (
        b'<!DOCTYPE html>\n<BODY Class=x>&nbsp;<a href="%b/a?b=1&amp;c=2">/a</A>\n'
        b"<script>var x = '<a href=\"/s\">';</script>"
        b"<img src=\"%b/i\"/><!-- <a href='/c'> --> \xff" % (PREFIX.encode(), PREFIX.encode())
    )


def test_packed_html_is_rewritten_and_packed_again() -> None:
    page, wanted = b'<a href="/x">', f'<a href="{PREFIX}/x">'.encode()
    found = REWRITING.html(gzip.compress(page), b"gzip")
    assert found is not None
    assert gzip.decompress(found) == wanted
    packer = zlib.compressobj(wbits=-15)
    found = REWRITING.html(packer.compress(page) + packer.flush(), b"deflate")
    assert found is not None
    assert zlib.decompress(found, -15) == wanted


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"<a href='/x'>", b"br"),
        (b"no gzip", b"gzip"),
        (gzip.compress(bytes(HTML_BYTES_MAX + 1)), b"gzip"),
    ],
    ids=["unknown", "damaged", "bomb"],
)
def test_what_cannot_be_unpacked_goes_as_it_is(body: bytes, encoding: bytes) -> None:
    assert REWRITING.html(body, encoding) is None


def test_paths_are_cleaned_and_written_as_go_does_it() -> None:
    assert join_path("", "//a/../b/") == "/b"
    assert join_path("/x", "/../../y") == "/y"
    assert join_path("", "") == ""
    assert encode_path("/a b/ü;x=1,2+3@~/!") == "/a%20b/%C3%BC;x=1,2+3@~/%21"


@pytest.mark.parametrize(
    "piece", ["<a ", '<a href="', "<!--", "<", "<a href=", "<a =", "</", "<script>", "< a a a"]
)
def test_what_is_opened_and_never_closed_costs_no_more_than_its_length(piece: str) -> None:
    """Were it quadratic, a megabyte of it would take hours."""
    page = b"<a href='/x'></a>" + piece.encode() * (1_000_000 // len(piece))
    found = REWRITING.html(page, b"")
    assert found is not None
    assert found.startswith(f'<a href="{PREFIX}/x"></a>'.encode())
    assert len(found) == len(page) + len(PREFIX)
