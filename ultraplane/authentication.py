"""What the API server is told of OpenID issuers: a file, or one made of the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ultraplane.config import AuthSection
from ultraplane.errors import UserError

_VERSION = "apiserver.config.k8s.io/v1"


class AuthenticationUseless(UserError):
    """The issuers cannot be understood; the message says why. Nothing was started."""


def authentication_document(auth: AuthSection) -> dict[str, Any]:
    """Return the AuthenticationConfiguration that is in force, {} for none.

    Raises:
        AuthenticationUseless: a file cannot be read, or holds something else.
    """
    if auth.authentication_config is not None:
        path = auth.authentication_config
        try:
            document = yaml.safe_load(_read("authentication_config", path))
        except yaml.YAMLError as error:
            text = f"auth.authentication_config {path} is no YAML: {error}"
            raise AuthenticationUseless(text) from error
        if not isinstance(document, dict):
            raise AuthenticationUseless(f"auth.authentication_config {path} holds no object")
        return document
    if auth.oidc_issuer_url is None:
        return {}
    mappings: dict[str, Any] = {
        "username": {"claim": auth.oidc_username_claim, "prefix": _username_prefix(auth)}
    }
    if auth.oidc_groups_claim is not None:
        groups = {"claim": auth.oidc_groups_claim, "prefix": auth.oidc_groups_prefix}
        mappings["groups"] = groups
    issuer = {"url": auth.oidc_issuer_url, "audiences": [auth.oidc_client_id]}
    if auth.oidc_ca_file is not None:
        issuer["certificateAuthority"] = _read("oidc_ca_file", auth.oidc_ca_file)
    rules = [
        {"claim": claim, "requiredValue": value}
        for claim, value in auth.oidc_required_claims.items()
    ]
    entry = {"issuer": issuer, "claimMappings": mappings, "claimValidationRules": rules}
    return {"kind": "AuthenticationConfiguration", "apiVersion": _VERSION, "jwt": [entry]}


def _username_prefix(auth: AuthSection) -> str:
    prefix = auth.oidc_username_prefix
    if prefix is None:
        return "" if auth.oidc_username_claim == "email" else f"{auth.oidc_issuer_url}#"
    return "" if prefix == "-" else prefix


def _read(name: str, path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise AuthenticationUseless(f"auth.{name} {path} cannot be read: {error}") from error
