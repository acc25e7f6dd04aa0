"""Addresses of NATS, and who we are there (journal/nats_options.py, journal/nats_keys.py)."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

import pytest

from journal.nats_keys import Signer, read_credentials
from journal.nats_options import (
    NatsOptions,
    connect_arguments,
    options_from_json,
    options_to_json,
    parse_servers,
    public_address,
)


def seed_of(secret: bytes) -> str:
    """Return a user's nkey seed."""
    raw = bytes([(18 << 3) | (160 >> 5), (160 & 31) << 3]) + secret
    return (
        base64.b32encode(raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")).decode().strip("=")
    )


@pytest.mark.parametrize(
    ("address", "places"),
    [
        ("nats://a", [("a", 4222)]),
        ("nats://a:1,b,[::1]:3", [("a", 1), ("b", 4222), ("::1", 3)]),
        ("tls://u:p@a:1,nats://b:2/", [("a", 1), ("b", 2)]),
    ],
)
def test_addresses_name_servers(address: str, places: list[tuple[str, int]]) -> None:
    assert [(server.host, server.port) for server in parse_servers(address)] == places


@pytest.mark.parametrize(
    "address", ["nats://", "nats://a,", "nats://a:x", "nats://a:70000", "nats://a b", "http://a"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"host|port|begins"):
        parse_servers(address)


def test_an_address_is_shown_without_secrets() -> None:
    shown = public_address("nats://me:s3cret@a:1,t0ken@b:2")
    assert shown == "nats://a:1,b:2"
    assert public_address("unix:/a@b") == "unix:/a@b"


def test_attempts_go_round_the_servers_with_the_credentials_of_the_address() -> None:
    first = connect_arguments("nats://me:s%40@a,b", NatsOptions(), 0)
    assert (first["servers"], first["user"], first["password"]) == (["nats://a:4222"], "me", "s@")
    second = connect_arguments("nats://me:s%40@a,b", NatsOptions(), 1)
    assert (second["servers"], second["user"]) == (["nats://b:4222"], "me")
    assert connect_arguments("nats://t0ken@a", NatsOptions(), 0)["token"] == "t0ken"


def test_files_are_read_at_each_attempt(tmp_path: Path) -> None:
    token = tmp_path / "token"
    options = options_from_json(options_to_json(NatsOptions(token_file=token)))
    for text in ("old", "new"):
        token.write_text(text + "\n")
        assert connect_arguments("nats://a", options, 0)["token"] == text
    token.unlink()
    with pytest.raises(OSError, match="token"):
        connect_arguments("nats://a", options, 0)


def test_a_seed_signs_and_names_its_public_key() -> None:
    signer = Signer(seed_of(bytes(range(32))))
    assert signer.public.startswith("U")
    assert len(base64.b64decode(signer.sign("nonce"))) == 64
    text = (
        "-----BEGIN NATS USER JWT-----\neyJ.a-b_c\n------END NATS USER JWT------\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed_of(bytes(range(32)))}\n"
        "------END USER NKEY SEED------\n"
    )
    jwt, found = read_credentials(text)
    assert (jwt, found.public) == (b"eyJ.a-b_c", signer.public)


@pytest.mark.parametrize("text", ["", "SUAB", "s3cret!", seed_of(bytes(32))[:-3] + "QQQ"])
def test_what_is_no_seed_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="nkey") as caught:
        Signer(text)
    assert not text or text not in str(caught.value)
