"""The keys of service account tokens: one that signs, and all whose signatures are taken.

To change the signing key, the old one stays among those that are taken until its last token has
expired; a token names its key by `kid`, the hash of the public key, as upstream's do.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

_PEM: Final = re.compile(rb"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)
_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_USED: Final = ("alg", "crv", "e", "kid", "kty", "n", "use", "x", "y")
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class KeyUseless(ValueError):
    """A file holds no key that tokens can be signed or checked with."""


@dataclass(frozen=True, slots=True)
class CheckingKey:
    """A public key.

    Attributes:
        kid: its name in tokens.
        algorithm: what it signs by.
    """

    kid: str
    algorithm: str
    key: PublicKey

    def as_jwk(self) -> dict[str, Any]:
        """Return the key as /openid/v1/jwks shows it."""
        kind = jwt.get_algorithm_by_name(self.algorithm)
        shown: dict[str, Any] = dict(kind.to_jwk(self.key, as_dict=True))
        shown |= {"use": "sig", "kid": self.kid, "alg": self.algorithm}
        return {name: shown[name] for name in sorted(shown) if name in _USED}


def checking_key(key: Any) -> CheckingKey:
    """Return a public key with its name and algorithm.

    Raises:
        KeyUseless: it is of a kind that tokens are not signed with.
    """
    if isinstance(key, rsa.RSAPublicKey):
        algorithm = "RS256"
    elif isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        algorithm = _CURVES[key.curve.name]
    else:
        raise KeyUseless("neither an RSA key nor one of P-256, P-384 or P-521")
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    kid = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
    return CheckingKey(kid, algorithm, key)


def read_checking_keys(pem: bytes) -> list[CheckingKey]:
    """Return the public keys in a file, which may hold private ones as well.

    Raises:
        KeyUseless: it holds none, or one that is of no use.
    """
    keys = []
    for match in _PEM.finditer(pem):
        if b"PARAMETERS" in match[1]:
            continue
        try:
            if b"PRIVATE" in match[1]:
                keys.append(checking_key(load_pem_private_key(match[0], None).public_key()))
            else:
                keys.append(checking_key(load_pem_public_key(match[0])))
        except (ValueError, TypeError) as error:
            raise KeyUseless(str(error)) from error
    if not keys:
        raise KeyUseless("no PEM blocks of keys")
    return keys


class SigningKeys:
    """The key that signs, and those whose signatures are taken."""

    def __init__(self, signing_pem: bytes, more: Iterable[bytes] = ()) -> None:
        self._pem = signing_pem
        self.signing = read_checking_keys(signing_pem)[0]
        known = [self.signing, *(key for pem in more for key in read_checking_keys(pem))]
        self._by_kid = {key.kid: key for key in known}

    def sign(self, claims: dict[str, Any]) -> str:
        """Return a token of claims."""
        headers = {"kid": self.signing.kid}
        return jwt.encode(claims, self._pem, self.signing.algorithm, headers=headers)

    def verify(self, token: str, issuer: str) -> dict[str, Any] | None:
        """Return the claims of a token that one of the keys signed; times are not looked at."""
        try:
            kid = jwt.get_unverified_header(token).get("kid")
        except jwt.InvalidTokenError:
            return None
        named = self._by_kid.get(kid) if isinstance(kid, str) else None
        for key in self._by_kid.values() if named is None else (named,):
            try:
                claims: dict[str, Any] = jwt.decode(
                    token,
                    key.key,
                    algorithms=[key.algorithm],
                    issuer=issuer,
                    options={
                        "verify_aud": False,
                        "verify_exp": False,
                        "verify_nbf": False,
                        "verify_iat": False,
                    },
                )
            except jwt.InvalidTokenError:
                continue
            return claims
        return None

    def jwks(self) -> dict[str, Any]:
        """Return all keys, as /openid/v1/jwks shows them."""
        return {"keys": [key.as_jwk() for key in self._by_kid.values()]}
