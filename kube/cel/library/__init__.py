"""The functions that Kubernetes 1.37 gives expressions: CEL's own and its own."""

from __future__ import annotations

from typing import Final

from kube.cel.library import (
    amounts,
    arithmetic,
    authorization,
    conversions,
    formats,
    moments,
    network,
    optionals,
    regex,
    sequences,
    text,
    urls,
)
from kube.cel.overloads import Declarations

LIBRARY: Final = Declarations()
"""All functions and named types; never changed after import."""

for _module in (
    arithmetic,
    conversions,
    text,
    regex,
    sequences,
    optionals,
    moments,
    urls,
    amounts,
    network,
    formats,
    authorization,
):
    _module.declare(LIBRARY)
