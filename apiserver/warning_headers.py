"""Warning headers: what is said to the client beside the answer, within upstream's limits.

Texts repeat what clients sent, names of unknown fields for example. One with a control character
is left out, as upstream does: a line break would end the header and begin another.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

TEXT_LENGTH_MAX: Final = 4096
"""All texts of an answer together are cut to `ITEM_LENGTH_MAX` each once they are longer."""
ITEM_LENGTH_MAX: Final = 256


def warning_headers(texts: Sequence[str]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the headers that carry `texts`, which differ from one another."""
    for text in _within_limits([text for text in texts if text and _is_printable(text)]):
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        yield b"warning", f'299 - "{escaped}"'.encode()


def _within_limits(texts: Sequence[str]) -> Sequence[str]:
    total = 0
    for count, text in enumerate(texts, start=1):
        total += len(text)
        if total > TEXT_LENGTH_MAX:
            return _cut(texts, count)
    return texts


def _cut(texts: Sequence[str], at_least: int) -> Sequence[str]:
    """Return shortened texts: the first `at_least`, and more while they are within the limit."""
    kept = [text[:ITEM_LENGTH_MAX] for text in texts[:at_least]]
    total = sum(map(len, kept))
    for text in texts[at_least:]:
        if total >= TEXT_LENGTH_MAX:
            break
        kept.append(text[:ITEM_LENGTH_MAX])
        total += len(kept[-1])
    return kept


def _is_printable(text: str) -> bool:
    # Most texts are ASCII words, for which the first test is enough.
    return text.isprintable() or not any(unicodedata.category(c) in ("Cc", "Cs") for c in text)
