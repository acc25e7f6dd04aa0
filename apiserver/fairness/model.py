"""FlowSchemas and PriorityLevelConfigurations as the filter works with them: parsed once, frozen.

What validation would refuse may still be stored (by an older server): it is malformed here, and
whoever reads the objects leaves it out, as upstream does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from apiserver.fairness.dealing import can_deal
from kube.json_types import JsonObject

GROUP: Final = "flowcontrol.apiserver.k8s.io"
SCHEMAS: Final = f"{GROUP}/flowschemas"
LEVELS: Final = f"{GROUP}/prioritylevelconfigurations"
EXEMPT: Final = "exempt"
CATCH_ALL: Final = "catch-all"
ANY: Final = "*"


class Malformed(ValueError):
    """A stored object cannot be used; it is left out, and the others are used."""


@dataclass(frozen=True, slots=True)
class Queuing:
    """How requests of a level wait.

    Attributes:
        queues: how many queues there are.
        hand_size: how many of them one flow may use.
        length_max: requests that may wait in one queue while all seats are taken.
    """

    queues: int
    hand_size: int
    length_max: int


@dataclass(frozen=True, slots=True)
class LevelSpec:
    """A PriorityLevelConfiguration.

    Attributes:
        shares: of the server's seats, relative to the shares of the other levels.
        lendable_percent: of its seats that others may use while it does not.
        borrowing_percent: of its seats that it may borrow on top; None: without a limit.
        queuing: None: requests over the limit are refused at once.
    """

    name: str
    uid: str
    is_exempt: bool
    shares: int
    lendable_percent: int
    borrowing_percent: int | None
    queuing: Queuing | None


@dataclass(frozen=True, slots=True)
class ResourceRule:
    """Which requests for resources are meant; a set that holds "*" takes everything."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    namespaces: frozenset[str]
    cluster_scope: bool


@dataclass(frozen=True, slots=True)
class PathRule:
    """Which requests for other paths are meant."""

    verbs: frozenset[str]
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """Who is meant, and which of their requests.

    Attributes:
        users, groups: by name, "*" for all.
        accounts: (namespace, name or "*") of service accounts.
    """

    users: frozenset[str]
    groups: frozenset[str]
    accounts: tuple[tuple[str, str], ...]
    resource_rules: tuple[ResourceRule, ...]
    path_rules: tuple[PathRule, ...]


@dataclass(frozen=True, slots=True)
class SchemaSpec:
    """A FlowSchema.

    Attributes:
        distinguisher: "ByUser", "ByNamespace" or "": what makes a flow within the schema.
    """

    name: str
    uid: str
    precedence: int
    level: str
    distinguisher: str
    rules: tuple[PolicyRule, ...]


def parse_level(obj: JsonObject) -> LevelSpec:
    """Return a stored PriorityLevelConfiguration.

    Raises:
        Malformed: its parts contradict each other.
    """
    metadata, spec = obj["metadata"], obj.get("spec") or {}
    name, uid = metadata["name"], metadata.get("uid", "")
    is_exempt = spec.get("type") == "Exempt"
    limited, exempt = spec.get("limited"), spec.get("exempt")
    if is_exempt != (name == EXEMPT) or is_exempt == (limited is not None):
        raise Malformed(f"priority level {name}: name, type and content do not go together")
    if limited is None:
        exempt = exempt or {}
        shares, lendable = exempt.get("nominalConcurrencyShares"), exempt.get("lendablePercent")
        return LevelSpec(
            name,
            uid,
            is_exempt=True,
            shares=shares or 0,
            lendable_percent=lendable or 0,
            borrowing_percent=None,
            queuing=None,
        )
    shares = limited.get("nominalConcurrencyShares")
    response = limited.get("limitResponse") or {}
    return LevelSpec(
        name,
        uid,
        is_exempt=False,
        shares=30 if shares is None else shares,
        lendable_percent=limited.get("lendablePercent") or 0,
        borrowing_percent=limited.get("borrowingLimitPercent"),
        queuing=_parse_queuing(name, response),
    )


def _parse_queuing(name: str, response: JsonObject) -> Queuing | None:
    queuing = response.get("queuing")
    if (response.get("type") == "Queue") != (queuing is not None):
        raise Malformed(f"priority level {name}: broken limitResponse")
    if queuing is None:
        return None
    queues, hand_size = queuing.get("queues", 0), queuing.get("handSize", 0)
    if not can_deal(queues, hand_size):
        raise Malformed(f"priority level {name}: no hand of {hand_size} of {queues} queues")
    return Queuing(queues, hand_size, queuing.get("queueLengthLimit", 0))


def parse_schema(obj: JsonObject) -> SchemaSpec:
    """Return a stored FlowSchema."""
    metadata, spec = obj["metadata"], obj.get("spec") or {}
    return SchemaSpec(
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        precedence=spec.get("matchingPrecedence", 0),
        level=(spec.get("priorityLevelConfiguration") or {}).get("name", ""),
        distinguisher=(spec.get("distinguisherMethod") or {}).get("type", ""),
        rules=tuple(_parse_rule(rule) for rule in spec.get("rules") or ()),
    )


def _parse_rule(rule: JsonObject) -> PolicyRule:
    subjects = rule.get("subjects") or ()
    accounts = [one["serviceAccount"] for one in subjects if one.get("serviceAccount")]
    return PolicyRule(
        frozenset(one["user"].get("name", "") for one in subjects if one.get("user")),
        frozenset(one["group"].get("name", "") for one in subjects if one.get("group")),
        tuple((one.get("namespace", ""), one.get("name", "")) for one in accounts),
        tuple(_parse_resource_rule(one) for one in rule.get("resourceRules") or ()),
        tuple(
            PathRule(_set_of(one, "verbs"), tuple(one.get("nonResourceURLs") or ()))
            for one in rule.get("nonResourceRules") or ()
        ),
    )


def _parse_resource_rule(rule: JsonObject) -> ResourceRule:
    return ResourceRule(
        _set_of(rule, "verbs"),
        _set_of(rule, "apiGroups"),
        _set_of(rule, "resources"),
        _set_of(rule, "namespaces"),
        bool(rule.get("clusterScope")),
    )


def _set_of(rule: JsonObject, key: str) -> frozenset[str]:
    return frozenset(rule.get(key) or ())
