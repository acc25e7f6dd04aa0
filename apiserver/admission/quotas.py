"""ResourceQuota: what a namespace may have at most, taken off before an object is written.

The charge is a conditional write of the quota's status: two that charge the same quota never both
spend what is left for one, whichever server they ask. What is freed, and what was charged for a
write that then failed, is given back by the controller, which counts anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import orjson

from apiserver.admission.attributes import CREATE, UPDATE, Attributes
from apiserver.admission.chain import Plugin
from apiserver.admission.facts import QUOTAS, Facts
from apiserver.options import PLAIN_WRITE
from apiserver.resources import Resource
from apiserver.verbs.update import Change, Part
from kube import status as st
from kube.json_types import JsonObject
from kube.quota.amounts import Amounts, add, growth, masked, read, shown, without_zeros, write
from kube.quota.evaluators import Evaluator, evaluator_of
from storage.record import Record

if TYPE_CHECKING:
    from apiserver.exchange import Caller
    from apiserver.server import Server

_CLAIMS: Final = "persistentvolumeclaims"
_SUBRESOURCES: Final[dict[str, frozenset[tuple[str, str]]]] = {
    "pods": frozenset({("", CREATE), ("resize", UPDATE)}),
    "services": frozenset({("", CREATE), ("", UPDATE), ("status", UPDATE)}),
    _CLAIMS: frozenset({("", CREATE), ("", UPDATE), ("status", UPDATE)}),
}
_ONLY_CREATE: Final = frozenset({("", CREATE)})


class ResourceQuota(Plugin):
    """See the module's head."""

    name = "ResourceQuota"
    validates = True

    def __init__(self, server: Server, facts: Facts, caller: Caller) -> None:
        self._server = server
        self._facts = facts
        self._caller = caller
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        if not resource.namespaced or resource.info.virtual:
            return False
        known = _SUBRESOURCES.get(resource.storage, _ONLY_CREATE)
        has_evaluator = evaluator_of(resource.group, resource.plural) is not None
        return has_evaluator and (subresource, operation) in known

    def validate(self, attributes: Attributes) -> Awaitable[None] | None:
        """See Plugin."""
        if not self._facts.all_of(QUOTAS, attributes.namespace):
            return None
        return self._charge(attributes)

    async def _charge(self, attributes: Attributes) -> None:
        resource = attributes.resource
        evaluator = evaluator_of(resource.group, resource.plural)
        assert evaluator is not None
        charge = _Charge(evaluator, attributes, self._server.clock.now_s())
        async with self._alone(attributes.namespace):
            try:
                wanted = charge.all_of(self._quotas(attributes.namespace))
            except st.StatusError:
                # The quota may allow more by now than is known here.
                await self._server.fresh(self._server.catalog.by_storage[QUOTAS])
                wanted = charge.all_of(self._quotas(attributes.namespace))
            if attributes.dry_run:
                return
            for name in wanted:
                await self._write(charge, attributes.namespace, name)

    def _quotas(self, namespace: str) -> list[JsonObject]:
        found = self._facts.all_of(QUOTAS, namespace)
        return sorted(found, key=lambda quota: quota["metadata"]["name"])

    async def _write(self, charge: _Charge, namespace: str, name: str) -> None:
        """Add the charge to a quota's status, whatever it has become by then."""

        def produce(_record: Record, old: JsonObject) -> JsonObject:
            new: JsonObject = orjson.loads(orjson.dumps(old))
            after = charge.of(new)
            if after is not None:
                new.setdefault("status", {})["used"] = write(after)
            return new

        server = self._server
        quotas = server.catalog.by_storage[QUOTAS]
        change = Change(
            server, self._caller, quotas, produce, PLAIN_WRITE, Part.STATUS, admitted=False
        )
        try:
            await change.apply(namespace, name)
        except st.StatusError as error:
            if error.reason != "NotFound":
                raise
            # It limits nothing any more.

    @asynccontextmanager
    async def _alone(self, namespace: str) -> AsyncIterator[None]:
        """Let those who charge a namespace's quotas here not compute against each other."""
        lock, count = self._locks.get(namespace) or (asyncio.Lock(), 0)
        self._locks[namespace] = lock, count + 1
        try:
            async with lock:
                yield
        finally:
            _, count = self._locks.pop(namespace)
            if count > 1:
                self._locks[namespace] = lock, count - 1


class _Charge:
    """What one operation takes, of whichever quota counts it."""

    def __init__(self, evaluator: Evaluator, attributes: Attributes, now_s: float) -> None:
        assert attributes.obj is not None
        self._evaluator = evaluator
        self._attributes = attributes
        self._new, self._old = attributes.obj, attributes.old
        self._usage = evaluator.usage(self._new, now_s)
        self._delta: Amounts | None = None
        if self._old is not None:
            self._delta = growth(self._usage, evaluator.usage(self._old, now_s))

    def all_of(self, quotas: Iterable[JsonObject]) -> list[str]:
        """Return the names of the quotas to be charged.

        Raises:
            StatusError: 403, one of them has too little left.
        """
        return [one["metadata"]["name"] for one in quotas if self.of(one) is not None]

    def of(self, quota: JsonObject) -> Amounts | None:
        """Return what would be used of a quota then; None: nothing is taken of it.

        Raises:
            StatusError: 403, that is more than there is, or the object must say what it needs.
        """
        evaluator, attributes = self._evaluator, self._attributes
        status = quota.get("status") or {}
        hard = read(status.get("hard"))
        if not evaluator.matches(quota, self._new, hard):
            return None
        name = quota["metadata"]["name"]
        counted = evaluator.matching(hard)
        if evaluator.fault is not None and (why := evaluator.fault(self._new, counted)):
            raise attributes.forbidden(f"failed quota: {name}: {why}")
        used = read(status.get("used"))
        if any(one not in used for one in counted):
            listed = ",".join(sorted(counted))
            raise attributes.forbidden(f"status unknown for quota: {name}, resources: {listed}")
        taken = self._usage
        old = self._old
        if self._delta is not None and old is not None and evaluator.matches(quota, old, hard):
            taken = self._delta
        taken = masked(without_zeros(taken), hard)
        if not taken:
            return None
        after = add(used, taken)
        over = [one for one in taken if hard[one] < after[one]]
        if over and attributes.subresource != "status":
            raise attributes.forbidden(
                f"exceeded quota: {name}, requested: {shown(masked(taken, over))}, "
                f"used: {shown(masked(used, over))}, limited: {shown(masked(hard, over))}"
            )
        return after
