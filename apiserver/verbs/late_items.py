"""Items of CBOR lists that take long to make: a thread makes them, one at a time (apiserver.aside).

A scan gives out items as they are to be written. Where one is still to be made, it gives out what
it is to be made of, and who drives the scan has it made before it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Final

from apiserver.aside import LARGE_BYTES
from apiserver.parts import Part
from storage.scan_forms import Forms

Keep = Callable[[bytes, bytes, bytes], None]


class Unmade(bytes):
    """What stands in the place of an item, and is empty: bytes, as a scan gives out nothing else.

    Attributes:
        key, revision: whose item it is, and of when.
        body: what it is to be made of.
    """

    key: bytes
    revision: bytes
    body: bytes


class Late:
    """A part of an answer that is an item still to be made.

    Attributes:
        item: it, once it was made.
        is_hidden: whether it is only to be made now, and written later.
    """

    def __init__(self, make: Callable[[bytes], bytes], body: bytes) -> None:
        self._make = make
        self._body = body
        self.item: bytes | None = None
        self.is_hidden = False

    def __call__(self) -> bytes:
        """Make the item, and return what is to be written now."""
        self.item = self._make(self._body)
        return b"" if self.is_hidden else self.item


class LateItems:
    """Puts large objects off, and has them made in their turn."""

    def __init__(self, make: Callable[[bytes], bytes], keep: Keep) -> None:
        self._make_item = make
        self._keep = keep
        self._unmade = 0

    def forms(self, forms: Forms) -> Forms:
        """Return what a scan needs, so that what is large is given out unmade."""

        def make(key: bytes, revision: bytes, body: bytes) -> bytes:
            if len(body) <= LARGE_BYTES:
                return forms.make(key, revision, body)
            return self.put_off(key, revision, body)

        return Forms(forms.held, make)

    def put_off(self, key: bytes, revision: bytes, body: bytes) -> Unmade:
        """Return what stands for an item until it is made."""
        unmade = Unmade()
        unmade.key, unmade.revision, unmade.body = key, revision, body
        self._unmade += 1
        return unmade

    def parts(self, items: Iterable[bytes]) -> Generator[Part, None, None]:
        """Yield the parts of an answer that some items are."""
        if not self._unmade:
            yield b"".join(items)
            return
        ready: list[bytes] = []
        for item in items:
            if not isinstance(item, Unmade):
                ready.append(item)
                continue
            if ready:
                yield b"".join(ready)
                ready = []
            yield from self._made(item)
        if ready:
            yield b"".join(ready)

    def _made(self, unmade: Unmade) -> Generator[Part, None, None]:
        late: Final = Late(self._make_item, unmade.body)
        self._unmade -= 1
        yield late
        if late.item is not None:
            self._keep(unmade.key, unmade.revision, late.item)


def made(part: Part) -> Generator[bytes | Late, None, bytes]:
    """Have a part made if it is not, without writing it, and return it."""
    if isinstance(part, bytes):
        return part
    assert isinstance(part, Late)
    part.is_hidden = True
    yield part
    assert part.item is not None, "whoever drives a list makes what is put off"
    return part.item
