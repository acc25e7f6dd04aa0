"""Envelope encryption: each message with a key of its own, made from a seed that a provider keeps.

As upstream's KMS v2 does it, and here with local keys too: 32 random bytes and the seed make the
message's key by HKDF-SHA256 (expand), and that key is used once, for AES-256-GCM with a random
nonce. So no number of messages wears a seed out, and a process that is copied while it runs (a
machine's snapshot) does not use a nonce twice. Behind the head (storage/seal_head.py):

    +-----------+-----------+----------------+-----------+
    | info      | nonce     | ciphertext     | tag       |
    | 32 bytes  | 12 bytes  |                | 16 bytes  |
    +-----------+-----------+----------------+-----------+

Head and context are authenticated with the ciphertext.

Invariants:
    - No byte of sealed bytes can be changed unnoticed, nor can they be opened elsewhere.
    - Whatever is wrong with them is SealBroken, which names the key.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Final, NamedTuple, Protocol, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from storage.errors import SealBroken
from storage.seal_head import PLAIN, SealHead, parse_head

SEED_BYTES: Final = 32
_INFO_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_RANDOM_BYTES: Final = _INFO_BYTES + _NONCE_BYTES
_PLAIN: Final = bytes((PLAIN,))
_FIRST_BLOCK: Final = b"\x01"
_STATIC_SALT: Final = "ultraplane {} v1"

Observe: TypeAlias = Callable[[str, str, float | None], None]
"""(`to_storage` or `from_storage`, provider, seconds that it took or None: it failed)."""


class SealKey(NamedTuple):
    """A seed to seal with, and the head that says which it is."""

    head: bytes
    seed: bytes


class KeySource(Protocol):
    """Has the seeds of one provider.

    Attributes:
        provider: as heads name it.
    """

    provider: str

    def writing(self) -> SealKey:
        """Return what new messages are sealed with.

        Raises:
            SealUnavailable: there is none now.
        """
        ...

    def reading(self, head: SealHead) -> bytes:
        """Return the seed that a head stands for.

        Raises:
            SealBroken: it can't be had.
        """
        ...


class StaticKey:
    """A key that was configured: the seed follows from it and its kind, whatever its length."""

    def __init__(self, provider: str, key: bytes) -> None:
        self.provider = provider
        salt = _STATIC_SALT.format(provider.partition(":")[0]).encode()
        # HKDF's extraction: keys may be shorter than a seed.
        self._key = SealKey(SealHead(provider).encode(), hmac.digest(salt, key, "sha256"))

    def writing(self) -> SealKey:
        """See KeySource."""
        return self._key

    def reading(self, head: SealHead) -> bytes:
        """See KeySource."""
        if head.key_id or head.wrapped or head.notes:
            raise SealBroken(f"its seal names {head.key}, and is not of that kind")
        return self._key.seed


class Envelope:
    """A `storage.sealing.Sealer`: seals with the first of its sources, opens with any.

    Args of the constructor:
        sources: of keys; several may have the same name.
        writes_plain: whether it seals nothing from now on, and only opens.
        reads_plain: whether what was not sealed is taken.
        observe: hears of each message.
    """

    def __init__(
        self,
        sources: Sequence[KeySource],
        *,
        writes_plain: bool = False,
        reads_plain: bool = False,
        observe: Observe = lambda *_: None,
    ) -> None:
        assert sources or writes_plain, "there is nothing to seal with"
        self._sources = tuple(sources)
        self._writes_plain = writes_plain
        self._reads_plain = reads_plain
        self._observe = observe

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """See Sealer."""
        if self._writes_plain:
            return _PLAIN + plain
        started_s = perf_counter()
        source = self._sources[0]
        try:
            head, seed = source.writing()
        except BaseException:
            self._observe("to_storage", source.provider, None)
            raise
        random = os.urandom(_RANDOM_BYTES)
        cipher = AESGCM(_message_key(seed, random[:_INFO_BYTES]))
        sealed = cipher.encrypt(random[_INFO_BYTES:], plain, head + context)
        self._observe("to_storage", source.provider, perf_counter() - started_s)
        return b"".join((head, random, sealed))

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """See Sealer."""
        if sealed[:1] == _PLAIN:
            if not self._reads_plain:
                raise SealBroken("it is in the clear, and `identity` is none of the providers")
            return sealed[1:]
        started_s = perf_counter()
        head, at = parse_head(sealed)
        try:
            plain = self._open(head, at, sealed, context)
        except BaseException:
            self._observe("from_storage", head.provider, None)
            raise
        self._observe("from_storage", head.provider, perf_counter() - started_s)
        return plain

    def _open(self, head: SealHead, at: int, sealed: bytes, context: bytes) -> bytes:
        sources = [source for source in self._sources if source.provider == head.provider]
        if not sources:
            raise SealBroken(f"it is sealed with {head.key}, which is none of those configured")
        data_at = at + _RANDOM_BYTES
        if len(sealed) < data_at + _TAG_BYTES:
            raise SealBroken(f"it is sealed with {head.key}, and cut off")
        info, nonce = sealed[at : at + _INFO_BYTES], sealed[at + _INFO_BYTES : data_at]
        refusal: SealBroken | None = None
        for source in sources:
            try:
                seed = source.reading(head)
                cipher = AESGCM(_message_key(seed, info))
                return cipher.decrypt(nonce, sealed[data_at:], sealed[:at] + context)
            except SealBroken as error:
                refusal = error
            except InvalidTag:
                continue
        if refusal is not None:
            raise refusal
        raise SealBroken(
            f"it is sealed with {head.key}, and the key configured under that name does not open "
            "it: it is another key, or bytes were changed"
        )


def _message_key(seed: bytes, info: bytes) -> bytes:
    # HKDF-Expand of one block, which is as long as the key.
    return hmac.digest(seed, info + _FIRST_BLOCK, "sha256")
