"""What upstream refuses in an EncryptionConfiguration, in upstream's order and words.

Rules and messages follow k8s.io/apiserver `pkg/apis/apiserver/validation`. Ours comes last: what
upstream would take and this server has not (`unsupported`), and its one addition, the scheme `file`
of a KMS's endpoint.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from apiserver.encryption.config import Key, Kms, Provider, ResourceRule
from kube.field import OMITTED, FieldError, invalid, quote, required

_AES_BYTES: Final = (16, 24, 32)
_SECRETBOX_BYTES: Final = (32,)
LOCAL_SCHEME: Final = "file"
_EXPECTED: Final = (
    "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, "
    "Identity"
)
_SEVERAL: Final = (
    "more than one provider specified in a single element, should split into different list "
    "elements"
)
_OVERLAP: Final = (
    "using overlapping resources such as 'secrets' and '*.' in the same resource list is not "
    "allowed as they will be masked"
)
_EVENTS: Final = (
    "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' "
    "instead in the config file"
)
_STAR: Final = (
    "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources"
)
_WITHOUT_API: Final = frozenset(
    {"apiserveripinfo", "serviceipallocations", "servicenodeportallocations"}
)


class GroupResource(NamedTuple):
    """A resource and its group, either of which may be "*"."""

    group: str
    resource: str

    def __str__(self) -> str:
        if self == CORE:
            return "*."
        return f"{self.resource}.{self.group}" if self.group else self.resource


CORE: Final = GroupResource("", "*")
ANY: Final = GroupResource("*", "*")


def parse_group_resource(text: str) -> GroupResource:
    """Return what "resource" or "resource.group" names."""
    resource, _, group = text.partition(".")
    return GroupResource(group, resource)


def validate(rules: Sequence[ResourceRule]) -> list[FieldError]:
    """Return all that is wrong with decoded rules."""
    if not rules:
        return [required("resources", "at least one resources is required")]
    errors: list[FieldError] = []
    kms_names: set[str] = set()
    for index, rule in enumerate(rules):
        resources, providers = f"resources[{index}].resources", f"resources[{index}].providers"
        if not rule.resources:
            errors.append(required(resources, f"at least one {resources} is required"))
        errors += _overlaps(rule.resources, resources)
        for at, name in enumerate(rule.resources):
            reason = _name_fault(name)
            if reason:
                errors.append(invalid(f"{resources}[{at}]", name, reason))
        if not rule.providers:
            errors.append(required(providers, f"at least one {providers} is required"))
        for at, provider in enumerate(rule.providers):
            errors += _provider(provider, f"{providers}[{at}]", kms_names)
    return errors


def masked(rules: Sequence[ResourceRule]) -> str:
    """Return which resource an earlier wildcard leaves no say, "" if none."""
    seen: set[GroupResource] = set()
    for rule in rules:
        for text in rule.resources:
            name = parse_group_resource(text)
            for wildcard in (GroupResource(name.group, "*"), ANY):
                if wildcard in seen:
                    return f'resource "{name}" is masked by earlier rule "{wildcard}"'
            seen.add(name)
    return ""


def unsupported(rules: Sequence[ResourceRule]) -> str:
    """Return what upstream has and this server has not, "" if nothing of it is asked for."""
    for index, rule in enumerate(rules):
        for at, provider in enumerate(rule.providers):
            path = f"resources[{index}].providers[{at}]"
            kms = provider.kms
            if kms is not None and kms.api_version == "v1":
                return (
                    f"{path}.kms: KMSv1 is deprecated and will only receive security updates going "
                    f"forward. Use KMSv2 instead: {_HAD}"
                )
            if kms is not None and urlsplit(kms.endpoint).scheme != LOCAL_SCHEME:
                return (
                    f"{path}.kms.endpoint: KMS plugins behind a socket (gRPC) are not supported by "
                    f"this server: {_HAD}"
                )
    return ""


_HAD: Final = (
    "use aesgcm, aescbc, secretbox, identity, or kms with apiVersion v2 and an endpoint "
    "file:///path of a file of keys"
)


def _overlaps(names: Sequence[str], path: str) -> Iterator[FieldError]:
    parsed = [parse_group_resource(name) for name in names]
    pairs = [(a, b) for i, a in enumerate(parsed) for j, b in enumerate(parsed) if i != j]
    # As upstream does it: only the first pair of equal ones is not held against the other rule.
    has_duplicate = has_overlap = False
    for one, other in pairs:
        if one == other and not has_duplicate:
            has_duplicate = True
        elif one == ANY or (one.group == other.group and "*" in (one.resource, other.resource)):
            has_overlap = True
    if has_duplicate:
        reason = "the same resource cannot be specified multiple times"
        yield invalid(path, list(names), reason)
    if has_overlap:
        yield invalid(path, list(names), _OVERLAP)


def _name_fault(name: str) -> str:
    parsed = parse_group_resource(name)
    faults = (
        (name.lower() != name, "resource name should not contain capital letters"),
        (name == "*", _STAR),
        (name in _WITHOUT_API, "resources which do not have REST API/s cannot be encrypted"),
        (parsed.group == "events.k8s.io", _EVENTS),
        (
            parsed.group == "extensions",
            "'extensions' group has been removed and cannot be used for encryption",
        ),
        (
            parsed.group == "*" and parsed.resource != "*",
            "encrypting the same resource across groups is not supported",
        ),
    )
    return next((reason for is_so, reason in faults if is_so), "")


def _provider(provider: Provider, path: str, kms_names: set[str]) -> Iterator[FieldError]:
    local = (
        ("aesgcm", provider.aesgcm, _AES_BYTES),
        ("aescbc", provider.aescbc, _AES_BYTES),
        ("secretbox", provider.secretbox, _SECRETBOX_BYTES),
    )
    found = sum(keys is not None for _, keys, _ in local)
    found += provider.identity + (provider.kms is not None)
    if found != 1:
        # Without the value, which has keys in it.
        yield invalid(path, OMITTED, _SEVERAL if found else _EXPECTED)
    if provider.kms is not None:
        yield from _kms(provider.kms, f"{path}.kms", kms_names)
        kms_names.add(provider.kms.name)
        return
    for name, keys, sizes in local:
        if keys is not None:
            yield from _keys(keys, f"{path}.{name}.keys", sizes)
            return


def _keys(keys: Sequence[Key], path: str, sizes: Sequence[int]) -> Iterator[FieldError]:
    if not keys:
        yield required(path, "at least one keys is required")
    for index, key in enumerate(keys):
        at = f"{path}[{index}]"
        if not key.name:
            yield required(f"{at}.name", "name is a mandatory field for a key")
        if not key.secret:
            yield required(f"{at}.secret", "secret is a mandatory field for a key")
            continue
        try:
            secret = base64.b64decode(key.secret, validate=True)
        except (binascii.Error, ValueError):
            yield invalid(f"{at}.secret", "REDACTED", "secrets must be base64 encoded")
            continue
        if len(secret) not in sizes:
            wanted = " ".join(map(str, sizes))
            yield invalid(
                f"{at}.secret",
                "REDACTED",
                f"secret is not of the expected length, got {len(secret)}, expected one of "
                f"[{wanted}]",
            )


def _kms(kms: Kms, path: str, names: set[str]) -> Iterator[FieldError]:
    if not kms.name:
        yield required(f"{path}.name", "name is a mandatory field for a provider")
    if kms.api_version != "v1" and ":" in kms.name:
        yield invalid(
            f"{path}.name",
            kms.name,
            f"invalid KMS provider name {kms.name}, must not contain ':'",
        )
    if kms.api_version != "v1" and kms.name in names:
        yield invalid(
            f"{path}.name",
            kms.name,
            f"duplicate KMS provider name {kms.name}, names must be unique",
        )
    if kms.timeout_s <= 0:
        yield invalid(
            f"{path}.timeout", f"{kms.timeout_s:g}s", "timeout should be a positive value"
        )
    yield from _endpoint(kms.endpoint, f"{path}.endpoint")
    if kms.api_version != "v1" and kms.cache_size is not None:
        yield invalid(f"{path}.cachesize", kms.cache_size, "cachesize is not supported in v2")
    if kms.api_version == "v1" and kms.cache_size == 0:
        yield invalid(
            f"{path}.cachesize", 0, "cachesize should be a positive value, or negative to disable"
        )
    if kms.api_version not in ("v1", "v2"):
        # Upstream names the field in place of the value; so do we.
        yield invalid(
            f"{path}.apiVersion",
            kms.api_version,
            "unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported",
        )


def _endpoint(endpoint: str, path: str) -> Iterator[FieldError]:
    if not endpoint:
        yield invalid(path, "", "endpoint is a mandatory field for a kms")
        return
    try:
        url = urlsplit(endpoint)
        scheme = url.scheme
    except ValueError as error:
        yield invalid(path, endpoint, f"invalid endpoint for kms provider, error: {error}")
        return
    if scheme not in ("unix", LOCAL_SCHEME):
        yield invalid(
            path,
            endpoint,
            f"unsupported scheme {quote(scheme)} for KMS provider, only unix is supported",
        )
    elif scheme == LOCAL_SCHEME and (url.netloc or not url.path.startswith("/") or url.query):
        yield invalid(path, endpoint, "a file of keys is named as file:///path")
