"""What can go wrong with encryption at rest, named for what the operator does next."""

from __future__ import annotations


class EncryptionConfigError(ValueError):
    """The configuration of encryption is of no use; nothing was started, nothing was written."""


class KmsError(Exception):
    """A key management service has not done what it was asked; to be tried again later."""
