"""How versions are converted: by changing apiVersion, or by a webhook."""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from apiserver.types.apiextensions.options import REVIEW_VERSIONS, Options
from apiserver.types.formats import is_dns1035_label, is_dns1123_subdomain, is_valid_port_num
from kube.field import FieldError, forbidden, invalid, not_supported, required
from kube.json_types import JsonObject

STRATEGIES: Final = ("None", "Webhook")
_FORM: Final = "; desired format: https://host[/path]"
_NOT_SET: Final = "should not be set when strategy is not set to Webhook"
_UNREADABLE: Final = "unable to load root certificates: "


def conversion_errors(conversion: JsonObject, path: str, options: Options) -> Iterator[FieldError]:
    """Find faults in how a definition's objects are converted.

    Args:
        conversion: of an internal spec.
        path: where it stands.
        options: which rules apply.
    """
    strategy = conversion.get("strategy") or ""
    if not strategy:
        yield required(f"{path}.strategy")
    elif strategy not in STRATEGIES:
        yield not_supported(f"{path}.strategy", strategy, STRATEGIES)
    client = conversion.get("webhookClientConfig")
    reviews = conversion.get("conversionReviewVersions") or []
    where = f"{path}.webhookClientConfig"
    if strategy != "Webhook":
        if client is not None:
            yield forbidden(where, _NOT_SET)
        if reviews:
            yield forbidden(f"{path}.conversionReviewVersions", _NOT_SET)
        return
    if client is None:
        yield required(where, "required when strategy is set to Webhook")
    else:
        yield from _client_errors(client, where)
        bundle = client.get("caBundle") or ""
        if bundle and options.check_ca_bundle and (fault := ca_bundle_fault(bundle)):
            yield invalid(f"{where}.caBundle", bundle, fault)
    yield from _review_errors(
        reviews, f"{path}.conversionReviewVersions", require=options.require_review_version
    )


def _client_errors(client: JsonObject, path: str) -> Iterator[FieldError]:
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        yield required(path, "exactly one of url or service is required")
    elif url is not None:
        yield from _url_errors(url, f"{path}.url")
    else:
        yield from _service_errors(service or {}, f"{path}.service")


def _url_errors(url: str, path: str) -> Iterator[FieldError]:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        yield required(path, f"url must be a valid URL: {error}{_FORM}")
        return
    if parts.scheme != "https":
        text = f"'https' is the only allowed URL scheme{_FORM}"
        yield invalid(path, parts.scheme, text)
    user, at, host = parts.netloc.rpartition("@")
    if not host:
        yield invalid(path, host, f"host must be specified{_FORM}")
    if at:
        yield invalid(path, user, "user information is not permitted in the URL")
    if parts.fragment:
        yield invalid(path, parts.fragment, "fragments are not permitted in the URL")
    if parts.query:
        yield invalid(path, parts.query, "query parameters are not permitted in the URL")


def _service_errors(service: JsonObject, path: str) -> Iterator[FieldError]:
    # Upstream hands over the two in the wrong order: a missing name is told as the namespace's.
    if not service.get("namespace"):
        yield required(f"{path}.name")
    if not service.get("name"):
        yield required(f"{path}.namespace")
    port = service.get("port", 443)
    if faults := is_valid_port_num(port):
        yield invalid(f"{path}.port", port, f"port is not valid: {', '.join(faults)}")
    yield from _url_path_errors(service.get("path") or "/", f"{path}.path")


def _url_path_errors(text: str, path: str) -> Iterator[FieldError]:
    if text == "/":
        return
    if text == "//":
        yield invalid(path, text, "segment[0] may not be empty")
        return
    if not text.startswith("/"):
        yield invalid(path, text, "must start with a '/'")
    for index, step in enumerate(text[1:].removesuffix("/").split("/")):
        if not step:
            yield invalid(path, text, f"segment[{index}] may not be empty")
        for fault in is_dns1123_subdomain(step) if step else ():
            yield invalid(path, text, f"segment[{index}]: {fault}")


def ca_bundle_fault(bundle: str) -> str:
    """Return why a CA bundle cannot be used, "" if it can.

    Args:
        bundle: PEM, in base64.
    """
    try:
        pem = base64.b64decode(bundle).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        pem = ""
    if "-----BEGIN " not in pem:
        return f"{_UNREADABLE}unable to parse bytes as PEM block"
    if "-----BEGIN CERTIFICATE-----" not in pem:
        return f"{_UNREADABLE}no valid certificate authority data seen"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError) as error:
        return f"{_UNREADABLE}failed to parse certificate: {error}"
    return ""


def is_readable_bundle(bundle: str) -> bool:
    """Tell whether a CA bundle can be used."""
    return not ca_bundle_fault(bundle)


def _review_errors(versions: list[str], path: str, *, require: bool) -> Iterator[FieldError]:
    if not versions:
        yield required(path)
        return
    for index, version in enumerate(versions):
        where = f"{path}[{index}]"
        if version in versions[:index]:
            yield invalid(where, version, "duplicate version")
        else:
            for fault in is_dns1035_label(version):
                yield invalid(where, version, fault)
    if require and not any(version in REVIEW_VERSIONS for version in versions):
        known = ", ".join(REVIEW_VERSIONS)
        yield invalid(path, versions, f"must include at least one of {known}")
