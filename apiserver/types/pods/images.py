"""Which tag a container image reference names: it decides the default pull policy.

The grammar is that of the distribution project's references. What does not parse has no tag, so
its pull policy becomes IfNotPresent, and validation or the kubelet reports the bad reference.
"""

from __future__ import annotations

import re
from typing import Final

from kube.text_cache import text_cache

_DOMAIN_PART: Final = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN: Final = rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DIGEST: Final = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_match_reference = re.compile(
    rf"(?:{_DOMAIN}/)?{_COMPONENT}(?:/{_COMPONENT})*"
    rf"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?(?:@(?P<digest>{_DIGEST}))?"
).fullmatch
_match_identifier = re.compile("[a-f0-9]{64}").fullmatch


@text_cache(maxsize=4096)
def image_tag(image: str) -> str:
    """Return the tag of `image`: `latest` when it names neither tag nor digest, "" when unclear."""
    match = _match_reference(image)
    if match is None or _match_identifier(image):
        return ""
    return match["tag"] or ("" if match["digest"] else "latest")


@text_cache(maxsize=4096)
def default_pull_policy(image: str) -> str:
    """Return the pull policy that a container of `image` gets when it states none."""
    return "Always" if image_tag(image) == "latest" else "IfNotPresent"
