"""What admission makes of a pod, besides by its spec: the twins' part of it.

Twins (apiserver.twins) are completed without running the plugins again. So what these look at must
be the same: here it is boiled down to a number, the profile, which two namespaces share whose
service accounts and labels say the same. A profile holds until any object changes that plugins
look at, and is then worked out anew, which costs two look-ups.

There is none, and so no twin, where more counts than can be told: in namespaces with quotas or
limits, for nodes, while webhooks or policies look at pods, and for accounts that are not there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from apiserver.admission.attributes import CREATE
from apiserver.admission.chain import Plan
from apiserver.admission.facts import LIMIT_RANGES, QUOTAS, Facts
from apiserver.admission.pod_security.plugin import ENFORCED, PodSecurity, is_warning
from apiserver.admission.service_accounts import ACCOUNTS, DEFAULT
from apiserver.authn import User
from apiserver.node_access.judge import is_node
from kube.json_types import JsonObject

if TYPE_CHECKING:
    from apiserver.exchange import Caller, Exchange
    from apiserver.server import Server

_KNOWN_MAX: Final = 10_000
_NAMESPACES: Final = "namespaces"


class Profile(NamedTuple):
    """What pods of a service account in a namespace have in common.

    Attributes:
        number: the same for all of whom plugins make the same.
        enforced: the pod security policy, as it goes on record.
    """

    number: int
    enforced: str


class TwinProfiles:
    """See the module's head."""

    def __init__(self, server: Server, facts: Facts) -> None:
        self._server = server
        self._facts = facts
        self._pods = server.catalog.by_storage["pods"]
        self._known: dict[tuple[str, str], Profile | None] = {}
        self._numbers: dict[bytes, int] = {}
        self._next = 0
        self._state: tuple[Plan | None, int, int, int, int] = (None, -1, -1, -1, -1)
        security = (one for one in server.admission.plugins if isinstance(one, PodSecurity))
        self._security = next(security, None)

    def of(self, user: User, namespace: str, account: str) -> Profile | None:
        """Return the profile of a pod to be created, None if it can have no twin.

        Args:
            user: who creates it.
            namespace: of the request.
            account: the service account that it names, "" for none.

        Raises:
            StorageError: the replica cannot be read.
        """
        facts = self._facts
        facts.settle()
        state = (
            self._server.admission.plan(self._pods, "", CREATE),
            facts.pod_classes,
            facts.bounds,
            facts.changed_revision(ACCOUNTS),
            facts.changed_revision(_NAMESPACES),
        )
        if state != self._state:
            if state[:2] != self._state[:2]:
                self._numbers.clear()  # numbers go on, so that none is used twice
            self._state = state
            self._known.clear()
        key = (namespace, account)
        known = self._known.get(key, self)
        if isinstance(known, TwinProfiles):
            known = self._work_out(state[0], namespace, account)
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known[key] = known
        if known is None or is_node(user):
            return None
        security = self._security
        if security is not None and security.exempts(user.name, namespace):
            return None
        return known

    def _work_out(self, plan: Plan | None, namespace: str, account: str) -> Profile | None:
        facts = self._facts
        if plan is None or plan.is_dynamic:
            return None
        if not all(one.allows_twins for one in (*plan.mutating, *plan.validating)):
            return None
        if facts.all_of(QUOTAS, namespace) or facts.all_of(LIMIT_RANGES, namespace):
            return None
        found = facts.read(ACCOUNTS, namespace, account or DEFAULT)
        if found is None:
            return None
        metadata = found["metadata"]
        parts: list[Any] = [
            found.get("automountServiceAccountToken"),
            found.get("imagePullSecrets"),
            found.get("secrets"),
            metadata.get("annotations"),
        ]
        enforced = ""
        if self._security is not None:
            policy, faults = self._security.policy_in(namespace)
            if faults:
                return None
            enforced = str(policy.enforce)
            parts.append([str(one) for one in policy])
        return Profile(self._number(orjson.dumps(parts)), enforced)

    def _number(self, content: bytes) -> int:
        number = self._numbers.get(content)
        if number is None:
            if len(self._numbers) >= _KNOWN_MAX:
                self._numbers.clear()
            self._next += 1
            number = self._numbers[content] = self._next
        return number


def account_of(spec: JsonObject) -> str | None:
    """Return the service account that a pod's spec names, as it was sent.

    Returns:
        "" for none; None: the pod can have no twin, as it is to be made on a node of which plugins
        take labels, or in a group that may be about to go.
    """
    name = spec.get("serviceAccountName") or spec.get("serviceAccount") or ""
    if not isinstance(name, str) or spec.get("nodeName") or spec.get("schedulingGroup"):
        return None
    return name


def note_enforced(caller: Caller, profile: Profile) -> None:
    """Put on record which policy a twin was let in by, as PodSecurity does for others."""
    if profile.enforced:
        caller.annotate(ENFORCED, profile.enforced)


def was_noted(exchange: Exchange) -> bool:
    """Tell whether plugins had something to say of a pod, which they should say of its like."""
    return any(map(is_warning, exchange.warnings)) or bool(
        exchange.annotations and exchange.annotations.keys() - {ENFORCED}
    )
