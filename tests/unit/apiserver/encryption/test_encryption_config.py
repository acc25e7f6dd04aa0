"""An EncryptionConfiguration is taken and refused as upstream does it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from apiserver.encryption.errors import EncryptionConfigError
from apiserver.encryption.sealers import ConfiguredSealers, build_sealers, load_sealers
from storage.errors import SealBroken

KEY32 = base64.b64encode(b"k" * 32).decode()
GCM = {"aesgcm": {"keys": [{"name": "one", "secret": KEY32}]}}
IDENTITY: dict[str, Any] = {"identity": {}}


def rule(*resources: str, providers: Any = (GCM,)) -> dict[str, Any]:
    return {"resources": list(resources), "providers": list(providers)}


def text(*rules: Any, **changes: Any) -> bytes:
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": list(rules),
        **changes,
    }
    return yaml.safe_dump(document).encode()


def build(*rules: Any) -> ConfiguredSealers:
    return build_sealers(text(*rules), "file", lambda: 0.0)


def refusal(content: bytes) -> str:
    with pytest.raises(EncryptionConfigError) as refused:
        build_sealers(content, "file", lambda: 0.0)
    assert KEY32 not in str(refused.value)
    return str(refused.value)


def keys(kind: str, name: str = "one", secret: str = KEY32) -> dict[str, Any]:
    return {kind: {"keys": [{"name": name, "secret": secret}]}}


def kms(**changes: Any) -> dict[str, Any]:
    return {"kms": {"apiVersion": "v2", "name": "own", "endpoint": "file:///k", **changes}}


@pytest.mark.parametrize(
    ("provider", "message"),
    [
        ({}, ".providers[0]: Invalid value: provider does not contain any of the expected"),
        ({**GCM, **IDENTITY}, "Invalid value: more than one provider specified in a single"),
        ({"aesgcm": {"keys": []}}, ".aesgcm.keys: Required value: at least one keys is required"),
        (keys("aesgcm", name=""), ".keys[0].name: Required value: name is a mandatory field for"),
        (keys("aesgcm", secret=""), ".keys[0].secret: Required value: secret is a mandatory"),
        (keys("aesgcm", secret="?"), 'Invalid value: "REDACTED": secrets must be base64 encoded'),
        (
            keys("aesgcm", secret="YQ=="),
            "secret is not of the expected length, got 1, expected one of [16 24 32]",
        ),
        (keys("secretbox", secret="YQ=="), "got 1, expected one of [32]"),
        (kms(name=""), ".kms.name: Required value: name is a mandatory field for a provider"),
        (kms(name="a:b"), "invalid KMS provider name a:b, must not contain ':'"),
        (kms(timeout="0s"), '.kms.timeout: Invalid value: "0s": timeout should be a positive'),
        (kms(endpoint=""), '.kms.endpoint: Invalid value: "": endpoint is a mandatory field'),
        (kms(endpoint="http://a"), 'unsupported scheme "http" for KMS provider, only unix is'),
        (kms(cachesize=3), ".kms.cachesize: Invalid value: 3: cachesize is not supported in v2"),
        (kms(apiVersion="v3"), '.kms.apiVersion: Invalid value: "v3": unsupported apiVersion'),
        (kms(apiVersion="v1", cachesize=0), "cachesize should be a positive value, or negative"),
        (kms(apiVersion="v1"), "KMSv1 is deprecated and will only receive security updates"),
        (kms(endpoint="unix:///s"), "KMS plugins behind a socket (gRPC) are not supported"),
        (kms(endpoint="file://host/k"), "a file of keys is named as file:///path"),
    ],
)
def test_a_provider_is_refused_in_upstreams_words(provider: Any, message: str) -> None:
    assert message in refusal(text(rule("secrets", providers=[provider])))


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ([], "resources[0].resources: Required value: at least one resources[0].resources is"),
        (["Secrets"], '"Secrets": resource name should not contain capital letters'),
        (["*"], "use '*.' to encrypt all the resources from core API group or *.* to encrypt all"),
        (["serviceipallocations"], "resources which do not have REST API/s cannot be encrypted"),
        (["*.events.k8s.io"], "objects are stored using the 'events' API group in etcd"),
        (["foo.extensions"], "'extensions' group has been removed and cannot be used for"),
        (["secrets.*"], "encrypting the same resource across groups is not supported"),
        (["a", "a"], '["a","a"]: the same resource cannot be specified multiple times'),
        (["secrets", "*."], "using overlapping resources such as 'secrets' and '*.' in the same"),
        (["*.*", "secrets"], "using overlapping resources"),
        (["*.apps", "deployments.apps"], "using overlapping resources"),
    ],
)
def test_resources_are_refused_in_upstreams_words(resources: list[str], message: str) -> None:
    assert message in refusal(text(rule(*resources)))


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("*.", "secrets", 'resource "secrets" is masked by earlier rule "*."'),
        ("*.", "*.", 'resource "*." is masked by earlier rule "*."'),
        ("*.foo", "*.foo", 'resource "*.foo" is masked by earlier rule "*.foo"'),
        ("*.foo", "a.foo", 'resource "a.foo" is masked by earlier rule "*.foo"'),
        ("*.*", "secrets", 'resource "secrets" is masked by earlier rule "*.*"'),
        ("*.*", "*.*", 'resource "*.*" is masked by earlier rule "*.*"'),
    ],
)
def test_a_rule_behind_a_wildcard_of_its_own_is_refused(
    first: str, second: str, message: str
) -> None:
    assert message in refusal(text(rule(first), rule(second)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b" ", 'encryption provider configuration file "file" is empty'),
        (b"a: [", 'error decoding encryption provider configuration file "file": yaml:'),
        (b"- 1", "it is no object"),
        (text(kind="Other"), 'no kind "Other" is registered for version "apiserver.config.k8s.io'),
        (text(apiVersion="v1"), 'registered for version "v1"'),
        (text(kind=""), "kind is missing"),
        (text(), "resources: Required value: at least one resources is required"),
        (text(resources=3), "resources must be a list"),
        (text(rule("a"), more=1), 'strict decoding error: unknown field "more"'),
        (
            text(rule("a", providers=[kms(pandas="are the best")])),
            'strict decoding error: unknown field "resources[0].providers[0].kms.pandas"',
        ),
        (text(rule("a", providers=[])), "resources[0].providers: Required value: at least one"),
        (text(rule("a")) + b"kind: EncryptionConfiguration\n", "strict decoding error: yaml:"),
        (text(rule(*(f"r{i}" for i in range(2001)))), "there are more than 2000 resources"),
    ],
)
def test_a_document_is_refused_that_is_not_what_it_should_be(content: bytes, message: str) -> None:
    assert message in refusal(content)


def test_two_services_of_one_name_are_refused() -> None:
    content = text(rule("a", providers=[kms()]), rule("b", providers=[kms()]))
    assert "duplicate KMS provider name own, names must be unique" in refusal(content)


def test_a_resource_is_looked_up_by_name_then_group_then_any() -> None:
    sealers = build(
        rule("events", providers=[IDENTITY]),
        rule("deployments.apps", providers=[keys("aesgcm", "exact")]),
        rule("*.apps", providers=[keys("aesgcm", "group")]),
        rule("*.*", providers=[keys("aesgcm", "any")]),
    )
    assert sealers.writer("events") is None
    for resource, name in (
        ("apps/deployments", b"exact"),
        ("apps/replicasets", b"group"),
        ("secrets", b"any"),
        ("example.com/pandas", b"any"),
    ):
        sealer = sealers.writer(resource)
        assert sealer is not None
        assert b"aesgcm:v1:" + name in sealer.seal(b"", b"")


def test_the_core_wildcard_means_the_core_group_alone() -> None:
    sealers = build(rule("*."))
    assert sealers.writer("secrets") is not None
    assert sealers.writer("apps/deployments") is None
    assert sealers.reader("apps/deployments") is None
    assert sealers.reads_plain("apps/deployments")


def test_the_first_provider_writes_and_all_read() -> None:
    old, new = keys("aesgcm", "old"), keys("aesgcm", "new")
    before = build(rule("secrets", providers=[old, new, IDENTITY]))
    after = build(rule("secrets", providers=[new, old]))
    writer, reader = before.writer("secrets"), after.reader("secrets")
    assert writer is not None
    assert reader is not None
    sealed = writer.seal(b"plain", b"")
    assert b"aesgcm:v1:old" in sealed
    assert reader.open(sealed, b"") == b"plain"
    assert before.reads_plain("secrets")
    assert not after.reads_plain("secrets")


def test_what_is_written_in_the_clear_is_read_sealed_too() -> None:
    sealed = build(rule("secrets"))
    writer = sealed.writer("secrets")
    assert writer is not None
    turned_off = build(rule("secrets", providers=[IDENTITY, GCM]))
    assert turned_off.writer("secrets") is None
    reader = turned_off.reader("secrets")
    assert reader is not None
    assert reader.open(writer.seal(b"plain", b""), b"") == b"plain"
    checkpoint = sealed.checkpoints.seal(b"whole", b"")
    assert turned_off.checkpoints.open(checkpoint, b"") == b"whole"
    assert turned_off.checkpoints.seal(b"whole", b"") == b"\0whole"
    assert turned_off.reads_plain_checkpoints


def test_checkpoints_are_sealed_by_the_first_key_that_writes_and_opened_by_any() -> None:
    one = build(
        rule("events", providers=[IDENTITY]),
        rule("secrets", providers=[keys("aesgcm", "one"), IDENTITY]),
        rule("configmaps", providers=[keys("aesgcm", "two")]),
    )
    sealed = one.checkpoints.seal(b"whole", b"")
    assert b"aesgcm:v1:one" in sealed
    assert not one.reads_plain_checkpoints
    other = build(rule("configmaps", providers=[keys("aesgcm", "two"), keys("aesgcm", "one")]))
    assert other.checkpoints.open(sealed, b"") == b"whole"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_file_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "config"
    path.write_bytes(text(rule("secrets")))
    path.chmod(mode)
    with pytest.raises(EncryptionConfigError, match="open to others"):
        load_sealers(path, lambda: 0.0)
    path.chmod(0o600)
    assert load_sealers(path, lambda: 0.0).writer("secrets") is not None


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EncryptionConfigError, match="is no file"):
        load_sealers(tmp_path, lambda: 0.0)
    with pytest.raises(EncryptionConfigError, match="cannot be read"):
        load_sealers(tmp_path / "none", lambda: 0.0)


def test_what_is_done_is_counted_under_upstreams_names() -> None:
    sealers = build(rule("secrets.example.com"))
    writer = sealers.writer("example.com/secrets")
    assert writer is not None
    sealed = writer.seal(b"plain", b"")
    writer.open(sealed, b"")
    with pytest.raises(SealBroken):
        writer.open(sealed, b"elsewhere")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in sealers.collect()
        for sample in family.samples
    }
    name = "apiserver_storage_transformation_operations_total"
    prefix = "k8s:enc:aesgcm:v1:"
    assert samples[name, "secrets.example.com", "to_storage", prefix, "OK"] == 1
    assert samples[name, "secrets.example.com", "from_storage", prefix, "OK"] == 1
    assert samples[name, "secrets.example.com", "from_storage", prefix, "unknown-non-grpc"] == 1
    duration = "apiserver_storage_transformation_duration_seconds_count"
    assert samples[duration, "to_storage", prefix] == 1


@pytest.mark.parametrize("kind", ["aesgcm", "aescbc", "secretbox"])
def test_a_key_of_any_kind_seals_and_opens_by_its_kind_and_name_alone(kind: str) -> None:
    def sealer(name: str, of: str) -> Any:
        content = text(rule("secrets", providers=[keys(of, name)]))
        return build_sealers(content, "file", lambda: 0.0).reader("secrets")

    sealed = sealer("one", kind).seal(b"plain", b"context")
    assert b"plain" not in sealed
    assert f"{kind}:v1:one".encode() in sealed
    assert sealer("one", kind).open(sealed, b"context") == b"plain"
    for name, of in (("two", kind), ("one", "aesgcm" if kind != "aesgcm" else "aescbc")):
        with pytest.raises(SealBroken, match=f"it is sealed with {kind} key 'one'"):
            sealer(name, of).open(sealed, b"context")
