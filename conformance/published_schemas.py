"""Schemas of custom resources, as upstream's specs of the published document have them."""

from __future__ import annotations

from typing import Final

from kube.json_types import JsonObject

_BAZS: Final[JsonObject] = {
    "description": "List of Bazs.",
    "type": "array",
    "items": {"type": "string"},
}
_BAR: Final[JsonObject] = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"description": "Name of Bar.", "type": "string"},
        "age": {"description": "Age of Bar.", "type": "string"},
        "feeling": {
            "description": "Whether Bar is feeling great.",
            "type": "string",
            "enum": ["Great", "Down"],
        },
        "bazs": _BAZS,
    },
}
FOO: Final[JsonObject] = {
    "description": "Foo CRD for Testing",
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "description": "Specification of Foo",
            "properties": {
                "bars": {
                    "description": "List of Bars and their specs.",
                    "type": "array",
                    "items": _BAR,
                }
            },
        },
        "status": {
            "description": "Status of Foo",
            "type": "object",
            "properties": {
                "bars": {
                    "description": "List of Bars and their statuses.",
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "name": {"description": "Name of Bar.", "type": "string"},
                            "available": {
                                "description": "Whether the Bar is installed.",
                                "type": "boolean",
                            },
                            "quxType": {
                                "description": "Indicates to external qux type.",
                                "pattern": "in-tree|out-of-tree",
                                "type": "string",
                            },
                        },
                    },
                }
            },
        },
    },
}
_DUMMY: Final[JsonObject] = {
    "description": "Specification of Waldo",
    "type": "object",
    "properties": {"dummy": {"description": "Dummy property.", "type": "object"}},
}
WALDO: Final[JsonObject] = {
    "description": "Waldo CRD for Testing",
    "type": "object",
    "properties": {
        "spec": _DUMMY,
        "status": {
            "description": "Status of Waldo",
            "type": "object",
            "properties": {"bars": _BAZS},
        },
    },
}
_KEEP: Final = "x-kubernetes-preserve-unknown-fields"
ROOT: Final[JsonObject] = {
    "description": "preserve-unknown-properties at root for Testing",
    _KEEP: True,
    "type": "object",
    "properties": {
        "spec": _DUMMY,
        "status": {"description": "Status of Waldo", "type": "object"},
    },
}
NESTED: Final[JsonObject] = {
    "description": "preserve-unknown-properties in nested field for Testing",
    "type": "object",
    "properties": {
        "spec": {**_DUMMY, _KEEP: True},
        "status": {"description": "Status of Waldo", "type": "object"},
    },
}
