"""What a controller is to the process that runs it: a name, an account, and how it is made.

Each area of controllers has a tuple of `Part`s, under the names by which upstream's `--controllers`
picks them. Parts share informers, and the books of pods and nodes, through their `Context`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from controllers.certificate_authority import CertificateAuthority
from controllers.identities import Identities
from controllers.nodes import options as node_options
from controllers.nodes.book import NodeBook
from controllers.recorder import Recorder
from controllers.selections import PodGroups
from controllers.workloads.pods import PodBook
from kube.client import ApiClient
from kube.informers.informer import Informers
from kube.json_types import JsonObject
from runtime.tasks import TaskScope

Completer = Callable[[JsonObject, str], JsonObject]
"""Returns a pod that is about to be created in a namespace, with what it lacks; a pure function."""
PODS = "/api/v1/pods"
NODES = "/api/v1/nodes"
EVERYTHING = "*"


class Controller(Protocol):
    """What is started once all informers are synced."""

    def start(self, scope: TaskScope) -> None:
        """Start the workers."""
        ...


@dataclass(slots=True)
class Context:
    """What parts are made of.

    Attributes:
        client: the process's own, which may watch everything.
        informers: shared by all.
        identities: gives each account its client.
        scope: where tasks run that last as long as the process.
        authority: what signs certificate requests, None: nothing does.
        node_options: grace periods of nodes, and where their pods' addresses come from.
        completers: what completes the pods of StatefulSets; parts add to it.
    """

    client: ApiClient
    informers: Informers
    identities: Identities
    scope: TaskScope
    authority: CertificateAuthority | None = None
    node_options: node_options.NodeOptions = node_options.DEFAULTS
    completers: list[Completer] = field(default_factory=list)
    _pods: PodBook | None = None
    _groups: PodGroups | None = None
    _nodes: NodeBook | None = None
    _recorders: dict[str, Recorder] = field(default_factory=dict)

    def writer(self, account: str) -> ApiClient:
        """Return the client of an account, which was made before any part that names it.

        Raises:
            KeyError: the part does not name it.
        """
        return self.identities.known(account)

    def recorder(self, account: str, component: str = "") -> Recorder:
        """Return who tells events in an account's name, as a component if that has another one."""
        name = component or account
        made = self._recorders.get(name)
        if made is None:
            made = self._recorders[name] = Recorder(self.writer(account), name)
            made.start(self.scope)
        return made

    def pods(self) -> PodBook:
        """Return the book of all pods; watched from the first that asks for it on."""
        if self._pods is None:
            self._pods = PodBook()
            self.informers.of(PODS).on_changes(self._pods.take)
        return self._pods

    def groups(self) -> PodGroups:
        """Return all pods by namespace and labels, for those who select pods."""
        if self._groups is None:
            self._groups = PodGroups(self.pods())
        return self._groups

    def nodes(self) -> NodeBook:
        """Return the book of all nodes; watched from the first that asks for it on."""
        if self._nodes is None:
            self._nodes = NodeBook()
            self.informers.of(NODES).on_changes(self._nodes.take)
        return self._nodes


class Part(NamedTuple):
    """One controller.

    Attributes:
        name: as upstream's --controllers has it, such as "deployment-controller".
        accounts: the service accounts it writes as.
        make: makes it.
    """

    name: str
    accounts: tuple[str, ...]
    make: Callable[[Context], Controller]


class UnknownController(ValueError):
    """A name that `--controllers` was given is none."""


def choose(parts: Sequence[Part], wanted: Sequence[str]) -> list[Part]:
    """Return the parts that upstream's `--controllers` picks.

    Args:
        parts: all there are.
        wanted: "foo" picks foo, "-foo" leaves it out, "*" picks all that are not named; the first
            that names a part decides. Names may lack "-controller", as upstream's older ones do.

    Raises:
        UnknownController: nothing is called so.
    """
    names = {part.name for part in parts}
    rules: dict[str, bool] = {}
    for text in wanted:
        if text == EVERYTHING:
            continue
        name = text.removeprefix("-")
        full = name if name in names else f"{name}-controller"
        if full not in names:
            known = ", ".join(sorted(names))
            raise UnknownController(f'"{name}" is not in the list of known controllers: {known}')
        rules.setdefault(full, not text.startswith("-"))
    return [part for part in parts if rules.get(part.name, EVERYTHING in wanted)]
