"""Keys for the storage tests: everything, or some resources, sealed by one key."""

from __future__ import annotations

from storage.envelope import Envelope, StaticKey


class TestSealers:
    """Seals some resources with the first of some keys; opens with all of them."""

    __test__ = False

    def __init__(
        self,
        *keys: tuple[str, bytes],
        resources: tuple[str, ...] = ("secrets",),
        reads_plain: bool = False,
    ) -> None:
        sources = [StaticKey(f"aesgcm:v1:{name}", key) for name, key in keys]
        self.checkpoints = Envelope(sources, reads_plain=reads_plain)
        self.reads_plain_checkpoints = reads_plain
        self._resources = resources

    def writer(self, resource: str) -> Envelope | None:
        """See storage.sealing.Sealers."""
        return self.checkpoints if resource in self._resources else None

    def reader(self, resource: str) -> Envelope | None:
        """See storage.sealing.Sealers."""
        return self.writer(resource)

    def reads_plain(self, resource: str) -> bool:
        """See storage.sealing.Sealers."""
        return self.reads_plain_checkpoints or resource not in self._resources
