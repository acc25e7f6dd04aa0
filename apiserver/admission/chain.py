"""The order of admission, and who looks at what.

    decode, default, track → mutating plugins → (again, if one of them wants it) → the type's
    preparation and validation → validating plugins → storage

Which plugins look at an operation of a type is worked out once, so that what nobody looks at costs
one look into a dictionary. Plugins whose interest changes, as webhooks' does, are asked whether it
has when they say that it may.

Invariants:
    - Plugins run in the order in which they were given: upstream's.
    - A plugin that need not wait does not: it returns None, and nothing else gets a turn.
    - Rounds of the mutating phase are two at most.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, Final

from apiserver.admission.attributes import Attributes
from apiserver.resources import Resource

_PLANS_MAX: Final = 4096


class Plugin:
    """One plugin; a subclass overrides what it does.

    Attributes:
        name: upstream's.
        mutates, validates: in which phases it runs.
        for_all: whether it looks at what everybody writes, and not at what nodes write alone.
        changes: whether its mutating phase may change objects, and not only refuse them.
        is_dynamic: what it looks at changes; it is told of by `when_due`, and `settle` looks.
        sees_specs: whether it looks at more than the request and the object's metadata. For a
            twin, whose spec is bytes, it does not run again: what it made of the first of the twins
            is remembered with all it depends on (apiserver.twins).
        allows_twins: whether there may be twins at all while it looks at their type.
    """

    name: ClassVar[str]
    mutates: ClassVar[bool] = False
    validates: ClassVar[bool] = False
    for_all: ClassVar[bool] = True
    changes: ClassVar[bool] = True
    is_dynamic: ClassVar[bool] = False
    sees_specs: ClassVar[bool] = True
    allows_twins: ClassVar[bool] = True

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """Tell whether this looks at an operation at all."""
        raise NotImplementedError

    def settle(self) -> bool:
        """Tell whether `handles` may say something else than before; asked when it is due."""
        return False

    def when_due(self, tell: Callable[[], None]) -> None:
        """Have `tell` called whenever `settle` is to be asked; given to those that `is_dynamic`."""
        raise NotImplementedError

    def admit(self, attributes: Attributes) -> Awaitable[None] | None:
        """Be the mutating phase: complete the object, or refuse it; None: that is done.

        Raises:
            StatusError: it is refused.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Let go of what was opened; the server ends."""

    def validate(self, attributes: Attributes) -> Awaitable[None] | None:
        """Be the validating phase: refuse the object or not; None: that is done.

        Raises:
            StatusError: it is refused.
        """
        raise NotImplementedError


class Plan:
    """Who looks at one operation of one type.

    Attributes:
        mutating, validating: in their order.
        for_all: whether one of them looks at what others than nodes write.
        changes: whether one of them may change the object.
        is_dynamic: whether one of them depends on configuration of the cluster's users.
        of_twins: who looks at a twin; None: nobody.
    """

    __slots__ = ("changes", "for_all", "is_dynamic", "mutating", "of_twins", "validating")

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self.mutating = tuple(plugin for plugin in plugins if plugin.mutates)
        self.validating = tuple(plugin for plugin in plugins if plugin.validates)
        self.for_all = any(plugin.for_all for plugin in plugins)
        self.changes = any(plugin.changes for plugin in self.mutating)
        self.is_dynamic = any(plugin.is_dynamic for plugin in plugins)
        bare = [plugin for plugin in plugins if not plugin.sees_specs]
        self.of_twins: Plan | None = self
        if len(bare) != len(plugins):
            self.of_twins = Plan(bare) if bare else None

    def mutate(self, attributes: Attributes) -> Awaitable[None] | None:
        """Run the mutating phase; None: it is over already.

        Raises:
            StatusError: a plugin refuses.
        """
        for index, plugin in enumerate(self.mutating):
            waiting = plugin.admit(attributes)
            if waiting is not None:
                return self._mutate_on(attributes, waiting, index + 1)
        return self._mutate_again(attributes) if attributes.asks_again else None

    def validate(self, attributes: Attributes) -> Awaitable[None] | None:
        """Run the validating phase; None: it is over already.

        Raises:
            StatusError: a plugin refuses.
        """
        for index, plugin in enumerate(self.validating):
            waiting = plugin.validate(attributes)
            if waiting is not None:
                return self._validate_on(attributes, waiting, index + 1)
        return None

    async def _mutate_on(
        self, attributes: Attributes, waiting: Awaitable[None], start: int
    ) -> None:
        await waiting
        for plugin in self.mutating[start:]:
            more = plugin.admit(attributes)
            if more is not None:
                await more
        if attributes.asks_again:
            await self._mutate_again(attributes)

    async def _mutate_again(self, attributes: Attributes) -> None:
        if attributes.reinvocation.is_second:
            return
        attributes.reinvocation.is_second = True
        for plugin in self.mutating:
            more = plugin.admit(attributes)
            if more is not None:
                await more

    async def _validate_on(
        self, attributes: Attributes, waiting: Awaitable[None], start: int
    ) -> None:
        await waiting
        for plugin in self.validating[start:]:
            more = plugin.validate(attributes)
            if more is not None:
                await more


class Chain:
    """All plugins that are switched on."""

    def __init__(self, plugins: Sequence[Plugin] = ()) -> None:
        self.plugins = tuple(plugins)
        self._dynamic = tuple(plugin for plugin in plugins if plugin.is_dynamic)
        self._plans: dict[tuple[int, str, str], tuple[Resource, Plan | None]] = {}
        self._is_due = True
        for plugin in self._dynamic:
            plugin.when_due(self._mark_due)

    def plan(self, resource: Resource, subresource: str, operation: str) -> Plan | None:
        """Return who looks at an operation, None if nobody does.

        Raises:
            StatusError: 503, that cannot be known now.
        """
        if self._is_due:
            self._settle()
        # A twin's stand-in shares its type's info. The resource is kept with its plan, so that no
        # other gets the same id, as custom ones come and go.
        known = self._plans.get((id(resource.info), subresource, operation))
        if known is None:
            known = self._work_out(resource, subresource, operation)
        return known[1]

    def _mark_due(self) -> None:
        self._is_due = True

    def _settle(self) -> None:
        self._is_due = False  # whoever is not done says so again
        for plugin in self._dynamic:
            if plugin.settle():
                self._plans.clear()

    def _work_out(
        self, resource: Resource, subresource: str, operation: str
    ) -> tuple[Resource, Plan | None]:
        found = [one for one in self.plugins if one.handles(resource, subresource, operation)]
        known = resource, Plan(found) if found else None
        if len(self._plans) >= _PLANS_MAX:
            self._plans.clear()
        self._plans[id(resource.info), subresource, operation] = known
        return known
