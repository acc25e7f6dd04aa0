"""Shows how two pod specs differ, in the shape of the diff that upstream appends to a refusal."""

from __future__ import annotations

from typing import Any, Final

from kube.field import quote, render_value
from kube.json_types import JsonObject

# Go names that are not the JSON name with a capital first letter.
_GO_NAMES: Final = {
    "dnsPolicy": "DNSPolicy",
    "dnsConfig": "DNSConfig",
    "os": "OS",
    "serviceAccount": "DeprecatedServiceAccount",
}


def describe_difference(old: JsonObject, new: JsonObject, kind: str = "core.PodSpec") -> str:
    """Return the top-level fields that differ, old before new, and how many are the same."""
    lines = [f"  {kind}{{"]
    same = 0
    for name in dict.fromkeys((*old, *new)):
        before, after = old.get(name), new.get(name)
        if before == after:
            same += 1
            continue
        same = _close_run(same, lines)
        label = _GO_NAMES.get(name, name[:1].upper() + name[1:])
        lines.append(f"- \t{label}: {_render(before)},")
        lines.append(f"+ \t{label}: {_render(after)},")
    _close_run(same, lines)
    lines.append("  }")
    return "\n".join(lines) + "\n"


def _close_run(same: int, lines: list[str]) -> int:
    if same:
        lines.append(f"  \t... // {same} identical field{'s' if same > 1 else ''}")
    return 0


def _render(value: Any) -> str:
    if value is None:
        return "nil"
    return quote(value) if isinstance(value, str) else render_value(value)
