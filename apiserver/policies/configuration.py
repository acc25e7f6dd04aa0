"""Policies and their bindings, compiled: which of them are about which requests.

Followed from the local replica as webhooks are. A policy without a binding is about nothing. What
depends on an object is found out by `Matching.shown_as`, in the order in which upstream does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, TypeVar

from apiserver.errors import from_storage_error
from apiserver.following import Following
from apiserver.resources import Catalog, Resource
from apiserver.server import Server
from apiserver.webhooks.configuration import Selectors, equivalents, place_of, selectors_of
from apiserver.webhooks.matching import ShownAs, View
from apiserver.webhooks.rules import Place, first_match, is_excluded
from kube.json_types import JsonObject
from kube.kinds import ResourceInfo
from storage.errors import StorageError
from storage.watcher import Scope

_GROUP: Final = "admissionregistration.k8s.io"
VALIDATING: Final = f"{_GROUP}/validatingadmissionpolicies"
VALIDATING_BINDINGS: Final = f"{_GROUP}/validatingadmissionpolicybindings"
MUTATING: Final = f"{_GROUP}/mutatingadmissionpolicies"
MUTATING_BINDINGS: Final = f"{_GROUP}/mutatingadmissionpolicybindings"
_PLACES_MAX: Final = 4096
Program = TypeVar("Program")
"""A compiled policy."""


@dataclass(frozen=True, slots=True)
class Matching:
    """What a policy, or a binding, is about."""

    rules: tuple[JsonObject, ...]
    excluded: tuple[JsonObject, ...]
    takes_equivalents: bool
    selectors: Selectors

    def may_be_about(self, place: Place, versions: list[ShownAs]) -> bool:
        """Tell whether rules are about a type and operation, whatever the object."""
        if not self.rules:
            return True
        rules = [{**rule, "resourceNames": None} for rule in self.rules]
        others = versions if self.takes_equivalents else ()
        return first_match(rules, place, others, "") is not None

    async def shown_as(self, view: View, place: Place, versions: list[ShownAs]) -> ShownAs | None:
        """Return what an operation's object is to be shown as; None: this is not about it.

        Raises:
            StatusError: the namespace is gone, or selectors cannot be read.
        """
        others = versions if self.takes_equivalents else ()
        name = view.attributes.name
        if self.excluded and first_match(self.excluded, place, others, name) is not None:
            return None
        found: ShownAs | None = (place.group, place.version, place.resource)
        if self.rules:
            found = first_match(self.rules, place, others, name)
        if found is None or not await view.selects(self.selectors):
            return None
        return found


def matching_of(spec: JsonObject | None) -> Matching | None:
    """Return the matching of a matchConstraints or matchResources; None: there is none."""
    if spec is None:
        return None
    return Matching(
        tuple(spec.get("resourceRules") or ()),
        tuple(spec.get("excludeResourceRules") or ()),
        spec.get("matchPolicy") != "Exact",
        selectors_of(spec),
    )


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a policy counts, with which parameters, and what a failure does."""

    name: str
    matching: Matching | None
    param_ref: JsonObject | None
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy(Generic[Program]):
    """One policy."""

    name: str
    matching: Matching
    param_kind: JsonObject | None
    fails_open: bool
    program: Program


class Bound(NamedTuple, Generic[Program]):
    """A policy that may be about an operation, with its bindings in the order of their names."""

    policy: Policy[Program]
    bindings: tuple[Binding, ...]


class Relevant(NamedTuple, Generic[Program]):
    """All that may be about an operation of a type, and the type's other versions."""

    place: Place
    versions: list[ShownAs]
    bound: tuple[Bound[Program], ...]


