"""Signs certificate requests with the cluster's CA."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

_YEAR_S: Final = 365 * 24 * 3600
_BACKDATED_S: Final = 300
"""Clocks differ: a new certificate should be good at once everywhere."""
_EXTENDED: Final = {
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
}


class CertificateAuthority:
    """The cluster's CA.

    Raises (at making):
        ValueError: certificate or key cannot be read.
    """

    def __init__(self, certificate_pem: bytes, key_pem: bytes) -> None:
        self._certificate = x509.load_pem_x509_certificate(certificate_pem)
        key = load_pem_private_key(key_pem, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise ValueError("the CA's key is neither RSA nor of an elliptic curve")  # noqa: TRY004
        self._key = key

    def sign(
        self,
        request: x509.CertificateSigningRequest,
        usages: Iterable[str],
        lifetime_s: int | None,
        now_s: float,
    ) -> bytes:
        """Return a certificate (PEM) for a request that was looked at.

        Args:
            request: whose subject, names and key it is for.
            usages: of the key, in upstream's words.
            lifetime_s: how long it should hold, a year at most; None is a year.
            now_s: the time.
        """
        wanted_s = min(lifetime_s or _YEAR_S, _YEAR_S)
        now = datetime.datetime.fromtimestamp(now_s, datetime.UTC)
        begins = now - datetime.timedelta(seconds=_BACKDATED_S)
        ends = min(
            now + datetime.timedelta(seconds=wanted_s), self._certificate.not_valid_after_utc
        )
        used = frozenset(usages)
        builder = (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .issuer_name(self._certificate.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(used), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        extended = [oid for usage, oid in _EXTENDED.items() if usage in used]
        if extended:
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
        try:
            names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            pass
        else:
            builder = builder.add_extension(names.value, critical=names.critical)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _key_usage(used: frozenset[str]) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature="digital signature" in used,
        key_encipherment="key encipherment" in used,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
