"""Keys that a key management service wraps: the shape of upstream's KMS v2, without its transport.

A service has a key that it never gives away (KEK), and wraps what it is given with it. This process
makes a seed, has it wrapped once, and puts the wrapped seed into the head of all that it seals; who
reads asks the service once for each wrapped seed. `KmsService` is upstream's gRPC service as Python
methods, with the same messages; `LocalKms` is the one there is, which has its keys from a file. One
behind a socket would be another class with these three methods.

As upstream does it:
    - The service's status is looked at once a minute while something is sealed, ten seconds after a
      failure. A new key id makes a new seed; so a service rotates its key by itself.
    - With a service that fails, the seed is good for three minutes more. Then nothing is sealed any
      more: writes are refused, reads of what is in memory go on.
"""

from __future__ import annotations

import base64
import logging
import math
import os
import re
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from apiserver.encryption.errors import EncryptionConfigError, KmsError
from apiserver.encryption.private_file import read_private
from storage.envelope import SEED_BYTES, SealKey
from storage.errors import SealBroken, SealUnavailable
from storage.seal_head import KEY_ID_BYTES_MAX, WRAPPED_BYTES_MAX, SealHead

_log: Final = logging.getLogger(__name__)
API_VERSION: Final = "v2"
STATUS_INTERVAL_S: Final = 60.0
STATUS_RETRY_S: Final = 10.0
WRITE_TTL_S: Final = 180.0
SEEDS_MAX: Final = 1000
"""Unwrapped seeds kept: one for each start of a server and each key that is in the log."""
ANNOTATIONS_BYTES_MAX: Final = 32 * 1024
KEYS_MAX: Final = 100
_DOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+")
_KEY_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,253}")
_KEK_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_LOCAL_CONTEXT: Final = b"ultraplane local kms v1\0"


class KmsStatus(NamedTuple):
    """How a service is: the API that it speaks, "ok" or what is wrong, the key it wraps with."""

    version: str
    healthz: str
    key_id: str


@dataclass(frozen=True, slots=True)
class Wrapped:
    """What a service made of a seed, and wants back to unwrap it."""

    ciphertext: bytes
    key_id: str
    annotations: Mapping[str, bytes] = field(default_factory=dict)


class KmsService(Protocol):
    """Upstream's v2.KeyManagementService. Calls block; `uid` is for the service's log."""

    def status(self) -> KmsStatus:
        """Return how it is.

        Raises:
            KmsError: that can't be told.
        """
        ...

    def encrypt(self, uid: str, plaintext: bytes) -> Wrapped:
        """Wrap a seed.

        Raises:
            KmsError: it can't now.
        """
        ...

    def decrypt(self, uid: str, wrapped: Wrapped) -> bytes:
        """Return the seed that was wrapped.

        Raises:
            KmsError: it can't, now or ever.
        """
        ...


