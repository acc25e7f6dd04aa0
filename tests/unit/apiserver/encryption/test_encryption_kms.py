"""A key management service wraps seeds, rotates by itself, and may fail for a while."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from apiserver.encryption.errors import EncryptionConfigError, KmsError
from apiserver.encryption.kms import (
    SEEDS_MAX,
    STATUS_INTERVAL_S,
    STATUS_RETRY_S,
    WRITE_TTL_S,
    KmsKeys,
    KmsStatus,
    LocalKms,
    Wrapped,
    read_keys,
)
from storage.envelope import Envelope
from storage.errors import JournalUnavailable, SealBroken, SealUnavailable
from storage.seal_head import parse_head


class FakeKms:
    """A service that wraps by writing backwards, and does what the test says."""

    def __init__(self) -> None:
        self.state = KmsStatus("v2", "ok", "key-1")
        self.annotations: dict[str, bytes] = {"a.example.com": b"\xff"}
        self.wraps_with = ""
        self.is_away = False
        self.calls: list[str] = []

    def status(self) -> KmsStatus:
        self.calls.append("status")
        if self.is_away:
            raise KmsError("it is away")
        return self.state

    def encrypt(self, _uid: str, plaintext: bytes) -> Wrapped:
        self.calls.append("encrypt")
        return Wrapped(plaintext[::-1], self.wraps_with or self.state.key_id, self.annotations)

    def decrypt(self, _uid: str, wrapped: Wrapped) -> bytes:
        self.calls.append("decrypt")
        if self.is_away or wrapped.annotations != self.annotations:
            raise KmsError("it is away")
        return wrapped.ciphertext[::-1]


class Clock:
    """A time that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic_s(self) -> float:
        return self.now_s


def make(service: FakeKms, clock: Clock) -> tuple[KmsKeys, Envelope]:
    source = KmsKeys("own", service, clock.monotonic_s)
    return source, Envelope([source])


def test_a_seed_is_wrapped_once_and_unwrapped_once_by_each_who_reads() -> None:
    service, clock = FakeKms(), Clock()
    _, writer = make(service, clock)
    sealed = [writer.seal(b"%d" % i, b"") for i in range(5)]
    assert service.calls == ["status", "encrypt"]
    assert [writer.open(one, b"") for one in sealed] == [b"0", b"1", b"2", b"3", b"4"]
    assert service.calls == ["status", "encrypt"]
    source, reader = make(service, clock)
    assert [reader.open(one, b"") for one in sealed] == [b"0", b"1", b"2", b"3", b"4"]
    assert service.calls == ["status", "encrypt", "decrypt"]
    assert source.cache_misses == 1


def test_a_new_key_id_makes_a_new_seed_and_the_old_one_is_read() -> None:
    service, clock = FakeKms(), Clock()
    _, sealer = make(service, clock)
    before = sealer.seal(b"plain", b"")
    service.state = service.state._replace(key_id="key-2")
    assert parse_head(sealer.seal(b"", b""))[0].key_id == "key-1"
    clock.now_s += STATUS_INTERVAL_S
    assert parse_head(sealer.seal(b"", b""))[0].key_id == "key-2"
    assert sealer.open(before, b"") == b"plain"


def test_a_service_that_fails_is_coasted_on_and_then_nothing_is_sealed() -> None:
    service, clock = FakeKms(), Clock()
    source, sealer = make(service, clock)
    sealed = sealer.seal(b"plain", b"")
    service.is_away = True
    clock.now_s += WRITE_TTL_S
    sealer.seal(b"plain", b"")
    assert source.check() == "kmsv2 Provider own is not healthy, error: it is away"
    clock.now_s += 1
    with pytest.raises(SealUnavailable, match="nothing was written: kmsv2 Provider own is not"):
        sealer.seal(b"plain", b"")
    assert issubclass(SealUnavailable, JournalUnavailable)
    assert sealer.open(sealed, b"") == b"plain"
    service.is_away = False
    clock.now_s += STATUS_RETRY_S
    assert sealer.open(sealer.seal(b"plain", b""), b"") == b"plain"


def test_a_service_that_is_away_at_first_seals_nothing_and_is_asked_now_and_then() -> None:
    service, clock = FakeKms(), Clock()
    service.is_away = True
    _, sealer = make(service, clock)
    for _ in range(100):
        with pytest.raises(SealUnavailable):
            sealer.seal(b"plain", b"")
    assert service.calls == ["status"]


