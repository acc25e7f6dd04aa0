"""A definition's spec as upstream validates it: what all versions share stands at the top.

Upstream converts before it validates, so errors in the schema of a definition with one version are
reported at `spec.validation.openAPIV3Schema`, not at `spec.versions[0]`. The same for subresources,
columns and selectable fields. The spec given is not changed.
"""

from __future__ import annotations

from typing import Final

from kube.json_types import JsonObject

_SHARED: Final = {
    "subresources": "subresources",
    "schema": "validation",
    "additionalPrinterColumns": "additionalPrinterColumns",
    "selectableFields": "selectableFields",
}


def internal_spec(spec: JsonObject) -> JsonObject:
    """Return the spec as it is validated.

    Its own keys: `version`, the first one's name; `validation` and so on, where all versions have
    the same; and of `conversion` its webhook's parts, one level up.
    """
    made = {**spec, "versions": [dict(version) for version in spec.get("versions") or ()]}
    if conversion := spec.get("conversion"):
        made["conversion"] = _internal_conversion(conversion)
    versions = made["versions"]
    if not versions:
        return made
    made["version"] = versions[0].get("name", "")
    for key, shared in _SHARED.items():
        first = versions[0].get(key) or None
        if all((version.get(key) or None) == first for version in versions):
            if first is not None:
                made[shared] = first
            for version in versions:
                version.pop(key, None)
    return made


def _internal_conversion(conversion: JsonObject) -> JsonObject:
    webhook = conversion.get("webhook") or {}
    return {
        "strategy": conversion.get("strategy", ""),
        "webhookClientConfig": webhook.get("clientConfig"),
        "conversionReviewVersions": webhook.get("conversionReviewVersions") or [],
    }


def shown_versions(spec: JsonObject) -> list[JsonObject]:
    """Return the versions of an internal spec as errors print them."""
    return [
        {
            "Name": version.get("name", ""),
            "Served": bool(version.get("served")),
            "Storage": bool(version.get("storage")),
            "Deprecated": bool(version.get("deprecated")),
            "DeprecationWarning": version.get("deprecationWarning"),
            "Schema": version.get("schema"),
            "Subresources": version.get("subresources"),
            "AdditionalPrinterColumns": version.get("additionalPrinterColumns"),
            "SelectableFields": version.get("selectableFields"),
        }
        for version in spec["versions"]
    ]


def schemas_of(spec: JsonObject) -> list[JsonObject]:
    """Return the schemas of a stored spec, one for each version that has one."""
    found = (version.get("schema") or {} for version in spec.get("versions") or ())
    return [part["openAPIV3Schema"] for part in found if part.get("openAPIV3Schema") is not None]
