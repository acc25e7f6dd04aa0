"""Shuffle sharding: each flow gets a hand of queues, so that few flows share all of theirs.

A hand is a function of the flow's hash alone: the same flow has the same hand in every process. A
flow that fills its own queues leaves others nearly always with a queue it has not: of 128 queues
and hands of 6, two flows share all six once in five billion.
"""

from __future__ import annotations

import hashlib
import math
from typing import Final

QUEUES_MAX: Final = 1 << 26
HASH_BITS_MAX: Final = 60
"""Of 64: with all of them used, the last cards of a hand would be dealt unevenly."""


def required_bits(queues: int, hand_size: int) -> int:
    """Return how many bits of hash a hand takes (a little more than it really does)."""
    return math.ceil(math.log2(queues) * hand_size)


def can_deal(queues: int, hand_size: int) -> bool:
    """Tell whether hands of this size can be dealt."""
    if not (0 < hand_size <= queues <= QUEUES_MAX):
        return False
    return required_bits(queues, hand_size) <= HASH_BITS_MAX


def hash_flow(schema: str, distinguisher: str) -> int:
    """Return the 64 bits that decide the hand of a flow."""
    digest = hashlib.sha256(f"{schema}\0{distinguisher}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "little")


def deal(flow_hash: int, queues: int, hand_size: int) -> tuple[int, ...]:
    """Return the numbers of `hand_size` different queues out of `queues`.

    The hash is read as a number in a mixed base: its digits are positions among the cards that are
    left, which are then turned into positions in the whole deck.
    """
    assert can_deal(queues, hand_size)
    digits = []
    for left in range(queues, queues - hand_size, -1):
        flow_hash, digit = divmod(flow_hash, left)
        digits.append(digit)
    hand = []
    for index, digit in enumerate(digits):
        card = digit
        for before in reversed(digits[:index]):
            if card >= before:
                card += 1
        hand.append(card)
    return tuple(hand)
