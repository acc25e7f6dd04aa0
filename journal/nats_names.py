"""What things are called in NATS, and what a delivered message carries: no state, no I/O.

    <prefix>-log-<stream>   the JetStream stream of a stream; its subject <prefix>.log.<stream>
    <prefix>-base           noted states of all: <prefix>.base.<stream>.part and .head

A dot, which JetStream allows in no name, becomes `=`, which the journal allows in none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from nats.aio.msg import Msg

HEAD: Final = "U"
"""The header with a message's kind and numbers (journal/nats_fold.py)."""
MESSAGE_ID: Final = "Nats-Msg-Id"
KEY_DIGITS: Final = 32


def log_name(prefix: str, stream: str) -> str:
    """Return the JetStream stream's name."""
    return f"{prefix}-log-{stream.replace('.', '=')}"


def log_subject(prefix: str, stream: str) -> str:
    """Return the subject that its messages have."""
    return f"{prefix}.log.{stream.replace('.', '=')}"


def base_name(prefix: str) -> str:
    """Return the name of the JetStream stream that keeps noted states."""
    return f"{prefix}-base"


def base_subject(prefix: str, stream: str) -> str:
    """Return what the subjects of a stream's noted states begin with."""
    return f"{prefix}.base.{stream.replace('.', '=')}"


class Place(NamedTuple):
    """Where a delivered message comes from.

    Attributes:
        position: its sequence in the JetStream stream.
        delivery: its number among the consumer's deliveries, from 1 on.
        server_ms: when the server stored it.
    """

    position: int
    delivery: int
    server_ms: int


def place_of(reply: str) -> Place:
    """Read the subject to acknowledge at, which says where a message comes from.

    $JS.ACK.<stream>.<consumer>.<delivered>.<position>.<delivery>.<ns>.<pending>, newer servers put
    <domain>.<account> before <stream> and more behind <pending>.

    Raises:
        ValueError: it is none.
    """
    parts = reply.split(".")
    at = 5 if len(parts) == 9 else 7
    if len(parts) <= at + 2:
        raise ValueError(f"{reply!r} is no place in a stream")
    return Place(int(parts[at]), int(parts[at + 1]), int(parts[at + 2]) // 1_000_000)


def key_and_head(message: Msg) -> tuple[bytes, str]:
    """Return what a message's headers say; empty for one that others published."""
    headers = message.headers
    if not headers:
        return b"", ""
    try:
        key = bytes.fromhex(headers.get(MESSAGE_ID, "")[:KEY_DIGITS])
    except ValueError:
        return b"", ""
    return key, headers.get(HEAD, "")
