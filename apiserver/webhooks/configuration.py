"""Webhook configurations, compiled: who is to be asked about which requests.

Configurations are followed from the local replica (apiserver.following), so what a server has
acknowledged counts for the next request. Which webhooks have rules about a type is worked out once
for each type and operation; what depends on an object (selectors, conditions) is in `matching`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from apiserver.resources import Catalog, Resource
from apiserver.webhooks.conditions import WEBHOOK, Conditions, compile_conditions
from apiserver.webhooks.pacing import Pace
from apiserver.webhooks.rules import Place, first_match, is_excluded
from kube.json_types import JsonObject
from kube.kinds import ResourceInfo
from kube.selector_parser import SelectorError, label_selector_of
from kube.selectors import LabelSelector

_GROUP: Final = "admissionregistration.k8s.io"
MUTATING: Final = f"{_GROUP}/mutatingwebhookconfigurations"
VALIDATING: Final = f"{_GROUP}/validatingwebhookconfigurations"
TIMEOUT_S: Final = 10
ADMIT: Final = "admit"
VALIDATE: Final = "validating"
_PLACES_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Selectors:
    """What objects and namespaces have to be like.

    Attributes:
        fault: why they cannot be read; nothing can be said of what they select then.
    """

    namespaces: LabelSelector
    objects: LabelSelector
    fault: str = ""


def selectors_of(spec: JsonObject) -> Selectors:
    """Return the selectors of a webhook, or of what a policy matches."""
    try:
        return Selectors(
            label_selector_of(spec.get("namespaceSelector", {})),
            label_selector_of(spec.get("objectSelector", {})),
        )
    except SelectorError as error:
        return Selectors(LabelSelector(), LabelSelector(), str(error))


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook.

    Attributes:
        key: what it is told from others by, across configurations.
        fails_open: whether a failure to ask it is ignored.
        reviews: the versions of AdmissionReview it takes, in its order.
        pace: how its conditions are evaluated.
        is_reinvoked: whether it is asked again when others have changed what it saw.
    """

    key: tuple[str, int]
    configuration: str
    name: str
    rules: tuple[JsonObject, ...]
    takes_equivalents: bool
    selectors: Selectors
    conditions: Conditions | None
    pace: Pace = field(repr=False)
    fails_open: bool
    timeout_s: int
    client: JsonObject = field(repr=False)
    side_effects: str | None
    reviews: tuple[str, ...]
    is_reinvoked: bool


class Invocation(NamedTuple):
    """A webhook whose rules are about a request.

    Attributes:
        number: of the webhook among all of its kind, as audit annotations count.
        shown_as: group, version and resource in which it wants to see the object.
    """

    number: int
    hook: Hook
    shown_as: tuple[str, str, str]


class Hooks:
    """All webhooks of one kind; a Sink."""

    def __init__(self, catalog: Catalog, step: str) -> None:
        self._catalog = catalog
        self._step = step
        self._by_configuration: dict[str, tuple[Hook, ...]] = {}
        self._known: dict[tuple[Any, ...], tuple[ResourceInfo, tuple[Invocation, ...]]] = {}

    def put(self, _storage: str, obj: JsonObject) -> None:
        """See Sink."""
        name = obj["metadata"]["name"]
        self._by_configuration[name] = tuple(
            _compile(name, number, spec, self._step)
            for number, spec in enumerate(obj.get("webhooks") or ())
        )
        self._known.clear()

    def drop(self, _storage: str, _namespace: str, name: str) -> None:
        """See Sink."""
        self._by_configuration.pop(name, None)
        self._known.clear()

    def clear(self, _storage: str) -> None:
        """See Sink."""
        self._by_configuration.clear()
        self._known.clear()

    def about(self, resource: Resource, subresource: str, operation: str) -> tuple[Invocation, ...]:
        """Return the webhooks with rules about an operation, in the order they are asked in."""
        if not self._by_configuration:
            return ()
        # What is kept of a resource is kept with its entry in the table of kinds, so that no other
        # gets that id: custom types come and go, and their versions with them.
        key = (id(resource.info), subresource, operation)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _PLACES_MAX:
                self._known.clear()
            place = place_of(resource, subresource, operation)
            found = self._known[key] = resource.info, self._find(resource, place)
        return found[1]

    def _find(self, resource: Resource, place: Place) -> tuple[Invocation, ...]:
        if is_excluded(place.group, place.resource):
            return ()
        versions = equivalents(self._catalog, resource)
        hooks = [
            hook for name in sorted(self._by_configuration) for hook in self._by_configuration[name]
        ]
        found = []
        for number, hook in enumerate(hooks):
            others = versions if hook.takes_equivalents else ()
            shown_as = first_match(hook.rules, place, others, "")
            if shown_as is not None:
                found.append(Invocation(number, hook, shown_as))
        return tuple(found)


def place_of(resource: Resource, subresource: str, operation: str) -> Place:
    """Return what rules see of an operation."""
    return Place(
        operation,
        resource.group,
        resource.version,
        resource.plural,
        subresource,
        resource.namespaced,
    )


def equivalents(catalog: Catalog, resource: Resource) -> list[tuple[str, str, str]]:
    """Return group, version and resource of every type that serves the same objects."""
    return [(other.group, other.version, other.plural) for other in catalog.versions_of(resource)]


def _compile(configuration: str, number: int, spec: JsonObject, step: str) -> Hook:
    name = spec.get("name", "")
    fails_open = spec.get("failurePolicy") == "Ignore"
    conditions = spec.get("matchConditions")
    labels = (name, WEBHOOK, step)
    return Hook(
        key=(configuration, number),
        configuration=configuration,
        name=name,
        rules=tuple(spec.get("rules") or ()),
        takes_equivalents=spec.get("matchPolicy") != "Exact",
        selectors=selectors_of(spec),
        conditions=compile_conditions(conditions, labels, fails_open=fails_open),
        pace=Pace({"matchConditions": conditions}),
        fails_open=fails_open,
        timeout_s=spec.get("timeoutSeconds") or TIMEOUT_S,
        client=spec.get("clientConfig") or {},
        side_effects=spec.get("sideEffects"),
        reviews=tuple(spec.get("admissionReviewVersions") or ()),
        is_reinvoked=spec.get("reinvocationPolicy") == "IfNeeded",
    )
