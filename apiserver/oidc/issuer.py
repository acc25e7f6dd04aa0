"""What is to be known of a trusted issuer of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from apiserver.oidc.expressions import Expression

ALGORITHMS: Final = tuple(
    f"{kind}{bits}" for kind in ("RS", "ES", "PS") for bits in (256, 384, 512)
)


@dataclass(frozen=True, slots=True)
class ClaimMapping:
    """A claim, and what is put before its value."""

    claim: str
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """An expression that has to hold, and what is said when it does not."""

    expression: Expression
    message: str = ""


@dataclass(frozen=True, slots=True)
class Issuer:
    """One trusted issuer.

    Attributes:
        username, groups, uid: where they come from: a claim, or what an expression gives.
        discovery_url: where it tells of its keys; empty: at the place that its URL gives.
        authorities: PEM certificates that its server is checked by; empty: the system's.
        required: claims and the values that they must have.
        extra: further facts about its users, and the expressions that give them.
        claim_rules: what has to hold of claims.
        user_rules: what has to hold of the user that was made of them.
        algorithms: by which it may sign.
    """

    url: str
    audiences: tuple[str, ...]
    username: ClaimMapping | Expression
    groups: ClaimMapping | Expression | None = None
    uid: ClaimMapping | Expression | None = None
    discovery_url: str = ""
    authorities: str = ""
    required: Mapping[str, str] = field(default_factory=dict)
    extra: tuple[tuple[str, Expression], ...] = ()
    claim_rules: tuple[Rule, ...] = ()
    user_rules: tuple[Rule, ...] = ()
    algorithms: tuple[str, ...] = ALGORITHMS
