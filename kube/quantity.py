"""Quantities: `500m`, `1Gi`, `12e6` — parsing, canonical form, arithmetic.

Behaviour follows k8s.io/apimachinery `api/resource`, its oddities included: what already looks
canonical keeps its spelling (`1.001`, `+5`), values below one nano are rounded away from zero,
binary quantities are capped at 2^63-1. A `Quantity` is immutable: an integer times a power of ten.
"""

from __future__ import annotations

import re
from functools import total_ordering
from typing import Final

from kube.text_cache import text_cache

FORMAT_MESSAGE: Final = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)
NUMERIC_MESSAGE: Final = "unable to parse numeric part of quantity"
SUFFIX_MESSAGE: Final = "unable to parse quantity's suffix"

DECIMAL_SI: Final = "DecimalSI"
BINARY_SI: Final = "BinarySI"
DECIMAL_EXPONENT: Final = "DecimalExponent"

_PARTS: Final = re.compile(
    r"(?P<sign>[+-]?)0*(?P<whole>[0-9]*)(?:\.(?P<fraction>[0-9]*))?"
    r"(?P<suffix>[eEinumkKMGTP]*(?:[+-]?[0-9]*))",
    re.ASCII,
)
_DECIMAL: Final = {
    "n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18,
}  # fmt: skip
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_SUFFIXES: Final = {power: suffix for suffix, power in _DECIMAL.items()}
_BINARY_SUFFIXES: Final = {power: suffix for suffix, power in _BINARY.items()} | {0: ""}
_EXPONENT: Final = re.compile(r"[eE]([+-]?[0-9]+)", re.ASCII)
_INT64_MAX: Final = 2**63 - 1
_NANO: Final = -9
# Digits that upstream handles in 64 bits; longer numbers lose their spelling.
_FAST_DIGITS: Final = 18
# Nobody means more places than this; it bounds what hostile digits and exponents cost.
_EXPONENT_MAX: Final = 400
_CACHED_TEXTS: Final = 8192


class QuantityError(ValueError):
    """A text is no quantity; the message is upstream's."""


@total_ordering
class Quantity:
    """An amount and the family of suffixes it was written in."""

    __slots__ = ("_exponent", "_mantissa", "_text", "format")

    def __init__(
        self, mantissa: int, exponent: int = 0, unit_format: str = DECIMAL_SI, text: str = ""
    ) -> None:
        """Make the quantity `mantissa` * 10**`exponent`; `text` is its spelling, if known."""
        self._mantissa = mantissa
        self._exponent = exponent if mantissa else 0
        self._text = text
        self.format = unit_format

    @property
    def nanos(self) -> int:
        """The amount in units of 10**-9, exactly."""
        return self._mantissa * int(10 ** (min(self._exponent, _EXPONENT_MAX) - _NANO))

    @property
    def value(self) -> int:
        """The amount in whole units, rounded away from zero."""
        return _round_out(self.nanos, 10**9)

    @property
    def milli_value(self) -> int:
        """The amount in thousandths, rounded away from zero."""
        return _round_out(self.nanos, 10**6)

    def is_zero(self) -> bool:
        """Tell whether the amount is nothing."""
        return self._mantissa == 0

    def __float__(self) -> float:
        return self.nanos / 1e9

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.nanos == other.nanos

    def __lt__(self, other: Quantity) -> bool:
        return self.nanos < other.nanos

    def __hash__(self) -> int:
        return hash(self.nanos)

    def __add__(self, other: Quantity) -> Quantity:
        unit_format = other.format if self.is_zero() else self.format
        return Quantity(self.nanos + other.nanos, _NANO, unit_format)

    def __sub__(self, other: Quantity) -> Quantity:
        unit_format = other.format if self.is_zero() else self.format
        return Quantity(self.nanos - other.nanos, _NANO, unit_format)

    def __neg__(self) -> Quantity:
        return Quantity(-self._mantissa, self._exponent, self.format)

    def __str__(self) -> str:
        if not self._text:
            self._text = self._spell()
        return self._text

    def __repr__(self) -> str:
        return f"Quantity({str(self)!r})"

    def _spell(self) -> str:
        if self.is_zero():
            return "0"
        if self.format == BINARY_SI:
            whole, rest = divmod(self.nanos, 10**9)
            # Small or fractional amounts are shown decimally rather than rounded.
            if rest == 0 and not -1024 < whole < 1024:
                return _spell_binary(whole)
        mantissa, exponent = self._mantissa, self._exponent
        while mantissa % 10 == 0:
            mantissa //= 10
            exponent += 1
        mantissa *= 10 ** (exponent % 3)
        exponent -= exponent % 3
        if self.format == DECIMAL_EXPONENT:
            return f"{mantissa}e{exponent}" if exponent else str(mantissa)
        return f"{mantissa}{_DECIMAL_SUFFIXES.get(exponent, '')}"


