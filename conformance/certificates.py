"""Keys, requests and certificates that cases hand in, and serve with."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, in PEM."""

    certificate: bytes
    key: bytes
    not_before: datetime
    not_after: datetime

    @property
    def begins(self) -> str:
        """When it begins to hold, as the API writes times."""
        return _written(self.not_before)

    @property
    def refreshes(self) -> str:
        """When a new one should be asked for."""
        return _written(self.not_before + timedelta(minutes=15))

    @property
    def ends(self) -> str:
        """When it ends."""
        return _written(self.not_after)


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a new key."""
    return ec.generate_private_key(ec.SECP256R1())


def request_pem(common_name: str) -> bytes:
    """Return a certificate request for a name, in PEM."""
    return _request(common_name, new_key()).public_bytes(serialization.Encoding.PEM)


def empty_request_der(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a certificate request that asks for nothing, in DER: it proves who has the key."""
    request = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.DER)


def self_signed(
    common_name: str,
    *,
    host: str = "",
    key: ec.EllipticCurvePrivateKey | None = None,
    ca: bool = False,
) -> Pair:
    """Return a certificate that is valid for an hour, for a DNS name or an address `host`."""
    own = key or new_key()
    template = _template(common_name, own, host, ca=ca)
    return _pair(template.issuer_name(_name(common_name)), own, own)


def authority_and_server(host: str) -> tuple[bytes, Pair]:
    """Return the certificate of a new authority, and one that it gives to a server at `host`."""
    authority, own = new_key(), new_key()
    name = "e2e-server-cert-ca"
    template = _template(name, authority, "", ca=True).issuer_name(_name(name))
    root = _pair(template, authority, authority)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
    issued = _template(host, own, host, ca=False).issuer_name(_name(name))
    return root.certificate, _pair(issued.add_extension(identifier, critical=False), own, authority)


def _template(
    common_name: str, key: ec.EllipticCurvePrivateKey, host: str, *, ca: bool
) -> x509.CertificateBuilder:
    not_before = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
    public = key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_before + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    if ca:
        builder = builder.add_extension(_signs_certificates(), critical=True)
    else:
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(usage, critical=False)
    if host:
        names = x509.SubjectAlternativeName([_general_name(host)])
        builder = builder.add_extension(names, critical=False)
    return builder


def _signs_certificates() -> x509.KeyUsage:
    unused = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(key_cert_sign=True, crl_sign=True, **unused)


def _pair(
    builder: x509.CertificateBuilder,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
) -> Pair:
    certificate = builder.sign(signer, hashes.SHA256())
    return Pair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _request(common_name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateSigningRequest:
    names = x509.SubjectAlternativeName([x509.DNSName(common_name)])
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(_name(common_name))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
