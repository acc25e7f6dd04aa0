"""Checks of volumes made of files with chosen paths: downward API and projected volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from apiserver.types.formats import is_dns1123_subdomain
from apiserver.types.meta import validate_label_selector
from apiserver.types.pods.env import check_field_selector, check_resource_selector
from apiserver.types.pods.paths import check_local_path, check_mode
from kube.field import OMITTED, FieldError, forbidden, invalid, not_supported, required
from kube.json_types import JsonObject

_VOLUME_FIELDS: Final = frozenset(
    {
        "metadata.name",
        "metadata.namespace",
        "metadata.labels",
        "metadata.annotations",
        "metadata.uid",
    }
)
_TOKEN_LIFE_S_MIN: Final = 600
_TOKEN_LIFE_S_MAX: Final = 1 << 32
_CERTIFICATE_LIFE_S_MIN: Final = 3_600
_CERTIFICATE_LIFE_S_MAX: Final = 91 * 86_400
_KEY_TYPES: Final = ("ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096")
_CERTIFICATE_PATHS: Final = ("credentialBundlePath", "keyPath", "certificateChainPath")
_CONFLICT: Final = "conflicting duplicate paths"


def check_key_paths(items: Sequence[JsonObject], path: str, errors: list[FieldError]) -> None:
    """Check which keys become which files."""
    for index, item in enumerate(items):
        where = f"{path}[{index}]"
        if not item.get("key"):
            errors.append(required(f"{where}.key"))
        target = item.get("path", "")
        if not target:
            errors.append(required(f"{where}.path"))
        check_local_path(target, f"{where}.path", errors)
        check_mode(item.get("mode"), f"{where}.mode", errors)


def check_downward(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check a downward API volume."""
    check_mode(source.get("defaultMode"), f"{path}.defaultMode", errors)
    for item in source.get("items", ()):
        _check_downward_file(item, path, errors)


