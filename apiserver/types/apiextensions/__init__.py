"""The apiextensions.k8s.io group: definitions of custom resources."""

from __future__ import annotations

from typing import Final

from apiserver.types.apiextensions import definitions
from apiserver.types.hooks import TypeHooks

HOOKS: Final[dict[str, TypeHooks]] = {**definitions.HOOKS}
