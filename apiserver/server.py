"""What every verb works with: the store, the catalog of types and the limits of a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Final

from apiserver.admission.chain import Chain
from apiserver.authn import NotYet, User
from apiserver.authz import Attributes, Authorizer
from apiserver.cbor_cache import CborCache
from apiserver.companions import Companion
from apiserver.errors import from_storage_error
from apiserver.guard import Guard, Writer
from apiserver.long_lived import LongLived
from apiserver.metrics import Metrics
from apiserver.part_cache import PartCache
from apiserver.quota import QuotaGate
from apiserver.resources import Catalog, Resource
from apiserver.settings import ServerSettings
from apiserver.simulated import SimulatedNetworks
from apiserver.twins import Twins
from apiserver.webhooks.client import WebhookClient
from kube import status as st
from kube.json_types import JsonObject
from runtime.clock import Clock
from runtime.turns import Turns
from storage.errors import StorageError
from storage.record import Record
from storage.store_view import StoreView
from storage.txn import Committed, KeyedOp, Rejected

if TYPE_CHECKING:
    from apiserver.admission.twin_profiles import TwinProfiles

WRITE_TIMEOUT_S: Final = 34.0
"""Upstream's bound for the handler of a mutating request."""
FRESH_TIMEOUT_S: Final = 3.0
"""How long a consistent read waits for the replica before it is refused."""
_NAMESPACES: Final = "namespaces"
_NAMESPACES_MAX: Final = 10_000
UPDATE_ATTEMPTS_MAX: Final = 64
"""How often a read-modify-write is tried again when others get in between."""


Announce = Callable[[str, int], Awaitable[None]]
Permit = Callable[[User, Attributes], Awaitable[None]]
"""Refuses (403) what a user may not do."""


async def _permit_all(_user: User, _asked: Attributes) -> None:
    """Stand in until there is an authorizer: the server itself completes the cluster first."""


class LiveNamespaces:
    """Names of namespaces that were found to be there and not terminating.

    They hold until any namespace changes, as the replica sees it: exactly as good as looking at
    the namespace each time, which was 4% of what a create costs.
    """

    def __init__(self, store: StoreView) -> None:
        self._store = store
        self._names: set[str] = set()
        self._revision = -1

    def has(self, name: str) -> bool:
        """Whether a namespace is known to be live."""
        return name in self._names and self._revision == self._store.changed_revision(_NAMESPACES)

    def add(self, name: str) -> None:
        """Note a namespace that the replica shows as live now."""
        revision = self._store.changed_revision(_NAMESPACES)
        if revision != self._revision or len(self._names) >= _NAMESPACES_MAX:
            self._names.clear()
            self._revision = revision
        self._names.add(name)


