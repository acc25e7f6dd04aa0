"""What a Job's spec says of failed and of succeeded pods: pod failure policy and success policy.

Both are pure functions (pod_failure_policy.go and success_policy.go of upstream's job controller).
The first rule that matches decides; a pod that no rule matches counts as a failure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from controllers.jobs.intervals import Indexes, parse
from kube.json_types import JsonObject

FAIL_INDEX: Final = "FailIndex"


class Verdict(NamedTuple):
    """What a failure policy says of a failed pod.

    Attributes:
        message: why the whole Job fails; None: it does not.
        is_counted: whether the failure counts towards the limits.
        action: of the rule that matched, None: no rule did.
    """

    message: str | None
    is_counted: bool
    action: str | None


COUNTED: Final = Verdict(None, is_counted=True, action=None)


def judge(policy: JsonObject | None, pod: JsonObject) -> Verdict:
    """Return what a failure policy says of a failed pod."""
    if policy is None:
        return COUNTED
    metadata, status = pod["metadata"], pod.get("status") or {}
    who = f"{metadata.get('namespace', '')}/{metadata['name']}"
    for number, rule in enumerate(policy.get("rules") or ()):
        action = rule["action"]
        told = _told(rule, status, who)
        if told is None:
            continue
        if action == "Ignore":
            return Verdict(None, is_counted=False, action=action)
        if action == "FailJob":
            text = f"{told} matching {action} rule at index {number}"
            return Verdict(text, is_counted=True, action=action)
        if action in ("Count", FAIL_INDEX):
            return Verdict(None, is_counted=True, action=action)
    return COUNTED


def _told(rule: JsonObject, status: JsonObject, who: str) -> str | None:
    """Return what of a pod's status a rule matches, in words; None: nothing."""
    if (codes := rule.get("onExitCodes")) is not None:
        container = _by_exit_code(status.get("containerStatuses") or (), codes)
        if container is None:
            container = _by_exit_code(status.get("initContainerStatuses") or (), codes)
        if container is None:
            return None
        code = container["state"]["terminated"].get("exitCode", 0)
        return f"Container {container['name']} for pod {who} failed with exit code {code}"
    for condition in status.get("conditions") or ():
        for pattern in rule.get("onPodConditions") or ():
            # A pattern without a status is one that was not defaulted.
            if (condition["type"], condition["status"]) == (
                pattern["type"],
                pattern.get("status", "True"),
            ):
                return f"Pod {who} has condition {condition['type']}"
    return None


def _by_exit_code(statuses: Iterable[JsonObject], rule: JsonObject) -> JsonObject | None:
    name, values = rule.get("containerName"), rule.get("values") or ()
    for status in statuses:
        terminated = (status.get("state") or {}).get("terminated")
        if terminated is None or name not in (None, status["name"]):
            continue
        code = terminated.get("exitCode", 0)
        if code != 0 and _meets(code, rule["operator"], values):
            return status
    return None


def _meets(code: int, operator: str, values: Any) -> bool:
    if operator == "In":
        return code in values
    return operator == "NotIn" and code not in values


def success_message(policy: JsonObject | None, completions: int, succeeded: Indexes) -> str | None:
    """Return which rule of a success policy is met; None: none is."""
    if policy is None or not succeeded:
        return None
    for number, rule in enumerate(policy.get("rules") or ()):
        count = rule.get("succeededCount")
        if (text := rule.get("succeededIndexes")) is not None:
            wanted = parse(text, completions)
            if not wanted:
                continue
            have = wanted.overlap(succeeded)
            is_met = have == len(wanted) or (count is not None and have >= count)
        else:
            is_met = count is not None and len(succeeded) >= count
        if is_met:
            return f"Matched rules at index {number}"
    return None
