"""What /livez, /readyz and /healthz look at, under upstream's names where it has the same check.

Life: a process that fails here is better started anew. So a journal that is away, a replica that
lags or a full disk are no reasons: none of them goes away by a restart.

Readiness: a server that fails here should be sent no more requests. A limit that is reached is not
among the reasons: such a server still reads and deletes, and whoever would take it out of service
for that would keep it from healing. It is a warning line.

    check                      fails when
    ------------------------   ---------------------------------------------------------------
    ping                       never
    etcd                       a partition has stopped: upstream's "can I use my storage?"
    storage-<partition>        the same of one, or applying pauses as memory is full
    journal                    a stream takes no appends, as a write failed
    quota                      never; see above
    poststarthook/bootstrap    the initial objects are not there yet
    kms-providers              keys can't be had, if there are such providers
    etcd-readiness   ready     no connection to the journal for more than 5 s
    informer-sync    ready     the replica has not come as far as the log was at the start
    lag              ready     an entry that is known of has not been applied for 10 s
    shutdown         ready     the server was told to stop, and serves what is under way

Those marked `ready` are of /readyz alone, as upstream's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Final

from apiserver.app import Check, Health
from apiserver.server import Server
from storage.alarms import LAG_S_MAX
from storage.space import AWAY_S_MAX, SpaceWatch

PARTITION_PREFIX: Final = "storage-"


def make_health(
    server: Server,
    watch: SpaceWatch,
    is_bootstrapped: Callable[[], bool],
    others: Mapping[str, Check],
) -> Health:
    """Return the checks of a server; `others` are of /healthz and /readyz."""
    checks = _Checks(server, watch, is_bootstrapped)
    live: dict[str, Check] = {"ping": _fine, "etcd": checks.etcd}
    for name in server.store.partition_names:
        live[PARTITION_PREFIX + name] = partial(checks.partition, name)
    healthy: dict[str, Check] = {
        "journal": checks.journal,
        "quota": _fine,
        "poststarthook/bootstrap": checks.bootstrap,
        **others,
    }
    ready: dict[str, Check] = {
        "etcd-readiness": checks.etcd_readiness,
        "informer-sync": checks.informer_sync,
        "lag": checks.lag,
        "shutdown": checks.shutdown,
    }
    return Health(live, healthy, ready, partial(_warnings, watch))


class _Checks:
    """Each returns "" or why it fails."""

    def __init__(
        self, server: Server, watch: SpaceWatch, is_bootstrapped: Callable[[], bool]
    ) -> None:
        self._server = server
        self._store = server.store
        self._watch = watch
        self._is_bootstrapped = is_bootstrapped

    def partition(self, name: str) -> str:
        return self._store.failures().get(name, "")

    def etcd(self) -> str:
        return _joined(f"{name}: {why}" for name, why in self._store.failures().items())

    def journal(self) -> str:
        log = self._watch.log
        return _joined(log.closed.values()) if log is not None else ""

    def etcd_readiness(self) -> str:
        watch = self._watch
        if watch.is_connected:
            return ""
        if watch.away_s > AWAY_S_MAX:
            return f"no connection to the journal for {watch.away_s:.0f} s"
        # Before the first connection there is nothing to serve from.
        return "" if self._store.ready else "no connection to the journal"

    def informer_sync(self) -> str:
        return "" if self._store.ready else "the replica is catching up with the journal"

    def lag(self) -> str:
        late = {name: lag_s for name, lag_s in self._watch.lag_s.items() if lag_s > LAG_S_MAX}
        return _joined(f"{name} is {lag_s:.0f} s behind" for name, lag_s in late.items())

    def bootstrap(self) -> str:
        return "" if self._is_bootstrapped() else "the initial objects are not there yet"

    def shutdown(self) -> str:
        return "process is shutting down" if self._server.is_ending else ""


def _joined(reasons: Iterable[str]) -> str:
    return "; ".join(reasons)


def _warnings(watch: SpaceWatch) -> Iterator[str]:
    """Yield a line for each alarm: its name, and no figures, as anybody may ask."""
    seen = {(alarm.name, alarm.level.text): None for alarm in watch.alarms}
    for name, level in seen:
        yield f"warn: alarm {name}: {level}"


def _fine() -> str:
    return ""
