"""Hands of queues: different cards, the same for the same flow, all over the deck."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as some

from apiserver.fairness.dealing import can_deal, deal, hash_flow


@given(
    flow_hash=some.integers(0, 2**64 - 1),
    queues=some.integers(1, 512),
    hand_size=some.integers(1, 6),
)
def test_a_hand_holds_different_queues_of_the_deck(
    flow_hash: int, queues: int, hand_size: int
) -> None:
    hand_size = min(hand_size, queues)
    hand = deal(flow_hash, queues, hand_size)
    assert len(set(hand)) == len(hand) == hand_size
    assert all(0 <= card < queues for card in hand)
    assert hand == deal(flow_hash, queues, hand_size)


@pytest.mark.parametrize(
    ("flow_hash", "hand"),
    [(0, (0, 1, 2)), (7, (7, 0, 1)), (128 * 3 + 5, (5, 3, 0)), (128 * 5 + 5, (5, 6, 0))],
)
def test_hands_are_those_that_upstream_deals(flow_hash: int, hand: tuple[int, ...]) -> None:
    assert deal(flow_hash, 128, 3) == hand


def test_flows_spread_evenly_over_the_deck() -> None:
    cards = Counter(
        card for number in range(4000) for card in deal(hash_flow("a", str(number)), 16, 4)
    )
    assert len(cards) == 16
    assert max(cards.values()) < 1.2 * min(cards.values())


@pytest.mark.parametrize(("queues", "hand_size"), [(128, 6), (64, 8), (1024, 6), (1, 1)])
def test_hands_of_up_to_sixty_bits_can_be_dealt(queues: int, hand_size: int) -> None:
    assert can_deal(queues, hand_size)


@pytest.mark.parametrize(("queues", "hand_size"), [(1024, 7), (4, 5), (0, 0), (1, -1)])
def test_other_hands_cannot(queues: int, hand_size: int) -> None:
    assert not can_deal(queues, hand_size)
