"""Sums and comparisons of the quantities in resource lists.

`kube.quantity` owns the format; this adds what pods need on the hot path: amounts as cached
integers of billionths, sums of resource lists, and the rounding to thousandths that all resource
lists of pods get.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from kube.quantity import Quantity, parse
from kube.text_cache import text_cache

Amounts: TypeAlias = dict[str, str]

_NANOS_PER_MILLI: Final = 1_000_000


@text_cache(maxsize=8192)
def nanos(text: str) -> int:
    """Return a quantity in billionths."""
    return parse(text).nanos


def is_whole(text: str) -> bool:
    """Whether a quantity is an integer once rounded to thousandths, as upstream looks at it."""
    return parse(text).milli_value % 1000 == 0


def round_up_to_milli(amounts: Amounts) -> None:
    """Round the amounts of a resource list up to thousandths, in place."""
    for name, text in amounts.items():
        # Only these suffixes, and numbers with a fraction, can be finer.
        if text[-1:] in {"n", "u"} or "." in text:
            quantity = parse(text)
            milli = -(-quantity.nanos // _NANOS_PER_MILLI)
            if milli * _NANOS_PER_MILLI != quantity.nanos:
                amounts[name] = str(Quantity(milli, -3, quantity.format))


def add_into(total: Amounts, amounts: Amounts) -> None:
    """Add a resource list to `total`, in place."""
    for name, text in amounts.items():
        total[name] = str(parse(total[name]) + parse(text)) if name in total else text


def max_into(total: Amounts, amounts: Amounts) -> None:
    """Raise `total` to at least `amounts`, resource by resource, in place."""
    for name, text in amounts.items():
        if name not in total or nanos(text) > nanos(total[name]):
            total[name] = text