class Policies(Generic[Program]):
    """All policies of one kind; a Sink.

    Args of the constructor:
        catalog: of types.
        storages: of policies and of their bindings.
        compile_spec: makes a program of a policy; it never fails.
    """

    def __init__(
        self,
        catalog: Catalog,
        storages: tuple[str, str],
        compile_spec: Callable[[JsonObject], Program],
    ) -> None:
        self._catalog = catalog
        self._policies_storage = storages[0]
        self._compile = compile_spec
        self._policies: dict[str, Policy[Program]] = {}
        self._bindings: dict[str, tuple[str, Binding]] = {}
        self._known: dict[tuple[Any, ...], tuple[ResourceInfo, Relevant[Program]]] = {}

    def put(self, storage: str, obj: JsonObject) -> None:
        """See Sink."""
        name, spec = obj["metadata"]["name"], obj.get("spec") or {}
        if storage == self._policies_storage:
            self._policies[name] = Policy(
                name,
                matching_of(spec.get("matchConstraints") or {}) or _NOTHING,
                spec.get("paramKind"),
                spec.get("failurePolicy") == "Ignore",
                self._compile(obj),
            )
        else:
            binding = Binding(
                name,
                matching_of(spec.get("matchResources")),
                spec.get("paramRef"),
                tuple(spec.get("validationActions") or ()),
            )
            self._bindings[name] = spec.get("policyName", ""), binding
        self._known.clear()

    def drop(self, storage: str, _namespace: str, name: str) -> None:
        """See Sink."""
        known: dict[str, Any] = (
            self._policies if storage == self._policies_storage else self._bindings
        )
        known.pop(name, None)
        self._known.clear()

    def clear(self, storage: str) -> None:
        """See Sink."""
        known: dict[str, Any] = (
            self._policies if storage == self._policies_storage else self._bindings
        )
        known.clear()
        self._known.clear()

    def about(
        self, resource: Resource, subresource: str, operation: str
    ) -> Relevant[Program] | None:
        """Return the policies that may be about an operation, by name; None: there are none."""
        if not (self._policies and self._bindings):
            return None
        # With the entry in the table of kinds, as in webhooks.configuration.
        key = (id(resource.info), subresource, operation)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _PLACES_MAX:
                self._known.clear()
            place = place_of(resource, subresource, operation)
            known = self._known[key] = resource.info, self._find(resource, place)
        return known[1] if known[1].bound else None

    def _find(self, resource: Resource, place: Place) -> Relevant[Program]:
        if is_excluded(place.group, place.resource, by_policies=True):
            return Relevant(place, [], ())
        versions = equivalents(self._catalog, resource)
        by_policy: dict[str, list[Binding]] = {}
        for _, (policy_name, binding) in sorted(self._bindings.items()):
            by_policy.setdefault(policy_name, []).append(binding)
        bound = [
            Bound(policy, tuple(by_policy[name]))
            for name, policy in sorted(self._policies.items())
            if name in by_policy and policy.matching.may_be_about(place, versions)
        ]
        return Relevant(place, versions, tuple(bound))


_NOTHING: Final = Matching((), (), takes_equivalents=False, selectors=selectors_of({}))


class FollowedPolicies(Generic[Program]):
    """The policies of one kind, as the replica has them now."""

    def __init__(
        self,
        server: Server,
        storages: tuple[str, str],
        compile_spec: Callable[[JsonObject], Program],
    ) -> None:
        self._policies = Policies(server.catalog, storages, compile_spec)
        scopes = [Scope(storage) for storage in storages]
        self._following = Following(server.store, scopes, self._policies)

    def settle(self) -> bool:
        """Take in what has changed; tell whether that was anything.

        Raises:
            StatusError: 503, the replica cannot be read: nothing is let past unlooked at.
        """
        try:
            return self._following.settle()
        except StorageError as error:
            raise from_storage_error(error) from error

    def when_due(self, tell: Callable[[], None]) -> None:
        """See Following."""
        self._following.when_due(tell)

    def about(
        self, resource: Resource, subresource: str, operation: str
    ) -> Relevant[Program] | None:
        """Return who may be about an operation."""
        return self._policies.about(resource, subresource, operation)