class LocalKms:
    """A service in this process, with keys from a file that is read anew each time.

    A line has a key's id and the key, 32 bytes in base64; # begins a comment. The first key wraps.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def status(self) -> KmsStatus:
        """See KmsService."""
        return KmsStatus(API_VERSION, "ok", next(iter(self._keys())))

    def encrypt(self, _uid: str, plaintext: bytes) -> Wrapped:
        """See KmsService."""
        key_id, key = next(iter(self._keys().items()))
        nonce = os.urandom(_NONCE_BYTES)
        context = _LOCAL_CONTEXT + key_id.encode()
        return Wrapped(nonce + AESGCM(key).encrypt(nonce, plaintext, context), key_id)

    def decrypt(self, _uid: str, wrapped: Wrapped) -> bytes:
        """See KmsService."""
        key = self._keys().get(wrapped.key_id)
        if key is None:
            raise KmsError(f"{self._path} has no key {wrapped.key_id!r}")
        nonce, sealed = wrapped.ciphertext[:_NONCE_BYTES], wrapped.ciphertext[_NONCE_BYTES:]
        try:
            return AESGCM(key).decrypt(nonce, sealed, _LOCAL_CONTEXT + wrapped.key_id.encode())
        except (InvalidTag, ValueError) as error:
            raise KmsError(
                f"key {wrapped.key_id!r} in {self._path} is another one than wrapped it"
            ) from error

    def _keys(self) -> dict[str, bytes]:
        try:
            return read_keys(self._path)
        except EncryptionConfigError as error:
            raise KmsError(str(error)) from error


def read_keys(path: Path) -> dict[str, bytes]:
    """Return the keys of a local service's file by id, the one that wraps first.

    Raises:
        EncryptionConfigError: it is of no use.
    """
    keys: dict[str, bytes] = {}
    for number, line in enumerate(read_private(path).splitlines(), 1):
        text = line.partition(b"#")[0].split()
        if not text:
            continue
        where = f"{path}, line {number}"
        if len(text) != 2 or not _KEY_ID.fullmatch(text[0].decode("ascii", "replace")):
            raise EncryptionConfigError(f"{where}: must be a key's id and the key in base64")
        try:
            key = base64.b64decode(text[1], validate=True)
        except ValueError as error:
            raise EncryptionConfigError(f"{where}: the key is no base64") from error
        key_id = text[0].decode()
        if len(key) != _KEK_BYTES:
            raise EncryptionConfigError(f"{where}: a key has {_KEK_BYTES} bytes, not {len(key)}")
        if key_id in keys or len(keys) >= KEYS_MAX:
            raise EncryptionConfigError(f"{where}: {key_id} is there twice, or has too many before")
        keys[key_id] = key
    if not keys:
        raise EncryptionConfigError(f"{path} holds no key")
    return keys


class _Current(NamedTuple):
    """The seed that is sealed with now, and how long it may be."""

    key: SealKey
    key_id: str
    expires_s: float


class KmsKeys:
    """A `storage.envelope.KeySource` over a service; used from any thread.

    Args of the constructor:
        name: the provider's.
        service: wraps and unwraps.
        monotonic_s: the time.

    Attributes:
        provider: as heads name it.
        cache_misses: how often the service was asked for a seed.
    """

    def __init__(self, name: str, service: KmsService, monotonic_s: Callable[[], float]) -> None:
        self.provider = f"kms:{API_VERSION}:{name}"
        self.cache_misses = 0
        self._name = name
        self._service = service
        self._monotonic_s = monotonic_s
        self._current: _Current | None = None
        self._failure = ""
        self._look_at_s = -math.inf
        self._seeds: dict[SealHead, bytes] = {}
        self._lock = threading.Lock()

    def writing(self) -> SealKey:
        """See KeySource."""
        now_s = self._monotonic_s()
        if now_s >= self._look_at_s:
            self.check()
        current = self._current
        if current is None or now_s > current.expires_s:
            raise SealUnavailable(f"nothing was written: {self._failure}")
        return current.key

    def reading(self, head: SealHead) -> bytes:
        """See KeySource."""
        with self._lock:
            seed = self._seeds.get(head)
            if seed is not None:
                return seed
            self.cache_misses += 1
            try:
                annotations = _decode_annotations(head.notes)
                wrapped = Wrapped(head.wrapped, head.key_id, annotations)
                seed = self._service.decrypt(str(uuid.uuid4()), wrapped)
            except KmsError as error:
                raise SealBroken(f"it is sealed with {head.key}, and {error}") from error
            if len(seed) != SEED_BYTES:
                raise SealBroken(f"it is sealed with {head.key}, which unwraps to no seed")
            self._keep(head, seed)
            return seed

    def check(self) -> str:
        """Return what is wrong with the service, "" if nothing, from a look at it when it is due.

        If it has another key by now, there is a new seed after that.
        """
        with self._lock:
            now_s = self._monotonic_s()
            if now_s < self._look_at_s:
                return self._failure
            try:
                self._renew(now_s)
            except (KmsError, ValueError) as error:
                failure = f"kmsv2 Provider {self._name} is not healthy, error: {error}"
                if failure != self._failure:
                    _log.warning("%s", failure)
                self._failure = failure
                self._look_at_s = now_s + STATUS_RETRY_S
            else:
                self._failure = ""
                self._look_at_s = now_s + STATUS_INTERVAL_S
            return self._failure

    def _renew(self, now_s: float) -> None:
        status = self._service.status()
        if status.healthz != "ok":
            raise KmsError(f"got unexpected healthz status: {status.healthz}")
        if status.version != API_VERSION:
            raise KmsError(f"expected KMSv2 API version {API_VERSION}, got {status.version}")
        _check_key_id(status.key_id)
        expires_s = now_s + WRITE_TTL_S
        if self._current is not None and self._current.key_id == status.key_id:
            self._current = self._current._replace(expires_s=expires_s)
            return
        seed = os.urandom(SEED_BYTES)
        wrapped = self._service.encrypt(str(uuid.uuid4()), seed)
        if wrapped.key_id != status.key_id:
            raise KmsError(f"it wraps with {wrapped.key_id!r}, and says {status.key_id!r}")
        if not 0 < len(wrapped.ciphertext) <= WRAPPED_BYTES_MAX:
            raise KmsError(f"a wrapped seed of {len(wrapped.ciphertext)} bytes")
        notes = _encode_annotations(wrapped.annotations)
        head = SealHead(self.provider, wrapped.key_id, wrapped.ciphertext, notes)
        self._current = _Current(SealKey(head.encode(), seed), wrapped.key_id, expires_s)
        self._keep(head, seed)
        _log.info("KMS provider %s: sealing with key id %r", self._name, wrapped.key_id)

    def _keep(self, head: SealHead, seed: bytes) -> None:
        while len(self._seeds) >= SEEDS_MAX:
            del self._seeds[next(iter(self._seeds))]
        self._seeds[head] = seed


def _check_key_id(key_id: str) -> None:
    if not key_id:
        raise KmsError("keyID is empty")
    size = len(key_id.encode())
    if size > KEY_ID_BYTES_MAX:
        raise KmsError(f"keyID is {size} bytes, which exceeds the max size of {KEY_ID_BYTES_MAX}")


def _encode_annotations(annotations: Mapping[str, bytes]) -> bytes:
    if not annotations:
        return b""
    for name in annotations:
        if len(name) > 253 or not _DOMAIN.fullmatch(name):
            raise KmsError(f"annotation {name!r} is no fully qualified domain name")
    size = sum(len(name) + len(value) for name, value in annotations.items())
    if size > ANNOTATIONS_BYTES_MAX:
        raise KmsError(
            f"total size of annotations is {size}, which exceeds the max size of "
            f"{ANNOTATIONS_BYTES_MAX}"
        )
    return orjson.dumps(
        {name: base64.b64encode(value).decode() for name, value in annotations.items()}
    )


def _decode_annotations(notes: bytes) -> dict[str, bytes]:
    if not notes:
        return {}
    try:
        return {name: base64.b64decode(value) for name, value in orjson.loads(notes).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise KmsError("its annotations can't be read") from error