def check_projected(source: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check a volume that projects several sources into one directory."""
    check_mode(source.get("defaultMode"), f"{path}.defaultMode", errors)
    taken: set[str] = set()
    for index, projection in enumerate(source.get("sources", ())):
        where = f"{path}.sources[{index}]"
        for kind in ("secret", "configMap"):
            if kind in projection:
                _check_keys(projection[kind], f"{where}.{kind}", path, taken, errors)
        if "downwardAPI" in projection:
            for item in projection["downwardAPI"].get("items", ()):
                _check_downward_file(item, f"{where}.downwardAPI", errors)
                _take(item.get("path", ""), item.get("path", ""), path, taken, errors)
        if "serviceAccountToken" in projection:
            token = projection["serviceAccountToken"]
            _check_token(token, f"{where}.serviceAccountToken", path, errors)
        if "clusterTrustBundle" in projection:
            bundle = projection["clusterTrustBundle"]
            _check_bundle(bundle, f"{where}.clusterTrustBundle", errors)
            _take_always(bundle.get("path", ""), path, taken, errors)
        if "podCertificate" in projection:
            certificate = projection["podCertificate"]
            _check_certificate(certificate, f"{where}.podCertificate", path, taken, errors)
        if len(projection) > 1:
            text = "may not specify more than 1 volume type per source"
            errors.append(forbidden(where, text))


def _take(target: str, shown: str, path: str, taken: set[str], errors: list[FieldError]) -> None:
    if target:
        if target in taken:
            errors.append(invalid(path, shown, _CONFLICT))
        taken.add(target)


def _take_always(target: str, path: str, taken: set[str], errors: list[FieldError]) -> None:
    if target in taken:
        errors.append(invalid(path, target, _CONFLICT))
    taken.add(target)


def _check_keys(
    source: JsonObject, path: str, volume_path: str, taken: set[str], errors: list[FieldError]
) -> None:
    name = source.get("name", "")
    if not name:
        errors.append(required(f"{path}.name"))
    items = source.get("items", ())
    check_key_paths(items, f"{path}.items", errors)
    for item in items:
        _take(item.get("path", ""), name, volume_path, taken, errors)


def _check_downward_file(item: JsonObject, path: str, errors: list[FieldError]) -> None:
    # Upstream reports these at the volume, without the item's index.
    target = item.get("path", "")
    if not target:
        errors.append(required(f"{path}.path"))
    check_local_path(target, f"{path}.path", errors)
    if "fieldRef" in item:
        check_field_selector(item["fieldRef"], _VOLUME_FIELDS, f"{path}.fieldRef", errors)
        if "resourceFieldRef" in item:
            text = "fieldRef and resourceFieldRef can not be specified simultaneously"
            errors.append(invalid(path, "resource", text))
    elif "resourceFieldRef" in item:
        where = f"{path}.resourceFieldRef"
        check_resource_selector(item["resourceFieldRef"], where, errors, volume=True)
    else:
        errors.append(required(path, "one of fieldRef and resourceFieldRef is required"))
    check_mode(item.get("mode"), f"{path}.mode", errors)


def _check_token(token: JsonObject, path: str, volume_path: str, errors: list[FieldError]) -> None:
    seconds = token.get("expirationSeconds", 0)
    where = f"{path}.expirationSeconds"
    if seconds < _TOKEN_LIFE_S_MIN:
        text = "may not specify a duration less than 10 minutes"
        errors.append(invalid(where, seconds, text))
    if seconds > _TOKEN_LIFE_S_MAX:
        text = "may not specify a duration larger than 2^32 seconds"
        errors.append(invalid(where, seconds, text))
    target = token.get("path", "")
    if target:
        check_local_path(target, f"{volume_path}.path", errors)
    else:
        errors.append(required(f"{volume_path}.path"))


def _check_certificate(
    certificate: JsonObject, path: str, volume_path: str, taken: set[str], errors: list[FieldError]
) -> None:
    if not certificate.get("signerName"):
        errors.append(required(f"{path}.signerName", "must be a valid signer name"))
    if certificate.get("keyType", "") not in _KEY_TYPES:
        errors.append(not_supported(f"{path}.keyType", certificate.get("keyType", ""), _KEY_TYPES))
    seconds = certificate.get("maxExpirationSeconds")
    if seconds is not None:
        where = f"{path}.maxExpirationSeconds"
        if seconds < _CERTIFICATE_LIFE_S_MIN:
            text = f"if provided, maxExpirationSeconds must be >= {_CERTIFICATE_LIFE_S_MIN}"
            errors.append(invalid(where, seconds, text))
        if seconds > _CERTIFICATE_LIFE_S_MAX:
            text = f"if provided, maxExpirationSeconds must be <= {_CERTIFICATE_LIFE_S_MAX}"
            errors.append(invalid(where, seconds, text))
    targets = [(name, certificate[name]) for name in _CERTIFICATE_PATHS if certificate.get(name)]
    if not targets:
        text = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"
        errors.append(required(path, text))
    for name, target in targets:
        check_local_path(target, f"{path}.{name}", errors)
        _take(target, target, volume_path, taken, errors)


def _check_bundle(bundle: JsonObject, path: str, errors: list[FieldError]) -> None:
    by_name = "name" in bundle
    by_signer = "signerName" in bundle
    if by_name and by_signer:
        text = "only one of name and signerName may be used"
        errors.append(FieldError("FieldValueInvalid", path, text, OMITTED))
    elif by_name:
        _check_bundle_name(bundle["name"], f"{path}.name", errors)
        if "labelSelector" in bundle:
            text = "labelSelector must be unset if name is specified"
            errors.append(invalid(f"{path}.labelSelector", bundle["labelSelector"], text))
    elif by_signer:
        if not bundle["signerName"]:
            errors.append(required(f"{path}.signerName", "must be a valid signer name"))
        where = f"{path}.labelSelector"
        errors += validate_label_selector(bundle.get("labelSelector"), where)
    else:
        errors.append(required(path, "either name or signerName must be specified"))
    target = bundle.get("path", "")
    if not target:
        errors.append(required(f"{path}.path"))
    check_local_path(target, f"{path}.path", errors)


def _check_bundle_name(name: str, path: str, errors: list[FieldError]) -> None:
    if not name:
        errors.append(required(path, "must be a valid object name"))
    # A bundle of a signer is named by it: `signer:name`, with a colon for every slash.
    for fault in is_dns1123_subdomain(name.rpartition(":")[2]):
        errors.append(invalid(path, name, f"not a valid clustertrustbundlename: {fault}"))
