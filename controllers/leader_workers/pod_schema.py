"""The schemas of built-in types as a custom type's schema may have them: structural, in one piece.

Upstream's definition has pods' templates spelled out, so that what is wrong in one is refused when
the set is written, and so that who applies one manages it container by container. Here they are
made from the built-in definitions. Descriptions are left out: they are four fifths of the bytes,
and `kubectl explain pod` has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kube.json_types import JsonObject
from kube.openapi.definitions import load_definitions
from kube.schema.model import KEY_DEFAULTS

_CORE: Final = "io.k8s.api.core.v1."
_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_REF: Final = "#/$defs/"
_KEPT: Final = (
    "format",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
)
_AMOUNT: Final[JsonObject] = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "x-kubernetes-int-or-string": True,
}
_QUANTITY: Final[JsonObject] = {
    **_AMOUNT,
    "pattern": (
        r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
        r"(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
    ),
}
_TEXTS: Final[JsonObject] = {"type": "object", "additionalProperties": {"type": "string"}}
_METADATA: Final[JsonObject] = {
    "type": "object",
    "properties": {
        "annotations": _TEXTS,
        "finalizers": {"type": "array", "items": {"type": "string"}},
        "labels": _TEXTS,
        "name": {"type": "string"},
        "namespace": {"type": "string"},
    },
}
_SPECIAL: Final[Mapping[str, JsonObject]] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": _QUANTITY,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": _AMOUNT,
    f"{_META}Time": {"type": "string", "format": "date-time"},
    f"{_META}ObjectMeta": _METADATA,
}


def pod_template_schema() -> JsonObject:
    """Return the schema of a pod's template."""
    return _Writer(load_definitions()).definition(f"{_CORE}PodTemplateSpec")


def claim_schema() -> JsonObject:
    """Return the schema of a PersistentVolumeClaim within another object."""
    return _Writer(load_definitions()).definition(f"{_CORE}PersistentVolumeClaim")


class _Writer:
    """Writes definitions out; none of those asked for contains itself."""

    def __init__(self, definitions: Mapping[str, JsonObject]) -> None:
        self._definitions = definitions

    def definition(self, name: str) -> JsonObject:
        """Return the schema of a definition."""
        if (special := _SPECIAL.get(name)) is not None:
            return dict(special)
        return self._schema(self._definitions[name], name.rpartition(".")[2])

    def _schema(self, source: JsonObject, owner: str = "") -> JsonObject:
        if (reference := source.get("$ref")) is not None:
            made = self.definition(reference.removeprefix(_REF))
        else:
            made = {"type": _type(source)}
        made |= {key: source[key] for key in _KEPT if key in source}
        if "properties" in source:
            made["properties"] = {
                name: self._field(owner, name, child)
                for name, child in source["properties"].items()
            }
        if required := source.get("required"):
            made["required"] = list(required)
        for key in ("items", "additionalProperties"):
            if isinstance(child := source.get(key), dict):
                made[key] = self._schema(child)
        return made

    def _field(self, owner: str, name: str, source: JsonObject) -> JsonObject:
        made = self._schema(source)
        default = KEY_DEFAULTS.get((owner, name))
        # What a list's elements are told apart by must be there.
        return made if default is None else {**made, "default": default}


def _type(source: JsonObject) -> Any:
    kind = source.get("type", "object")
    return next(each for each in kind if each != "null") if isinstance(kind, list) else kind