def test_what_a_service_that_is_away_wrapped_is_refused_with_its_key_id() -> None:
    service, clock = FakeKms(), Clock()
    sealed = make(service, clock)[1].seal(b"plain", b"")
    service.is_away = True
    with pytest.raises(SealBroken, match="key id 'key-1' of kms provider 'own', and it is away"):
        make(service, clock)[1].open(sealed, b"")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (KmsStatus("v2", "tired", "k"), "got unexpected healthz status: tired"),
        (KmsStatus("v3", "ok", "k"), "expected KMSv2 API version v2, got v3"),
        (KmsStatus("v2", "ok", ""), "keyID is empty"),
        (KmsStatus("v2", "ok", "k" * 1025), "keyID is 1025 bytes, which exceeds the max size of"),
        (KmsStatus("v2", "ok", "k"), "it wraps with 'other', and says 'k'"),
    ],
)
def test_a_service_that_breaks_the_rules_is_not_used(state: KmsStatus, message: str) -> None:
    service = FakeKms()
    service.state = state
    service.wraps_with = "other" if "wraps" in message else ""
    source, sealer = make(service, Clock())
    assert message in source.check()
    with pytest.raises(SealUnavailable):
        sealer.seal(b"plain", b"")


@pytest.mark.parametrize("annotations", [{"no-domain": b""}, {"a.b": b"x" * 33_000}])
def test_annotations_are_domain_names_and_bounded(annotations: dict[str, bytes]) -> None:
    service = FakeKms()
    service.annotations = annotations
    assert make(service, Clock())[0].check()


def test_unwrapped_seeds_are_kept_within_a_limit() -> None:
    service, clock = FakeKms(), Clock()
    source, reader = make(service, clock)
    for _ in range(SEEDS_MAX + 5):
        reader.open(make(service, clock)[1].seal(b"", b""), b"")
    assert len(source._seeds) == SEEDS_MAX


def key(byte: bytes) -> str:
    return base64.b64encode(byte * 32).decode()


def write(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def test_a_local_service_rotates_with_its_file(tmp_path: Path) -> None:
    clock = Clock()
    path = write(tmp_path / "kek", f"# keys\n\none {key(b'1')}\n")
    sealer = Envelope([KmsKeys("own", LocalKms(path), clock.monotonic_s)])
    before = sealer.seal(b"plain", b"")
    write(path, f"two {key(b'2')}\none {key(b'1')}  # the old one\n")
    clock.now_s += STATUS_INTERVAL_S
    after = sealer.seal(b"plain", b"")
    assert parse_head(after)[0].key_id == "two"
    another = Envelope([KmsKeys("own", LocalKms(path), clock.monotonic_s)])
    assert another.open(before, b"") == another.open(after, b"") == b"plain"
    write(path, f"one {key(b'x')}\n")
    third = Envelope([KmsKeys("own", LocalKms(path), clock.monotonic_s)])
    with pytest.raises(SealBroken, match=r"key 'one' in .* is another one than wrapped it"):
        third.open(before, b"")
    with pytest.raises(SealBroken, match="has no key 'two'"):
        third.open(after, b"")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no key"),
        ("one", "line 1: must be a key's id and the key in base64"),
        (f"a/b {key(b'1')}", "line 1: must be a key's id"),
        ("# c\none ?", "line 2: the key is no base64"),
        ("one YQ==", "line 1: a key has 32 bytes, not 1"),
        (f"one {key(b'1')}\none {key(b'1')}", "line 2: one is there twice"),
    ],
)
def test_a_file_of_keys_that_is_none_is_refused_without_telling_keys(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(EncryptionConfigError) as refused:
        read_keys(write(tmp_path / "kek", text))
    assert message in str(refused.value)
    assert key(b"1") not in str(refused.value)


def test_a_file_of_keys_open_to_others_is_refused_at_any_time(tmp_path: Path) -> None:
    clock = Clock()
    path = write(tmp_path / "kek", f"one {key(b'1')}\n")
    source = KmsKeys("own", LocalKms(path), clock.monotonic_s)
    assert source.check() == ""
    path.chmod(0o644)
    clock.now_s += STATUS_INTERVAL_S
    assert "open to others (mode 0644)" in source.check()