@dataclass(slots=True)
class Server:
    """The running server's parts, handed to every verb.

    Attributes:
        twins: what specs became, by storage resource, for types made from templates.
        twin_profiles: what that depends on besides specs; None: nothing is remembered.
        companions: what writes of a type take along, by storage resource.
        announced: what waits, by storage resource, until others have a write that is to be
            acknowledged: none of them shall go on deciding by what was before.
        guards: who looks at writes of a type first, by storage resource.
        permit: refuses what a request turns out to need besides what it was let in for.
        shutting_down: called functions end watches when the server stops.
        live_namespaces: where objects may be created.
        initial_steps: whose turn it is to send a piece of a watch's initial state, which takes
            about a millisecond: a few go on before the event loop looks for anything new.
        late_steps: the same for parts of what has gathered for a watch whose client was waited for.
        watch_parts: what many watches send alike.
        long_lived: open watches.
        list_steps: whose turn it is to make a piece of a list, which takes a millisecond or two.
        cbor: objects in CBOR, for those who ask for it.
        quota: refuses writes for which there is no room.
        admission: the plugins that look at writes; none until they are given.
        authorizer: tells what users may do; nobody may anything until it is given.
        webhooks: calls those of others.
        is_ending: whether the server is about to stop: it serves on, but is not ready.
    """

    settings: ServerSettings
    store: StoreView
    catalog: Catalog
    clock: Clock
    metrics: Metrics
    quota: QuotaGate
    admission: Chain = field(default_factory=Chain)
    companions: dict[str, Companion] = field(default_factory=dict)
    announced: dict[str, Announce] = field(default_factory=dict)
    guards: dict[str, Guard] = field(default_factory=dict)
    permit: Permit = _permit_all
    twins: dict[str, Twins] = field(default_factory=dict)
    twin_profiles: TwinProfiles | None = None
    shutting_down: set[Callable[[], None]] = field(default_factory=set)
    initial_steps: Turns = field(default_factory=lambda: Turns(2))
    late_steps: Turns = field(default_factory=lambda: Turns(16))
    watch_parts: PartCache = field(default_factory=PartCache)
    long_lived: LongLived = field(default_factory=LongLived)
    live_namespaces: LiveNamespaces = field(init=False)
    list_steps: Turns = field(default_factory=lambda: Turns(1))
    cbor: CborCache = field(default_factory=CborCache)
    authorizer: Authorizer = field(default_factory=Authorizer)
    webhooks: WebhookClient = field(init=False)
    simulated: SimulatedNetworks = field(init=False)
    is_ending: bool = False

    def __post_init__(self) -> None:
        self.simulated = SimulatedNetworks(self.settings.kubelet.simulated_cidrs)
        self.webhooks = WebhookClient(self.store, self.simulated)
        self.live_namespaces = LiveNamespaces(self.store)

    async def commit(self, resource: Resource, ops: Sequence[KeyedOp]) -> Committed | Rejected:
        """Append a transaction and wait for its outcome.

        Raises:
            StatusError: 503 or 504; the message says whether it may have been applied. 507: there
                is no room for it, and nothing was written.
        """
        self.quota.admit(ops)
        began_s = monotonic()
        try:
            outcome = await self.store.commit(ops, WRITE_TIMEOUT_S)
        except StorageError as error:
            self.metrics.commits.fail(ops[0], monotonic() - began_s)
            raise from_storage_error(error, resource.group_resource) from error
        self.metrics.commits.observe(ops[0], monotonic() - began_s)
        announce = self.announced.get(resource.storage) if self.announced else None
        if announce is not None and isinstance(outcome, Committed):
            await announce(resource.storage, outcome.revision)
        return outcome

    async def fresh(self, resource: Resource) -> int:
        """Wait until the replica holds all that was acknowledged before this call.

        Returns:
            The revision it has reached.

        Raises:
            StatusError: 503 or 504, the journal is away or the replica lags.
        """
        try:
            return await self.store.fresh(resource.storage, FRESH_TIMEOUT_S)
        except StorageError as error:
            raise from_storage_error(error, resource.group_resource) from error

    def guard(
        self,
        writer: Writer,
        resource: Resource,
        new: JsonObject,
        old: JsonObject | None,
        part: str = "",
    ) -> None:
        """Refuse a write that its writer may not make though they have the verb.

        Raises:
            StatusError: 403 or 404.
            NotYet: somebody has to be asked first.
        """
        guard = self.guards.get(resource.storage)
        if guard is not None:
            guard.check(writer, new, old, part)

    async def guard_new(self, user: User, resource: Resource, new: JsonObject) -> None:
        """Refuse an object that `user` may not create though they have the verb.

        Raises:
            StatusError: 403 or 404.
        """
        if resource.storage not in self.guards:
            return
        writer = Writer(user)
        while True:
            try:
                self.guard(writer, resource, new, None)
            except NotYet as cause:
                await cause.ready
            else:
                return

    def peek(self, resource: Resource, namespace: str, name: str) -> Record | None:
        """Return an object as the local replica has it now, which may be stale."""
        return self.store.get(resource.storage, namespace, name)

    async def read(self, resource: Resource, namespace: str, name: str) -> Record:
        """Return an object by a consistent read.

        Raises:
            StatusError: 404, or that of `fresh`.
        """
        await self.fresh(resource)
        record = self.store.get(resource.storage, namespace, name)
        if record is None:
            raise st.not_found(resource.group, resource.plural, name)
        return record
