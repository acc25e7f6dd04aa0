"""What the scheduler asks of device claims: DynamicResources."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from controllers.scheduler.columns import Bools, Ints, NodeColumns
from controllers.scheduler.devices.book import Book, terms_mask
from controllers.scheduler.devices.model import Claim
from controllers.scheduler.devices.result import allocation_of
from controllers.scheduler.devices.search import CannotAllocate
from controllers.scheduler.devices.selecting import SelectorFault, Selectors
from controllers.scheduler.devices.survey import Layout, Survey
from controllers.scheduler.extension import Extension
from controllers.scheduler.node_rules import Check
from controllers.scheduler.settings import CLAIMS, Profile
from controllers.scheduler.shapes import Shape
from controllers.scheduler.terms import parse_node_terms
from kube.json_types import JsonObject

RESERVED_MAX: Final = 256
CANNOT: Final = "cannot allocate all claims"
ELSEWHERE: Final = "resourceclaim not available on the node"
STILL: Final = "still not schedulable"
DEALLOCATED: Final = "deallocation of ResourceClaim completed"
_SURVEYS_MAX: Final = 64
Read = Callable[[str], JsonObject | None]
Deallocate = Callable[[str, str], None]


@dataclass(slots=True)
class Reserved:
    """What is to be written for a pod.

    Attributes:
        node: where it goes.
        claims: all of its claims that are not reserved for it yet.
        allocations: of those that had none.
    """

    node: str
    claims: list[str]
    allocations: dict[str, JsonObject] = field(default_factory=dict)


class Devices(Extension):
    """See the module's head.

    Args of the constructor:
        columns: the nodes.
        read: returns a claim, decoded, by "namespace/name".

    Attributes:
        deallocate: called with a claim that keeps a pod (uid) from its node and is no other's.
    """

    plugins = (CLAIMS,)

    def __init__(self, columns: NodeColumns, read: Read) -> None:
        self.book = Book(columns)
        self.deallocate: Deallocate = lambda _key, _uid: None
        self._columns = columns
        self._read = read
        self._selectors = Selectors()
        self._layout = Layout(self.book)
        self._surveys: OrderedDict[tuple[object, ...], Survey] = OrderedDict()
        self._reserved: dict[str, Reserved] = {}

    def concerns(self, shape: Shape) -> bool:
        """Tell whether a pod has device claims."""
        return bool(shape.claims)

    def version(self, shape: Shape) -> int:
        """Return a number that changes with whatever may change a decision."""
        book = self.book
        return self.news(shape) + book.touched_count + book.slices_version + book.classes_version

    def news(self, shape: Shape) -> int:
        """Return a number that changes with the pod's own claims."""
        return sum(self.book.claim_mark(key) for key in self._keys(shape))

    def chances(self, shape: Shape) -> int:
        """Return a number that changes when there may be more to have."""
        return self.book.freed + self.book.slices_version + self.book.classes_version

    def checks(self, shape: Shape, profile: Profile) -> Iterator[Check]:
        """Yield what DynamicResources says; what is wrong with the pod is told alone."""
        if CLAIMS not in profile.filters:
            return
        count = self._columns.count
        why = self._wrong_with(shape)
        claims = [] if why else self._claims(shape)
        wanted = [one for one in claims if self.book.allocation_of(one.key) is None]
        survey = self._survey(wanted) if wanted else None
        if survey is not None:
            why = survey.fault
        if why:
            none = np.zeros(count, np.bool_)
            yield Check(CLAIMS, why, is_final=True, passed=none, is_whole=True)
            return
        available = np.ones(count, np.bool_)
        for claim in claims:
            available &= self._reaching(claim)
        if not available.all():
            yield Check(CLAIMS, ELSEWHERE, is_final=True, passed=available)
        if survey is not None:
            yield Check(CLAIMS, CANNOT, is_final=True, passed=survey.passed.copy())

    def preferences(self, shape: Shape, profile: Profile) -> tuple[int, Ints] | None:
        """Return weight and raw scores: how well what claims prefer is met."""
        weight = profile.weights.get(CLAIMS, 0)
        if not weight or self._wrong_with(shape):
            return None
        wanted = [one for one in self._claims(shape) if self.book.allocation_of(one.key) is None]
        if not any("/" in asked[0].name for one in wanted for asked in one.requests):
            return None
        return weight, self._survey(wanted).scores.copy()

    def reserve(self, uid: str, shape: Shape, slot: int) -> None:
        """Take a pod's claims for allocated, and reserved for it."""
        claims = [one for one in self._claims(shape) if uid not in one.reserved]
        node = self._columns.names[slot]
        reserved = self._reserved[uid] = Reserved(node, [one.key for one in claims])
        wanted = [one for one in claims if self.book.allocation_of(one.key) is None]
        if not wanted:
            return
        try:
            results = self._survey(wanted).choose(slot)
        except (CannotAllocate, SelectorFault):
            results = None
        if results is None:
            return  # who binds finds claims that have nothing, and has the pod decided again
        for claim, taken in zip(wanted, results, strict=True):
            obj = self._read(claim.key)
            if obj is None:
                continue  # it is gone: binding will find that out
            allocation = allocation_of(self.book, obj, taken, node)
            reserved.allocations[claim.key] = allocation
            self.book.assume(claim.key, allocation)

    def reserved(self, uid: str) -> Reserved | None:
        """Return what is to be written for a pod."""
        return self._reserved.get(uid)

    def release(self, uid: str) -> None:
        """Take back what was assumed for a pod, as far as the API does not know it."""
        reserved = self._reserved.pop(uid, None)
        if reserved is not None:
            for key in reserved.allocations:
                self.book.forget(key)

    def settle(self, uid: str) -> None:
        """Forget what was to be written: it is, and counts until the API tells of it."""
        self._reserved.pop(uid, None)

    def unblock(self, shape: Shape) -> str:
        """Have a claim deallocated that keeps a pod from nodes and that nobody else uses.

        Returns:
            What is told of that; empty: the pod has no claims.
        """
        if not shape.claims:
            return ""
        for claim in self._claims(shape):
            is_idle = claim.allocation is not None and set(claim.reserved) <= {shape.pod_uid}
            if is_idle and not self._reaching(claim).all():
                self.deallocate(claim.key, shape.pod_uid)
                return DEALLOCATED
        return STILL

    def _keys(self, shape: Shape) -> list[str]:
        return [f"{shape.namespace}/{name}" for name, _ in shape.claims if name]

    def _claims(self, shape: Shape) -> list[Claim]:
        found = (self.book.claims.get(key) for key in self._keys(shape))
        return [claim for claim in found if claim is not None]

    def _wrong_with(self, shape: Shape) -> str:
        """Return what is wrong with a pod's claims, whatever the node; empty: nothing is."""
        for name, is_made in shape.claims:
            if name is None:
                mine = f"{shape.namespace}/{shape.pod_name}"
                return f'pod "{mine}": ResourceClaim not created yet'
            if name and (why := self._wrong_with_claim(shape, name, is_made=is_made)):
                return why
        return ""

    def _wrong_with_claim(self, shape: Shape, name: str, *, is_made: bool) -> str:
        claim = self.book.claims.get(f"{shape.namespace}/{name}")
        if claim is None:
            return f'resourceclaim.resource.k8s.io "{name}" not found'
        if claim.is_going:
            return f'resourceclaim "{name}" is being deleted'
        if is_made and claim.owner != shape.pod_uid:
            text = f"ResourceClaim {claim.key} was not created for pod"
            return f"{text} {shape.namespace}/{shape.pod_name} (pod is not owner)"
        if self.book.allocation_of(claim.key) is not None:
            is_mine = shape.pod_uid in claim.reserved
            return "" if is_mine or len(claim.reserved) < RESERVED_MAX else "resourceclaim in use"
        for request in claim.requests:
            for asked in request:
                if asked.class_name not in self.book.classes:
                    text = f"device class {asked.class_name} does not exist"
                    return f"request {asked.name}: {text}"
        return ""

    def _reaching(self, claim: Claim) -> Bools:
        """Return the nodes that reach what a claim has."""
        allocation = self.book.allocation_of(claim.key) or {}
        selector = allocation.get("nodeSelector")
        if selector is None:
            return np.ones(self._columns.count, np.bool_)
        return terms_mask(self._columns, parse_node_terms(selector))

    def _survey(self, claims: list[Claim]) -> Survey:
        key = (self.book.classes_version, *(one.spec_key for one in claims))
        found = self._surveys.get(key)
        if found is None:
            found = self._surveys[key] = Survey(self._layout, self._selectors, claims)
            if len(self._surveys) > _SURVEYS_MAX:
                self._surveys.popitem(last=False)
        self._surveys.move_to_end(key)
        found.refresh()
        return found
