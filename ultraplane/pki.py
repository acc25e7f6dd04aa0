"""The cluster's certificates, keys and tokens: made once, kept, renewed before they expire.

In <data_dir>/pki (0700), every file 0600: ca, apiserver, admin, controllers, scheduler, fleet and
what the API server shows to kubelets as .crt and .key; a CA of its own with what it shows to
extension API servers, who are to believe nobody else of our CA that way; the service account key,
bearer tokens of the admin and of our parts, and two bundles made of ours and the configured ones:
client CAs and tokens. A leaf is made anew when it expires within `RENEW_DAYS`, was not signed by
the present CA, lacks a name, or does not belong to its key (a crash between writing the two).
"""

from __future__ import annotations

import datetime
import ipaddress
import re
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from runtime.clock import Clock
from ultraplane.errors import UserError
from ultraplane.files import private_directory, write_private

FRONT_PROXY: Final = "front-proxy-client"
"""Whom extension API servers believe when it says who asks."""
CA_DAYS: Final = 3650
LEAF_DAYS: Final = 365
RENEW_DAYS: Final = 30
_CLOCK_SKEW: Final = datetime.timedelta(hours=1)
_IN_CLUSTER_NAMES: Final = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
_LOOPBACK: Final = ("127.0.0.1", "::1")
_TOKEN: Final = re.compile(rb"[A-Za-z0-9._~+/-]{16,}=*")
# These listen everywhere, so nobody connects to them by that address.
_WILDCARDS: Final = ("0.0.0.0", "::")


class PkiError(UserError):
    """A configured certificate or token file is of no use; nothing was replaced."""


@dataclass(frozen=True, slots=True)
class PkiPlan:
    """What the certificates are to say.

    Attributes:
        bind: the server's address.
        service_cidr: its first address is the `kubernetes` Service's.
        extra_names: more names and addresses of the serving certificate.
        client_ca_file: another CA whose client certificates are accepted.
        token_file: more tokens, in upstream's CSV form.
    """

    bind: str
    service_cidr: str
    extra_names: tuple[str, ...] = ()
    client_ca_file: Path | None = None
    token_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Pki:
    """Where the files are."""

    ca_certificate: Path
    server_certificate: Path
    server_key: Path
    admin_certificate: Path
    admin_key: Path
    admin_token: Path
    controllers_certificate: Path
    controllers_key: Path
    controllers_token: Path
    fleet_certificate: Path
    fleet_key: Path
    fleet_token: Path
    scheduler_certificate: Path
    scheduler_key: Path
    scheduler_token: Path
    client_ca_bundle: Path
    token_bundle: Path
    service_account_key: Path
    kubelet_client_certificate: Path
    kubelet_client_key: Path
    front_proxy_ca: Path
    front_proxy_certificate: Path
    front_proxy_key: Path


@dataclass(frozen=True, slots=True)
class _Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class _Leaf:
    common_name: str
    organization: str | None
    usage: x509.ObjectIdentifier
    names: tuple[x509.GeneralName, ...]


def ensure_pki(directory: Path, plan: PkiPlan, clock: Clock) -> Pki:
    """Make what is missing or about to expire, keep the rest, and return where it is.

    Raises:
        PkiError: a configured CA or token file cannot be read.
        UnsafeDirectory: the directory is somebody else's.
    """
    private_directory(directory)
    now = datetime.datetime.fromtimestamp(clock.now_s(), datetime.UTC)
    pki = locate_pki(directory)
    authority = _ensure_authority(directory, "ca", now)
    server = _Leaf(
        "kube-apiserver", None, ExtendedKeyUsageOID.SERVER_AUTH, _general_names(server_names(plan))
    )
    client = ExtendedKeyUsageOID.CLIENT_AUTH
    admin = _Leaf("kubernetes-admin", "system:masters", client, ())
    # By upstream's name they have upstream's roles; controllers write as service accounts.
    controllers = _Leaf("system:kube-controller-manager", None, client, ())
    scheduler = _Leaf("system:kube-scheduler", None, client, ())
    # All nodes at once, which no role of upstream's is for.
    fleet = _Leaf("ultraplane-fleet", "system:masters", client, ())
    # kubeadm's names. Kubelets ask the API server whether that user may do what it asks.
    kubelets = _Leaf("kube-apiserver-kubelet-client", "system:masters", client, ())
    for certificate, key, leaf in (
        (pki.server_certificate, pki.server_key, server),
        (pki.admin_certificate, pki.admin_key, admin),
        (pki.controllers_certificate, pki.controllers_key, controllers),
        (pki.scheduler_certificate, pki.scheduler_key, scheduler),
        (pki.fleet_certificate, pki.fleet_key, fleet),
        (pki.kubelet_client_certificate, pki.kubelet_client_key, kubelets),
    ):
        _ensure_leaf(certificate, key, leaf, authority, now)
    front = _ensure_authority(directory, "front-proxy-ca", now)
    proxy = _Leaf(FRONT_PROXY, None, client, ())
    _ensure_leaf(pki.front_proxy_certificate, pki.front_proxy_key, proxy, front, now)
    if _load_key(pki.service_account_key) is None:
        _write_key(pki.service_account_key, ec.generate_private_key(ec.SECP256R1()))
    owners = {
        pki.admin_token: admin,
        pki.controllers_token: controllers,
        pki.scheduler_token: scheduler,
        pki.fleet_token: fleet,
    }
    for token in owners:
        if not _is_token(token):
            write_private(token, secrets.token_urlsafe(32).encode())
    _write_bundles(pki, plan, owners)
    return pki


