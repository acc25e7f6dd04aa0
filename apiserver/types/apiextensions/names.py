"""What a definition's type is called, and whether it may be called so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from apiserver.types.formats import is_dns1035_label, is_dns1123_subdomain
from kube.field import FieldError, invalid, not_supported, quote, required
from kube.json_types import JsonObject
from kube.structural.formats import is_request_uri

SCOPES: Final = ("Cluster", "Namespaced")
APPROVED: Final = "api-approved.kubernetes.io"
_PROTECTED: Final = ("k8s.io", "kubernetes.io")
_SEE: Final = "see https://github.com/kubernetes/enhancements/pull/1111"


def name_errors(names: JsonObject, path: str) -> Iterator[FieldError]:
    """Find faults in the names that are given (of a spec, or those accepted)."""
    for key in ("plural", "singular", "kind", "listKind"):
        value = names.get(key) or ""
        faults = is_dns1035_label(value.lower() if key.lower().endswith("kind") else value)
        if value and faults:
            text = ",".join(faults)
            if key.lower().endswith("kind"):
                text = f"may have mixed case, but should otherwise match: {text}"
            yield invalid(f"{path}.{key}", value, text)
    yield from _list_errors(names, "shortNames", path)
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        text = "kind and listKind may not be the same"
        yield invalid(f"{path}.listKind", names["listKind"], text)
    yield from _list_errors(names, "categories", path)


def _list_errors(names: JsonObject, key: str, path: str) -> Iterator[FieldError]:
    for index, name in enumerate(names.get(key) or ()):
        if faults := is_dns1035_label(name):
            yield invalid(f"{path}.{key}[{index}]", name, ",".join(faults))


def group_errors(spec: JsonObject, path: str) -> Iterator[FieldError]:
    """Find faults in a spec's group and scope."""
    group, scope = spec.get("group") or "", spec.get("scope") or ""
    if not group:
        yield required(f"{path}.group")
    elif faults := is_dns1123_subdomain(group):
        yield invalid(f"{path}.group", group, ",".join(faults))
    elif "." not in group:
        yield invalid(f"{path}.group", group, "should be a domain with at least one dot")
    if not scope:
        yield required(f"{path}.scope")
    elif scope not in SCOPES:
        yield not_supported(f"{path}.scope", scope, SCOPES)


def approval_errors(new: JsonObject, old: JsonObject | None) -> list[FieldError]:
    """Return why a definition may not be in a group that belongs to Kubernetes.

    Args:
        new: the definition.
        old: the stored one; as long as its state of approval stays, nothing is asked.
    """
    group = new["spec"].get("group") or ""
    if not any(group == owned or group.endswith(f".{owned}") for owned in _PROTECTED):
        return []
    state = _approval(new)
    if old is not None and _approval(old) == state:
        return []
    path = f"metadata.annotations[{APPROVED}]"
    text = f"protected groups must have approval annotation {quote(APPROVED)}"
    if state == "missing":
        return [required(path, f"{text}, {_SEE}")]
    if state == "invalid":
        either = 'with either a URL or a reason starting with "unapproved"'
        return [invalid(path, _annotation(new), f"{text} {either}, {_SEE}")]
    return []


def _annotation(definition: JsonObject) -> str:
    annotations = (definition.get("metadata") or {}).get("annotations") or {}
    return str(annotations.get(APPROVED) or "")


def _approval(definition: JsonObject) -> str:
    text = _annotation(definition)
    if not text:
        return "missing"
    if text.startswith("unapproved"):
        return "bypassed"
    try:
        parts = urlsplit(text)
    except ValueError:
        return "invalid"
    return "approved" if parts.scheme and parts.netloc and is_request_uri(text) else "invalid"
