"""From a request to its flow: classified once for each kind of request of each user, then known.

What decides is the user, the verb, the resource and the namespace, or the path; never a name. The
answers are kept in a bounded table that a change of the configuration empties.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, Final

from apiserver.authn import User
from apiserver.authz import Attributes
from apiserver.fairness.dealing import deal, hash_flow
from apiserver.fairness.defaults import MANDATORY_LEVELS, MANDATORY_SCHEMAS
from apiserver.fairness.levels import Level, divide_seats
from apiserver.fairness.matching import distinguisher_of, in_order, matches
from apiserver.fairness.model import (
    CATCH_ALL,
    LevelSpec,
    SchemaSpec,
    parse_level,
    parse_schema,
)
from apiserver.fairness.requests import Tally
from apiserver.fairness.watch_counts import ResourceWatches

KNOWN_MAX: Final = 10_000
_PATH_LENGTH_MAX: Final = 256
_IMAGINED_LEVELS: Final = {spec.name: spec for spec in map(parse_level, MANDATORY_LEVELS)}
_IMAGINED_SCHEMAS: Final = {spec.name: spec for spec in map(parse_schema, MANDATORY_SCHEMAS)}


class Way(Enum):
    """What of a flow's requests is worked out for each."""

    UNLIMITED = "nothing: they last as long as clients like"
    NARROW = "nothing: they take one seat"
    WRITE = "how many watches see it"
    WIDE = "how much it goes through"


class Flow:
    """Requests that are treated alike.

    Attributes:
        hand: the queues of its level that it may use, () where there are none.
        way, is_read: how the gate deals with them, which it works out at the first of them.
        watches: of what they write.
        standing: one ticket for all of them, where nothing limits their level.
        head: the answers' header lines that name schema and level, by uid alone: names would tell
            strangers what they are to the cluster.
    """

    __slots__ = (
        "distinguisher",
        "hand",
        "head",
        "is_read",
        "level",
        "schema",
        "standing",
        "tally",
        "watches",
        "way",
    )

    def __init__(self, schema: SchemaSpec, level: Level, distinguisher: str) -> None:
        self.schema = schema
        self.level = level
        self.distinguisher = distinguisher
        self.tally: Tally = level.tally(schema.name)
        self.is_read = False
        self.way: Way | None = None
        self.watches: ResourceWatches | None = None
        self.standing: Any = None
        queuing = level.spec.queuing
        self.hand: tuple[int, ...] = ()
        if queuing is not None:
            flow_hash = hash_flow(schema.name, distinguisher)
            self.hand = deal(flow_hash, queuing.queues, queuing.hand_size)
        self.head = (
            f"x-kubernetes-pf-flowschema-uid: {schema.uid}\r\n"
            f"x-kubernetes-pf-prioritylevel-uid: {level.spec.uid}\r\n"
        ).encode()


class Flows:
    """The configuration at work: levels, schemas in order, and the flows known by them.

    Attributes:
        levels: by name, also those that only let their last requests end.
        schemas: in the order in which they are asked.
    """

    def __init__(self, server_seats: int, now_s: float) -> None:
        self._server_seats = server_seats
        # By user, then by kind of request.
        self._known: dict[tuple[str, tuple[str, ...]], dict[tuple[str, ...], Flow]] = {}
        self._known_count = 0
        self.levels: dict[str, Level] = {}
        self.schemas: list[SchemaSpec] = []
        self.configure((), (), now_s)

    def find(self, user: User, request: Attributes) -> Flow:
        """Return the flow of a request."""
        # Verb to namespace: the version among them says nothing, but to leave it out costs more.
        kind = request[:6] if request[3] else (request[0], request[7])
        kinds = self._known.get((user.name, user.groups))
        flow = kinds.get(kind) if kinds is not None else None
        if flow is None:
            flow = self._classify(user, request)
            if len(request.path) <= _PATH_LENGTH_MAX:
                self._know(user, kind, flow)
        return flow

    def _know(self, user: User, kind: tuple[str, ...], flow: Flow) -> None:
        if self._known_count >= KNOWN_MAX:
            # Those of whoever came first.
            self._known_count -= len(self._known.pop(next(iter(self._known))))
        self._known.setdefault((user.name, user.groups), {})[kind] = flow
        self._known_count += 1

    def _classify(self, user: User, request: Attributes) -> Flow:
        for schema in self.schemas:
            if matches(schema, user, request):
                break
        else:
            # Everybody is in one of catch-all's two groups, but for what impersonation may name.
            schema = next(one for one in self.schemas if one.name == CATCH_ALL)
        level = self.levels[schema.level]
        distinguisher = ""
        if level.spec.queuing is not None:
            distinguisher = distinguisher_of(schema, user, request)
        return Flow(schema, level, distinguisher)

    def configure(
        self, levels: Sequence[LevelSpec], schemas: Sequence[SchemaSpec], now_s: float
    ) -> None:
        """Take on a configuration; what waits or runs goes on where it is.

        Mandatory objects that are missing are imagined; schemas of missing levels are left out.
        """
        wanted = {**_IMAGINED_LEVELS, **{spec.name: spec for spec in levels}}
        at_work: dict[str, Level] = {}
        for name, spec in wanted.items():
            level = at_work[name] = self.levels.get(name) or Level(spec, now_s)
            level.spec = spec
            level.is_leaving = False
        for name, level in self.levels.items():
            if name not in at_work and not level.queues.is_idle:
                level.is_leaving = True
                at_work[name] = level
        self.levels = at_work
        named = {**_IMAGINED_SCHEMAS, **{spec.name: spec for spec in schemas}}
        self.schemas = in_order(spec for spec in named.values() if spec.level in wanted)
        self._known.clear()
        self._known_count = 0
        self._forget_tallies()
        divide_seats(list(at_work.values()), self._server_seats, now_s)

    def has_left(self) -> bool:
        """Tell whether a level that is only letting its last requests end has let them."""
        return any(level.is_leaving and level.queues.is_idle for level in self.levels.values())

    def _forget_tallies(self) -> None:
        """Drop what was counted of schemas that are gone, once nothing of them is left."""
        names = {spec.name for spec in self.schemas}
        for level in self.levels.values():
            for name, tally in list(level.tallies.items()):
                if name not in names and tally.is_idle:
                    del level.tallies[name]