def server_names(plan: PkiPlan) -> list[str]:
    """Return the names and addresses that the serving certificate is to be valid for."""
    service_address = str(ipaddress.ip_network(plan.service_cidr)[1])
    names = [*_IN_CLUSTER_NAMES, *_LOOPBACK, service_address]
    host = socket.gethostname()
    if host and host.isascii():  # no certificate can hold another
        names.append(host)
    if plan.bind not in _WILDCARDS:
        names.append(plan.bind)
    return list(dict.fromkeys([*names, *plan.extra_names]))


def locate_pki(directory: Path) -> Pki:
    """Return where the files of a directory are, whether they exist or not."""
    return Pki(
        ca_certificate=directory / "ca.crt",
        server_certificate=directory / "apiserver.crt",
        server_key=directory / "apiserver.key",
        admin_certificate=directory / "admin.crt",
        admin_key=directory / "admin.key",
        admin_token=directory / "admin.token",
        controllers_certificate=directory / "controllers.crt",
        controllers_key=directory / "controllers.key",
        controllers_token=directory / "controllers.token",
        fleet_certificate=directory / "fleet.crt",
        fleet_key=directory / "fleet.key",
        fleet_token=directory / "fleet.token",
        scheduler_certificate=directory / "scheduler.crt",
        scheduler_key=directory / "scheduler.key",
        scheduler_token=directory / "scheduler.token",
        client_ca_bundle=directory / "client-ca.crt",
        token_bundle=directory / "tokens.csv",
        service_account_key=directory / "service-account.key",
        kubelet_client_certificate=directory / "apiserver-kubelet-client.crt",
        kubelet_client_key=directory / "apiserver-kubelet-client.key",
        front_proxy_ca=directory / "front-proxy-ca.crt",
        front_proxy_certificate=directory / "front-proxy-client.crt",
        front_proxy_key=directory / "front-proxy-client.key",
    )


def _general_names(names: Sequence[str]) -> tuple[x509.GeneralName, ...]:
    result: list[x509.GeneralName] = []
    for name in names:
        try:
            result.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            result.append(x509.DNSName(name))
    return tuple(result)


def _ensure_authority(directory: Path, stem: str, now: datetime.datetime) -> _Authority:
    certificate_path, key_path = directory / f"{stem}.crt", directory / f"{stem}.key"
    certificate, key = _load_certificate(certificate_path), _load_key(key_path)
    if certificate is not None and key is not None and _is_current(certificate, key, now):
        return _Authority(certificate, key)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"ultraplane-{stem}")])
    builder = (
        _certificate_builder(name, name, key, now, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
    )
    certificate = builder.sign(key, hashes.SHA256())
    _write_key(key_path, key)
    write_private(certificate_path, certificate.public_bytes(serialization.Encoding.PEM))
    return _Authority(certificate, key)


def _ensure_leaf(
    certificate_path: Path,
    key_path: Path,
    leaf: _Leaf,
    authority: _Authority,
    now: datetime.datetime,
) -> None:
    certificate, key = _load_certificate(certificate_path), _load_key(key_path)
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, leaf.common_name)]
    if leaf.organization is not None:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, leaf.organization))
    subject = x509.Name(parts)
    if (
        certificate is not None
        and key is not None
        and _is_current(certificate, key, now)
        and _is_signed_by(certificate, authority)
        and certificate.subject == subject
        and _names_of(certificate) == set(leaf.names)
    ):
        return
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate.subject
    builder = (
        _certificate_builder(subject, issuer, key, now, LEAF_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([leaf.usage]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
    )
    if leaf.names:
        builder = builder.add_extension(x509.SubjectAlternativeName(leaf.names), critical=False)
    certificate = builder.sign(authority.key, hashes.SHA256())
    _write_key(key_path, key)
    write_private(certificate_path, certificate.public_bytes(serialization.Encoding.PEM))


def _certificate_builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime.datetime,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _load_certificate(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey | None:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (FileNotFoundError, ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, ec.EllipticCurvePrivateKey) else None


def _is_token(path: Path) -> bool:
    """Whether a file holds what can stand in a header and in a line of the token file."""
    try:
        return _TOKEN.fullmatch(path.read_bytes()) is not None
    except FileNotFoundError:
        return False


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    content = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_private(path, content)


def _is_current(
    certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, now: datetime.datetime
) -> bool:
    renew_at = certificate.not_valid_after_utc - datetime.timedelta(days=RENEW_DAYS)
    in_time = certificate.not_valid_before_utc <= now < renew_at
    return in_time and certificate.public_key() == key.public_key()


def _is_signed_by(certificate: x509.Certificate, authority: _Authority) -> bool:
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _names_of(certificate: x509.Certificate) -> set[x509.GeneralName]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return set()
    return set(extension.value)


def _write_bundles(pki: Pki, plan: PkiPlan, owners: Mapping[Path, _Leaf]) -> None:
    authorities = pki.ca_certificate.read_bytes()
    if plan.client_ca_file is not None:
        extra = _read_configured(plan.client_ca_file)
        try:
            x509.load_pem_x509_certificates(extra)
        except ValueError as error:
            raise PkiError(f"auth.client_ca_file {plan.client_ca_file}: {error}") from error
        authorities += extra
    tokens = b""
    for token, owner in owners.items():
        name, groups = owner.common_name, owner.organization
        line = f"{token.read_text()},{name},{name}" + (f',"{groups}"' if groups else "")
        tokens += f"{line}\n".encode()
    if plan.token_file is not None:
        tokens += _read_configured(plan.token_file)
    write_private(pki.client_ca_bundle, authorities)
    write_private(pki.token_bundle, tokens)


def _read_configured(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PkiError(f"{path}: cannot be read: {error.strerror}") from error
