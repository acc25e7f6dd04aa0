"""What can be found wrong with a configuration before anything is started.

Else a part would find it, three times in a row, and say so in a traceback of its log.
"""

from __future__ import annotations

import csv
import ssl
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

from runtime.clock import SystemClock
from storage.partition_map import PartitionMap
from ultraplane.config import Config
from ultraplane.errors import UserError
from ultraplane.policy_files import (
    audit_policy,
    authentication_document,
    authorization_document,
    plugin_configurations,
)
from ultraplane.storage_config import StorageSection


class SettingUseless(UserError):
    """A setting is well formed and cannot be used; the message names it. Nothing was started."""


def check_settings(config: Config) -> None:
    """Look at what settings name: files, API groups, resources.

    Raises:
        SettingUseless: one of them is of no use.
    """
    server = config.server
    if server.tls_certificate_file and server.tls_key_file and server.tls_ca_file:
        _check_certificate(server.tls_certificate_file, server.tls_key_file)
        _check_authorities("server.tls_ca_file", server.tls_ca_file)
    if config.auth.client_ca_file is not None:
        _check_authorities("auth.client_ca_file", config.auth.client_ca_file)
    if config.auth.token_file is not None:
        _check_tokens(config.auth.token_file)
    _check_issuers(config)
    _check_audit(config)
    _check_admission(config)
    _check_authorizers(config)
    if server.runtime_config:
        _check_runtime_config(config)
    if config.storage.partitions != StorageSection().partitions:
        _check_partitions(config.storage.partitions)
    if config.fleet.instance_types:
        _check_instance_types(config.fleet.instance_types)
    _check_limits(config)


def read_encryption(path: Path) -> bytes:
    """Return the content of an encryption provider configuration that can be used.

    Raises:
        SettingUseless: it can't: the file, what it says, or a key.
    """
    # Ciphers take time to load, and few set this.
    from apiserver.encryption.errors import EncryptionConfigError  # noqa: PLC0415
    from apiserver.encryption.private_file import read_private  # noqa: PLC0415
    from apiserver.encryption.sealers import build_sealers  # noqa: PLC0415

    try:
        content = read_private(path)
        unhealthy = build_sealers(content, str(path), SystemClock().monotonic_s).unhealthy()
    except EncryptionConfigError as error:
        raise SettingUseless(f"storage.encryption_provider_config: {error}") from error
    if unhealthy:
        raise SettingUseless(f"storage.encryption_provider_config: {path}: {unhealthy}")
    return content


def _check_certificate(certificate: Path, key: Path) -> None:
    for name, path in (("certificate", certificate), ("key", key)):
        _read(f"server.tls_{name}_file", path)
    try:
        # A key with a password fails at once: nobody is there to type it.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, lambda: b"")
    except (ssl.SSLError, ValueError) as error:
        raise SettingUseless(
            f"server.tls_certificate_file {certificate} and server.tls_key_file {key} are no "
            f"certificate and its key without a password: {error}"
        ) from error


