"""Checks of names and networking: DNS settings, host aliases, host namespaces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from apiserver.types.addresses import is_valid_ip_legacy
from apiserver.types.formats import byte_length, is_dns1123_subdomain, max_length_error, regex_error
from kube.field import FieldError, forbidden, invalid, not_supported, required, too_long
from kube.json_types import JsonObject
from kube.text_cache import text_cache

_POLICIES: Final = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_NAMESERVERS_MAX: Final = 3
_SEARCHES_MAX: Final = 32
_SEARCH_CHARS_MAX: Final = 2048
_SUBDOMAIN_BYTES_MAX: Final = 253
_HOSTNAME_BYTES_MAX: Final = 64
_LABEL: Final = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_match_subdomain = re.compile(_SUBDOMAIN).fullmatch


def check_dns_policy(policy: str, path: str, errors: list[FieldError]) -> None:
    """Check `dnsPolicy`."""
    if policy not in _POLICIES:
        errors.append(not_supported(path, policy, _POLICIES) if policy else required(path))


def check_dns_config(
    config: JsonObject | None, policy: str, path: str, errors: list[FieldError]
) -> None:
    """Check `dnsConfig`, which the policy None cannot do without."""
    servers = (config or {}).get("nameservers", ())
    if policy == "None":
        if config is None:
            text = "must provide `dnsConfig` when `dnsPolicy` is None"
            errors.append(required(path, text))
            return
        if not servers:
            text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            errors.append(required(f"{path}.nameservers", text))
            return
    if config is None:
        return
    if len(servers) > _NAMESERVERS_MAX:
        text = f"must not have more than {_NAMESERVERS_MAX} nameservers"
        errors.append(invalid(f"{path}.nameservers", servers, text))
    for index, server in enumerate(servers):
        faults = is_valid_ip_legacy(server)
        errors.extend(invalid(f"{path}.nameservers[{index}]", server, fault) for fault in faults)
    _check_searches(config.get("searches", ()), f"{path}.searches", errors)
    for index, option in enumerate(config.get("options", ())):
        if not option.get("name"):
            errors.append(required(f"{path}.options[{index}]", "must not be empty"))


def check_host_aliases(aliases: Sequence[JsonObject], path: str, errors: list[FieldError]) -> None:
    """Check extra lines of the hosts file."""
    for index, alias in enumerate(aliases):
        address = alias.get("ip", "")
        faults = is_valid_ip_legacy(address)
        errors.extend(invalid(f"{path}[{index}].ip", address, fault) for fault in faults)
        for at, name in enumerate(alias.get("hostnames", ())):
            where = f"{path}[{index}].hostnames[{at}]"
            errors.extend(invalid(where, name, fault) for fault in is_dns1123_subdomain(name))


def check_host_ports_match(
    containers: Sequence[JsonObject], path: str, errors: list[FieldError], *, is_pod: bool
) -> None:
    """On the host's network a port is the same inside and out; templates may leave it open."""
    for index, container in enumerate(containers):
        for at, port in enumerate(container.get("ports", ())):
            outer = port.get("hostPort", 0)
            if outer != port.get("containerPort", 0) and (is_pod or outer):
                text = "must match `containerPort` when `hostNetwork` is true"
                errors.append(invalid(f"{path}[{index}].ports[{at}].hostPort", outer, text))


def check_host_users(spec: JsonObject, path: str, errors: list[FieldError]) -> None:
    """A pod with its own user namespace shares no other namespace with the host."""
    if spec.get("hostUsers") is not False:
        return
    text = "when `pod.Spec.HostUsers` is false"
    for key, shown in (
        ("hostNetwork", "hostNetwork"),
        ("hostPID", "HostPID"),
        ("hostIPC", "HostIPC"),
    ):
        if spec.get(key):
            errors.append(forbidden(f"{path}.{shown}", text))


def check_hostname_override(spec: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check `hostnameOverride`, which excludes the other ways to get a host name."""
    name = spec["hostnameOverride"]
    where = f"{path}.hostnameOverride"
    errors.extend(invalid(where, name, fault) for fault in is_dns1123_subdomain(name))
    if byte_length(name) > _HOSTNAME_BYTES_MAX:
        errors.append(too_long(where, _HOSTNAME_BYTES_MAX))
    if spec.get("setHostnameAsFQDN"):
        text = "may not be set to true when `hostnameOverride` is set"
        errors.append(forbidden(f"{path}.setHostnameAsFQDN", text))
    if spec.get("hostNetwork"):
        text = "may not be set to true when `hostnameOverride` is set"
        errors.append(forbidden(f"{path}.hostNetwork", text))


def _check_searches(searches: Sequence[str], path: str, errors: list[FieldError]) -> None:
    if len(searches) > _SEARCHES_MAX:
        text = f"must not have more than {_SEARCHES_MAX} search paths"
        errors.append(invalid(path, searches, text))
    if len(" ".join(searches)) > _SEARCH_CHARS_MAX:
        text = (
            f"must not have more than {_SEARCH_CHARS_MAX} characters (including spaces) in the "
            "search list"
        )
        errors.append(invalid(path, searches, text))
    for index, search in enumerate(searches):
        if search != ".":
            name = search.removesuffix(".")
            faults = _search_faults(name)
            errors.extend(invalid(f"{path}[{index}]", name, fault) for fault in faults)


@text_cache(maxsize=1024)
def _search_faults(name: str) -> list[str]:
    """Check a search path: a DNS subdomain whose labels may hold underscores."""
    faults = []
    if byte_length(name) > _SUBDOMAIN_BYTES_MAX:
        faults.append(max_length_error(_SUBDOMAIN_BYTES_MAX))
    if not _match_subdomain(name):
        text = (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
            "'_', '-' or '.', and must start and end with an alphanumeric character"
        )
        faults.append(regex_error(text, _SUBDOMAIN, "example.com"))
    return faults
