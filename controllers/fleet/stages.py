"""Stages as objects of the API, which count beside those built in.

The type is a custom one. Where it cannot be had, the built-in stages count alone; it is looked for
now and then, and from when it is served on, its objects are watched.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from controllers.fleet.lives import DEFAULTS, Stage, Step, in_order, read_stage
from controllers.fleet.machines import GROUP
from kube.client import ApiClient, Unreachable
from kube.informers.changes import Change, Told
from kube.informers.reflector import Reflector
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

VERSION: Final = "v1alpha1"
PATH: Final = f"/apis/{GROUP}/{VERSION}/stages"
_DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_LOOK_S: Final = 15.0
STAGES_MAX: Final = 1000
_log = logging.getLogger(__name__)


class StageBook:
    """The stages that count; a sink of a reflector.

    Attributes:
        on_change: is called when others count.
    """

    def __init__(self) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self._own: dict[str, Stage] = {}
        self._told: set[str] = set()
        self._ordered = in_order(DEFAULTS)

    def stages(self) -> list[Stage]:
        """Return all, in the order in which they count."""
        return self._ordered

    def begin(self) -> None:
        """See Sink."""
        self._told = set()

    def take(self, events: Sequence[Told]) -> None:
        """See Sink."""
        for told in events:
            name = told.object["metadata"]["name"]
            if told.change is Change.DELETED:
                self._own.pop(name, None)
                self._told.discard(name)
                continue
            self._told.add(name)
            try:
                stage = read_stage(told.object)
            except ValueError as error:
                _log.warning("stage %s does not count: %s", name, error)
                self._own.pop(name, None)
                continue
            if name in self._own or len(self._own) < STAGES_MAX:
                self._own[name] = stage
        self._order()

    def sweep(self) -> Iterator[None]:
        """See Sink."""
        for name in self._own.keys() - self._told:
            del self._own[name]
        self._order()
        yield

    def _order(self) -> None:
        # An object of a built-in stage's name takes its place.
        own = self._own
        self._ordered = in_order([*own.values(), *(one for one in DEFAULTS if one.name not in own)])
        self.on_change()


class StageWatch:
    """Makes the type, and has its objects watched once it is served."""

    def __init__(self, client: ApiClient, book: StageBook) -> None:
        self._client = client
        self._book = book

    async def install(self) -> None:
        """Make the type, if it can be."""
        try:
            await self._client.request("POST", _DEFINITIONS, definition())
        except StatusError as error:
            if error.reason != "AlreadyExists":
                _log.info("stages are no type here: %s", error)
        except Unreachable as error:
            _log.info("stages are no type yet: %s", error)

    async def run(self, scope: TaskScope) -> None:
        """Wait until the type is served, then watch."""
        await self.install()
        while not await self._is_served():
            await self._client.clock.sleep(_LOOK_S)
            # The server may not have been there yet when the type was to be made.
            await self.install()
        reflector = Reflector(self._client, PATH, self._book)
        scope.spawn(reflector.run(), name="watch of stages")

    async def _is_served(self) -> bool:
        try:
            await self._client.request("GET", PATH, query={"limit": "1"})
        except (StatusError, Unreachable):
            return False
        return True


def definition() -> JsonObject:
    """Return the definition of the type."""
    text = {"type": "string"}
    texts = {"type": "array", "items": text}
    pairs = {"type": "object", "additionalProperties": text}
    match: dict[str, Any] = {
        "namespaces": texts,
        "images": texts,
        "ownerKinds": texts,
        "labels": pairs,
        "annotations": pairs,
        "share": {"type": "number", "minimum": 0, "maximum": 1},
    }
    code = {"type": "integer", "minimum": 0, "maximum": 255}
    failure = {"reason": text, "message": text, "exitCode": code}
    spec: dict[str, Any] = {
        "step": {"type": "string", "enum": [step.value for step in Step]},
        "priority": {"type": "integer", "format": "int32"},
        "match": {"type": "object", "properties": match},
        "delay": text,
        "jitter": text,
        "failure": {"type": "object", "properties": failure},
        "faults": texts,
    }
    schema = {
        "type": "object",
        "required": ["spec"],
        "properties": {"spec": {"type": "object", "required": ["step"], "properties": spec}},
    }
    columns = [
        {"name": "Step", "type": "string", "jsonPath": ".spec.step"},
        {"name": "Priority", "type": "integer", "jsonPath": ".spec.priority"},
        {"name": "Delay", "type": "string", "jsonPath": ".spec.delay"},
    ]
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "additionalPrinterColumns": columns,
    }
    names = {"plural": "stages", "singular": "stage", "kind": "Stage", "listKind": "StageList"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"stages.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Cluster", "names": names, "versions": [version]},
    }
