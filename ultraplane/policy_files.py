"""What the API server is told by files that people write in upstream's formats.

OpenID issuers, which may be named by settings instead, the audit policy, and what admission plugins
are told.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ultraplane.access_config import AdmissionSection, AuditSection, AuthSection
from ultraplane.errors import UserError

_VERSION = "apiserver.config.k8s.io/v1"


class DocumentUseless(UserError):
    """A file cannot be understood; the message says which and why. Nothing was started."""


def authentication_document(auth: AuthSection) -> dict[str, Any]:
    """Return the AuthenticationConfiguration that is in force, {} for none.

    Raises:
        DocumentUseless: a file cannot be read, or holds something else.
    """
    if auth.authentication_config is not None:
        return _document("auth.authentication_config", auth.authentication_config)
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
        issuer["certificateAuthority"] = _read("auth.oidc_ca_file", auth.oidc_ca_file)
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


def authorization_document(auth: AuthSection) -> dict[str, Any]:
    """Return the AuthorizationConfiguration that is in force.

    Raises:
        DocumentUseless: the file cannot be read, or holds something else.
    """
    if auth.authorization_config is not None:
        return _document("auth.authorization_config", auth.authorization_config)
    modes = auth.authorization_mode
    if not modes:
        modes = ("Node", "RBAC")
        if auth.authorization_webhook_config_file is not None:
            modes += ("Webhook",)
    authorizers = [_authorizer(mode, auth) for mode in modes]
    return {
        "kind": "AuthorizationConfiguration",
        "apiVersion": _VERSION,
        "authorizers": authorizers,
    }


def _authorizer(mode: str, auth: AuthSection) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": mode, "name": mode.lower()}
    if mode == "Webhook":
        entry["webhook"] = {
            "timeout": "10s",
            "subjectAccessReviewVersion": "v1",
            "failurePolicy": "NoOpinion",
            "connectionInfo": {
                "type": "KubeConfigFile",
                "kubeConfigFile": str(auth.authorization_webhook_config_file),
            },
        }
    return entry


def audit_policy(audit: AuditSection) -> dict[str, Any]:
    """Return the audit policy that is in force, {} for none.

    Raises:
        DocumentUseless: the file cannot be read, or holds something else.
    """
    if audit.policy_file is None or audit.log_path is None:
        return {}
    return _document("audit.policy_file", audit.policy_file)


def plugin_configurations(admission: AdmissionSection) -> dict[str, dict[str, Any]]:
    """Return what plugins are told by the AdmissionConfiguration that is in force, by their names.

    Raises:
        DocumentUseless: a file cannot be read, or holds something else.
    """
    path = admission.control_config_file
    if path is None:
        return {}
    name = "admission.control_config_file"
    plugins = _document(name, path).get("plugins") or []
    if not isinstance(plugins, list) or not all(isinstance(one, dict) for one in plugins):
        raise DocumentUseless(f"{name} {path}: plugins must be a list of objects")
    found = {}
    for plugin in plugins:
        known = str(plugin.get("name"))
        file = path
        configuration = plugin.get("configuration") or {}
        if plugin.get("path"):
            file = path.parent / str(plugin["path"])
            configuration = _document(f"{name}: {known}", file)
        if not isinstance(configuration, dict):
            raise DocumentUseless(f"{name} {path}: the configuration of {known} is no object")
        found[known] = _with_absolute_paths(configuration, file.parent)
    return found


def _with_absolute_paths(configuration: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Return a configuration whose kubeconfig is not named relative to its file any more."""
    policy = configuration.get("imagePolicy")
    if not isinstance(policy, dict) or not isinstance(policy.get("kubeConfigFile"), str):
        return configuration
    file = str(directory / policy["kubeConfigFile"])
    return {**configuration, "imagePolicy": {**policy, "kubeConfigFile": file}}


def _document(name: str, path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(_read(name, path))
    except yaml.YAMLError as error:
        raise DocumentUseless(f"{name} {path} is no YAML: {error}") from error
    if not isinstance(document, dict):
        raise DocumentUseless(f"{name} {path} holds no object")
    return document


def _read(name: str, path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise DocumentUseless(f"{name} {path} cannot be read: {error}") from error
