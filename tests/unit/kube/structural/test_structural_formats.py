"""Formats of strings: what upstream's parsers take."""

from __future__ import annotations

import pytest

from kube.structural import formats

GOOD = {
    "bsonobjectid": ["507f1f77bcf86cd799439011"],
    "byte": ["YQ==", "aGVsbG8h"],
    "cidr": ["10.0.0.0/8", "10.0.0.1/08", "fd00::/8", "010.0.0.0/8"],
    "creditcard": ["4111 1111 1111 1111", "4111-1111-1111-1111"],
    "date": ["2024-02-29", "0000-02-29"],
    "date-time": ["2024-01-01T00:00:00Z", "2024-01-01t23:59:59.123+02:00"],
    "datetime": ["2024-01-01T00:00:00Z"],
    "duration": ["1h", "-1.5h", "22 ns", "3 days", "x 1 week y", "0"],
    "email": ["a@b.c", "Ann <ann@example.com>", "a.b+c@example"],
    "hexcolor": ["#FFF", "a0b1c2"],
    "hostname": ["example.com", "a", "EXAMPLE", "1a.example.com"],
    "ipv4": ["10.0.0.1", "010.0.0.01", "::ffff:10.0.0.1"],
    "ipv6": ["::1", "fd00::1"],
    "isbn": ["0321751043", "978-0321751041"],
    "isbn10": ["0-321-75104-3"],
    "isbn13": ["978 0321751041"],
    "k8s-long-name": ["a.b-c.d", "a" * 100],
    "k8s-short-name": ["abc-1", "a" * 63],
    "mac": ["01:23:45:67:89:ab", "01-23-45-67-89-ab-cd-ef", "0123.4567.89ab"],
    "password": ["", "anything"],
    "rgbcolor": ["rgb(0,100,255)", "rgb( 1 , 2 , 3 )"],
    "ssn": ["123-45-6789", "123 45 6789"],
    "uri": ["https://example.com/a?b#c", "/path", "urn:a:b", "http://[::1]:80/"],
    "uuid": ["a8098c1a-f86e-11da-bd1a-00112444be1e", "A8098C1AF86E11DABD1A00112444BE1E"],
    "uuid3": ["6fa459ea-ee8a-3ca4-894e-db77e160355e"],
    "uuid4": ["16fd2706-8baf-433b-82eb-8c7fada847da"],
    "uuid5": ["886313e1-3b8a-5372-9b90-0c9aee199e5d"],
}
BAD = {
    "bsonobjectid": ["507f1f77bcf86cd79943901", "x"],
    "byte": ["YQ", "a b=", ""],
    "cidr": ["10.0.0.0", "10.0.0.0/33", "x/8", "10.0.0.0/-1", "::/129"],
    "creditcard": ["4111 1111 1111 1112", "1"],
    "date": ["2023-02-29", "2024-1-1", "20240101", "x", "2024-02-29 "],
    "date-time": ["2024-01-01", "2024-01-01T24:00:00Z", "2024-01-01 00:00:00Z", "2024-01-01T00:00"],
    "duration": ["", "h", "1 fortnight", "99999999999999999999 s"],
    "email": ["a", "a@", "@b", "a@b..c", ".a@b"],
    "hexcolor": ["#FFFF", "red"],
    "hostname": ["a..b", "-a.example.com", "a_b", "a" * 64 + ".com"],
    "ipv4": ["10.0.0", "256.0.0.1", "::1", "10.0.0.1/8"],
    "ipv6": ["10.0.0.1", "fe80::1%eth0", ":::", "g::1"],
    "isbn": ["0321751044", "978-0321751042"],
    "isbn10": ["978-0321751041"],
    "isbn13": ["0321751043"],
    "k8s-long-name": ["A", "a..b", "-a", "a" * 254],
    "k8s-short-name": ["a.b", "A", "a" * 64, ""],
    "mac": ["01:23:45:67:89", "01:23-45:67:89:ab", "0123.4567", "x"],
    "rgbcolor": ["rgb(256,0,0)", "rgb(0,0)"],
    "ssn": ["123456789", "123-45-678"],
    "uri": ["", "example.com", "http://a b/", "http://x:y/", "/%zz", "a\nb"],
    "uuid": ["a8098c1a", "g8098c1a-f86e-11da-bd1a-00112444be1e"],
    "uuid3": ["a8098c1a-f86e-11da-bd1a-00112444be1e"],
    "uuid4": ["a8098c1a-f86e-11da-bd1a-00112444be1e"],
    "uuid5": ["a8098c1a-f86e-11da-bd1a-00112444be1e"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name in GOOD for text in GOOD[name]])
def test_a_text_of_the_format_fits(name: str, text: str) -> None:
    assert formats.check_of(name)(text)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name in BAD for text in BAD[name]])
def test_another_text_does_not_fit(name: str, text: str) -> None:
    assert not formats.check_of(name)(text)


def test_every_format_of_strings_is_tried() -> None:
    assert {name.replace("-", "") for name in GOOD} == formats.NAMES


def test_formats_are_known_by_type_and_without_dashes() -> None:
    assert formats.is_known("date-time", "string")
    assert formats.is_known("datetime", "")
    assert formats.is_known("int32", "integer")
    assert not formats.is_known("int32", "string")
    assert not formats.is_known("date", "object")
    assert not formats.is_known("uint32", "integer")