def _round_out(amount: int, unit: int) -> int:
    return -(-amount // unit) if amount > 0 else amount // unit


def _spell_binary(whole: int) -> str:
    power = 0
    while whole % 1024 == 0 and abs(whole) >= 1024:
        whole //= 1024
        power += 10
    return f"{whole}{_BINARY_SUFFIXES.get(power, '')}"


@text_cache(maxsize=_CACHED_TEXTS)
def parse(text: str) -> Quantity:
    """Return the quantity that `text` writes.

    Raises:
        QuantityError: it writes none; the message is upstream's.
    """
    match = _PARTS.fullmatch(text)
    if match is None or not text:
        raise QuantityError(FORMAT_MESSAGE)
    base, power, unit_format = _read_suffix(match["suffix"])
    whole, fraction = match["whole"] or "0", match["fraction"] or ""
    digits = whole + fraction
    if len(digits) > _EXPONENT_MAX:
        raise QuantityError(NUMERIC_MESSAGE)
    mantissa = int(digits)
    exponent = power - len(fraction) if base == 10 else -len(fraction)
    signed = -mantissa if match["sign"] == "-" else mantissa
    if base == 10:
        if len(digits) <= _FAST_DIGITS and exponent >= _NANO:
            plain = exponent % 3 == 0 and not digits.endswith("000") and digits[0] != "0"
            return Quantity(signed, exponent, unit_format, text if plain else "")
        return _round_to_nano(signed, exponent, unit_format)
    if not fraction and _is_short_binary(digits, power) and mantissa << power <= _INT64_MAX:
        plain = mantissa & 7 != 0
        return Quantity(signed << power, 0, BINARY_SI, text if plain else "")
    return _cap_binary(_round_to_nano(signed << power, exponent, BINARY_SI))


def _read_suffix(suffix: str) -> tuple[int, int, str]:
    power = _DECIMAL.get(suffix)
    if power is not None:
        return 10, power, DECIMAL_SI
    power = _BINARY.get(suffix)
    if power is not None:
        return 2, power, BINARY_SI
    exponent = _EXPONENT.fullmatch(suffix)
    if exponent is None or len(exponent[1]) > _FAST_DIGITS:
        raise QuantityError(SUFFIX_MESSAGE)
    return 10, int(exponent[1]), DECIMAL_EXPONENT


def _is_short_binary(digits: str, power: int) -> bool:
    return 15 - len(digits) - power * 3 // 10 - 1 >= 0


def _round_to_nano(mantissa: int, exponent: int, unit_format: str) -> Quantity:
    if exponent >= _NANO:
        return Quantity(mantissa, exponent, unit_format)
    # Beyond the digits there are, every further place only decides that something is left.
    drop = min(_NANO - exponent, len(str(mantissa)) + 1)
    return Quantity(_round_out(mantissa, 10**drop), _NANO, unit_format)


def _cap_binary(quantity: Quantity) -> Quantity:
    if abs(quantity.nanos) <= _INT64_MAX * 10**9:
        return quantity
    return Quantity(_INT64_MAX if quantity.nanos > 0 else -_INT64_MAX, 0, BINARY_SI)


@text_cache(maxsize=_CACHED_TEXTS)
def canonical(text: str) -> str:
    """Return `text` as upstream would write the quantity back: `1000m` is `1`.

    Raises:
        QuantityError: it is no quantity.
    """
    return str(parse(text))


def parse_value(value: object) -> Quantity:
    """Return the quantity of a decoded JSON value: a string or a number.

    Raises:
        QuantityError: the value is neither, or no quantity.
    """
    if isinstance(value, str):
        return parse(value.strip())
    if isinstance(value, int | float) and not isinstance(value, bool):
        return parse(repr(value))
    raise QuantityError(FORMAT_MESSAGE)
