"""Names of fields as expressions write them: what is no identifier of CEL is escaped."""

from __future__ import annotations

import re
from typing import Final

RESERVED: Final = frozenset(
    {
        "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for",
        "function", "if", "import", "let", "loop", "package", "namespace", "return", "var",
        "void", "while",
    }
)  # fmt: skip
_ESCAPES: Final = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_VALID: Final = re.compile(r"[A-Za-z_./-][A-Za-z0-9_./-]*", re.ASCII)
_SPECIAL: Final = re.compile(r"__|[./-]")


def escape(name: str) -> str | None:
    """Return a field's name in expressions: `foo-bar` is `foo__dash__bar`.

    None: it has characters that cannot be escaped, and no expression can name it.
    """
    if name in RESERVED:
        return f"__{name}__"
    if not _VALID.fullmatch(name):
        return None
    return _SPECIAL.sub(lambda match: _ESCAPES[match[0]], name)