def _check_authorities(name: str, path: Path) -> None:
    _read(name, path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError as error:
        raise SettingUseless(f"{name} {path} holds no certificates (PEM): {error}") from error


def _check_tokens(path: Path) -> None:
    _read("auth.token_file", path)
    # What reads it takes time to load, and few set this.
    from apiserver.authn import TokenFileError, read_token_file  # noqa: PLC0415

    try:
        read_token_file(path)
    except TokenFileError as error:
        raise SettingUseless(f"auth.token_file {error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise SettingUseless(f"auth.token_file {path} is no CSV in UTF-8: {error}") from error


def _check_issuers(config: Config) -> None:
    document = authentication_document(config.auth)
    for path in config.auth.service_account_key_files:
        _check_signing_key(path)
    if not document:
        return
    # As above.
    from apiserver.config_reader import ConfigurationUseless  # noqa: PLC0415
    from apiserver.oidc.config import parse_configuration  # noqa: PLC0415

    try:
        parse_configuration(document)
    except ConfigurationUseless as error:
        name = "auth.authentication_config"
        if config.auth.authentication_config is None:
            name = "auth.oidc_*"
        raise SettingUseless(f"{name}: {error}") from error


def _check_authorizers(config: Config) -> None:
    auth = config.auth
    file, modes = auth.authorization_config, auth.authorization_mode
    if file is None and not modes and auth.authorization_webhook_config_file is None:
        return
    # As above.
    from apiserver.authorization.config import parse_configuration  # noqa: PLC0415
    from apiserver.config_reader import ConfigurationUseless  # noqa: PLC0415
    from kube.access import AccessError, read_access  # noqa: PLC0415

    name = "auth.authorization_mode" if file is None else "auth.authorization_config"
    try:
        for spec in parse_configuration(authorization_document(auth)):
            if spec.webhook is not None:
                read_access(spec.webhook.file)
    except (ConfigurationUseless, AccessError) as error:
        raise SettingUseless(f"{name}: {error}") from error


def _check_audit(config: Config) -> None:
    document = audit_policy(config.audit)
    if not document:
        return
    from apiserver.audit.policy import PolicyUseless, parse_policy  # noqa: PLC0415

    try:
        parse_policy(document)
    except PolicyUseless as error:
        path = config.audit.policy_file
        raise SettingUseless(f"audit.policy_file {path}: {error}") from error


def _check_admission(config: Config) -> None:
    admission = config.admission
    if not (admission.enable_plugins or admission.disable_plugins or admission.control_config_file):
        return
    from apiserver.admission.configurations import check_configurations  # noqa: PLC0415
    from apiserver.admission.names import UnknownPlugin, enabled  # noqa: PLC0415
    from apiserver.config_reader import ConfigurationUseless  # noqa: PLC0415

    try:
        wanted = enabled(admission.enable_plugins, admission.disable_plugins)
        check_configurations(wanted, plugin_configurations(admission))
    except (UnknownPlugin, ConfigurationUseless) as error:
        raise SettingUseless(f"admission: {error}") from error


def _check_signing_key(path: Path) -> None:
    content = _read("auth.service_account_key_files", path)
    from apiserver.signing_keys import KeyUseless, read_checking_keys  # noqa: PLC0415

    try:
        read_checking_keys(content)
    except KeyUseless as error:
        raise SettingUseless(f"auth.service_account_key_files {path}: {error}") from error


def _check_runtime_config(config: Config) -> None:
    # The table of kinds takes time to load, and few set this.
    from kube.builtin_kinds import builtin_registry  # noqa: PLC0415
    from kube.runtime_config import RuntimeConfigError  # noqa: PLC0415

    try:
        builtin_registry().enabled(config.server.runtime_config)
    except RuntimeConfigError as error:
        raise SettingUseless(f"server.runtime_config: {error}") from error


def _check_partitions(partitions: Mapping[str, tuple[str, ...]]) -> None:
    for name, resources in partitions.items():
        _check_resources(f"storage.partitions.{name}", resources)


def _check_resources(setting: str, resources: Iterable[str]) -> None:
    # As above; and the default map is made of what there is.
    from kube.builtin_kinds import builtin_registry  # noqa: PLC0415

    stored = {info.storage_resource for info in builtin_registry().all() if not info.virtual}
    for resource in resources:
        if resource not in stored:
            plural = resource.rpartition("/")[2]
            near = sorted(one for one in stored if one.rpartition("/")[2] == plural)
            near += get_close_matches(resource, stored, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise SettingUseless(f"{setting}: no resource {resource!r} is stored{hint}")


def _check_instance_types(types: Mapping[str, Mapping[str, str]]) -> None:
    # As above.
    from controllers.fleet.machines import resources_of  # noqa: PLC0415

    for name in types:
        try:
            resources_of(name, types)
        except (ValueError, KeyError) as error:
            raise SettingUseless(f"fleet.instance_types.{name}: {error}") from error


def _check_limits(config: Config) -> None:
    journal, storage = config.journal, config.storage
    if config.server.shutdown_delay_s >= config.supervisor.stop_timeout_s:
        raise SettingUseless(
            f"server.shutdown_delay_s {config.server.shutdown_delay_s:g} must be less than "
            f"supervisor.stop_timeout_s {config.supervisor.stop_timeout_s:g}, after which the "
            "process is killed"
        )
    # The stream of the partition map is small. The newest file of a stream is never trimmed.
    least_mib = 2 * journal.segment_mib * len(PartitionMap(storage.partitions).names)
    if 0 < journal.quota_log_mib < least_mib:
        raise SettingUseless(
            f"journal.quota_log_mib {journal.quota_log_mib} must be 0 or at least {least_mib}, as "
            "each partition keeps up to two files of journal.segment_mib"
        )
    if storage.quota_objects_of:
        _check_resources("storage.quota_objects_of", storage.quota_objects_of)


def _read(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingUseless(f"{name} {path} cannot be read: {error.strerror}") from error
