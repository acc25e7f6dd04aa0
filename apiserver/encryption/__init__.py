"""Encryption at rest as upstream's EncryptionConfiguration describes it; see sealers.py."""
