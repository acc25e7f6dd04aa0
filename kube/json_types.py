"""Names for decoded JSON: objects are plain dicts everywhere, never models, for speed."""

from __future__ import annotations

from typing import Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
JsonArray: TypeAlias = list[Any]
