"""From an EncryptionConfiguration to what seals and opens the objects of each resource.

The first provider of a resource writes, all of them read: that is how keys are rotated. A resource
is looked up by its name, then as one of its group ("*.group"), then as any ("*.*"); one that no
rule names is written in the clear, and sealed objects of it are refused.

Keys of all three kinds that upstream has in the file seal alike here: by the envelope, which does
what is asked of each, authenticates, and wears no key out (storage.envelope).

Checkpoints hold objects of all resources, so they are sealed as a whole: with the first key that
anything is written with, opened with any. When nothing is written sealed any more, nor are they.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from prometheus_client.core import Metric

from apiserver.encryption.config import Provider, decode_config
from apiserver.encryption.errors import EncryptionConfigError
from apiserver.encryption.kms import KmsKeys, LocalKms, read_keys
from apiserver.encryption.private_file import read_private
from apiserver.encryption.transformations import Transformations
from apiserver.encryption.validation import (
    ANY,
    GroupResource,
    masked,
    parse_group_resource,
    unsupported,
    validate,
)
from storage.envelope import Envelope, KeySource, StaticKey
from storage.sealing import Sealer

_CHECKPOINTS: Final = "checkpoints"
KINDS_WITH_KEYS: Final = ("aesgcm", "aescbc", "secretbox")


@dataclass(slots=True)
class _Rule:
    """What the providers of one resource come to."""

    sources: list[KeySource] = field(default_factory=list)
    writes_plain: bool = False
    reads_plain: bool = False

    def envelope(self, observe: Callable[[str, str, float | None], None]) -> Envelope:
        return Envelope(
            self.sources,
            writes_plain=self.writes_plain,
            reads_plain=self.reads_plain,
            observe=observe,
        )


class ConfiguredSealers:
    """`storage.sealing.Sealers` by configuration.

    Attributes:
        kms: its key management services.
        config_hash: of the file, as upstream tells it.
        transformations: what was sealed and opened.
    """

    def __init__(
        self, rules: dict[GroupResource, _Rule], kms: Sequence[KmsKeys], config_hash: str
    ) -> None:
        self.kms = tuple(kms)
        self.config_hash = config_hash
        self.transformations = Transformations()
        self._rules = rules
        self._envelopes: dict[str, Envelope | None] = {}
        writing = [rule for rule in rules.values() if not rule.writes_plain]
        first = writing[0].sources[:1] if writing else []
        others = [source for rule in rules.values() for source in rule.sources]
        self._reads_plain = all(rule.reads_plain for rule in writing)
        whole = _Rule([*first, *others], not writing, self._reads_plain)
        self._checkpoints = whole.envelope(partial(self.transformations.observe, _CHECKPOINTS))

    @property
    def checkpoints(self) -> Sealer:
        """See Sealers."""
        return self._checkpoints

    @property
    def reads_plain_checkpoints(self) -> bool:
        """See Sealers."""
        return self._reads_plain

    def writer(self, resource: str) -> Sealer | None:
        """See Sealers."""
        rule = self._rule(resource)
        if rule is None or rule.writes_plain:
            return None
        return self._envelope(resource)

    def reader(self, resource: str) -> Sealer | None:
        """See Sealers."""
        return self._envelope(resource)

    def reads_plain(self, resource: str) -> bool:
        """See Sealers."""
        rule = self._rule(resource)
        return rule is None or rule.reads_plain

    def unhealthy(self) -> str:
        """Return which key management services do not work, and why; "" if all do."""
        return "; ".join(filter(None, (kms.check() for kms in self.kms)))

    def collect(self) -> Iterable[Metric]:
        """Yield its metric families."""
        misses = sum(kms.cache_misses for kms in self.kms)
        return self.transformations.collect(self.config_hash, misses)

    def _rule(self, resource: str) -> _Rule | None:
        group, _, name = resource.rpartition("/")
        rules = self._rules
        for key in (GroupResource(group, name), GroupResource(group, "*"), ANY):
            if key in rules:
                return rules[key]
        return None

    def _envelope(self, resource: str) -> Envelope | None:
        try:
            return self._envelopes[resource]
        except KeyError:
            rule = self._rule(resource)
            envelope = None
            if rule is not None and rule.sources:
                envelope = rule.envelope(partial(self.transformations.observe, resource))
            self._envelopes[resource] = envelope
            return envelope


def load_sealers(path: Path, monotonic_s: Callable[[], float]) -> ConfiguredSealers:
    """Return what a configuration file describes.

    Raises:
        EncryptionConfigError: the file, or one of keys that it names, is of no use.
    """
    return build_sealers(read_private(path), str(path), monotonic_s)


def build_sealers(content: bytes, path: str, monotonic_s: Callable[[], float]) -> ConfiguredSealers:
    """Return what a configuration describes; see `load_sealers`."""
    rules = decode_config(content, path)
    errors = [str(error) for error in validate(rules)]
    if errors:
        told = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
        raise EncryptionConfigError(f"{path}: {told}")
    for fault in (masked(rules), unsupported(rules)):
        if fault:
            raise EncryptionConfigError(f"{path}: {fault}")
    built: dict[GroupResource, _Rule] = {}
    kms: list[KmsKeys] = []
    for rule in rules:
        sources = [_sources(provider, kms, monotonic_s) for provider in rule.providers]
        for name in rule.resources:
            one = built.get(parse_group_resource(name))
            if one is None:
                one = built[parse_group_resource(name)] = _Rule()
                one.writes_plain = rule.providers[0].identity
            for provider, found in zip(rule.providers, sources, strict=True):
                one.sources += found
                one.reads_plain |= provider.identity
    return ConfiguredSealers(built, kms, f"sha256:{hashlib.sha256(content).hexdigest()}")


def _sources(
    provider: Provider, kms: list[KmsKeys], monotonic_s: Callable[[], float]
) -> list[KeySource]:
    for kind in KINDS_WITH_KEYS:
        keys = getattr(provider, kind)
        if keys is not None:
            return [
                StaticKey(f"{kind}:v1:{key.name}", base64.b64decode(key.secret)) for key in keys
            ]
    if provider.kms is not None:
        key_path = Path(unquote(urlsplit(provider.kms.endpoint).path))
        # What is wrong with the file now is told at once, not by the first write.
        read_keys(key_path)
        found = KmsKeys(provider.kms.name, LocalKms(key_path), monotonic_s)
        kms.append(found)
        return [found]
    return []
