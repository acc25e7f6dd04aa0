"""The parts of an API server put together: which handler serves which verb, and what it needs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from apiserver.admission.facts import Facts
from apiserver.admission.plugins import make_chain
from apiserver.admission.twin_profiles import TwinProfiles
from apiserver.audit.auditor import Auditor
from apiserver.audit.log import AuditLog, LogLimits
from apiserver.audit.policy import parse_policy
from apiserver.authn import AnonymousRule, Authenticator, TokenJudge, read_token_file
from apiserver.authorization.authorizers import Authorizers
from apiserver.authz import Authorizer, Judge
from apiserver.bootstrap import ServerItself
from apiserver.bootstrap_tokens import BootstrapTokens
from apiserver.custom.definition import DEFINITIONS
from apiserver.custom.writes import NAMES
from apiserver.exchange import Exchange
from apiserver.impersonation import Impersonator
from apiserver.impersonation_figures import ImpersonationFigures
from apiserver.metrics import Metrics
from apiserver.node_access.judge import NodeAuthorizer
from apiserver.oidc.issuers import Issuers
from apiserver.quota import QuotaGate
from apiserver.rbac.authorizer import RbacAuthorizer
from apiserver.rbac.escalation import make_guards
from apiserver.resources import Catalog, Target
from apiserver.server import Server
from apiserver.service_accounts import ServiceAccountTokens
from apiserver.service_claims import PORT_CLAIMS, ServiceClaims
from apiserver.settings import ServerSettings
from apiserver.signing_keys import SigningKeys
from apiserver.storage_metrics import StorageMetrics
from apiserver.twins import Twins
from apiserver.verb_table import PROXY, Handler, Verbs
from apiserver.verbs.answer import respond_printed
from apiserver.verbs.delete import delete
from apiserver.verbs.delete_collection import delete_collection
from apiserver.verbs.evict import evict
from apiserver.verbs.node_parts import NodeParts
from apiserver.verbs.patching import patch
from apiserver.verbs.post import post
from apiserver.verbs.put import put
from apiserver.verbs.read import get, list_
from apiserver.verbs.reviews import Reviews
from apiserver.verbs.scaling import get_scale, write_scale
from apiserver.verbs.subresources import PARTS, bind, write_part
from apiserver.verbs.token import TokenRequests
from apiserver.verbs.watch import watch
from journal.engine import Journal
from kube.builtin_kinds import builtin_registry
from runtime.clock import Clock
from runtime.tasks import TaskCrashed
from storage.alarms import Quotas
from storage.errors import JournalUnavailable
from storage.housekeeping import Retention
from storage.mapped_store import MappedStore
from storage.partition_map import PartitionMap
from storage.sealing import Sealers
from storage.space import Paths, SpaceWatch
from storage.store import Store, StoreOptions
from storage.store_view import StoreView

if TYPE_CHECKING:
    from apiserver.encryption.sealers import ConfiguredSealers


_log: Final = logging.getLogger(__name__)
_RETRY_S: Final = 0.2
_OWN: Final = frozenset({PORT_CLAIMS, NAMES})
"""What storage holds for the server alone."""


async def component_statuses(server: Server, exchange: Exchange, _target: Target) -> None:
    """Answer with an empty list: the API is deprecated, and nothing registers itself here."""
    document = {"kind": "ComponentStatusList", "apiVersion": "v1", "metadata": {}, "items": []}
    await respond_printed(server, exchange, document, "componentstatuses")


def make_catalog(settings: ServerSettings) -> Catalog:
    """Return the served resources."""
    return Catalog(builtin_registry().enabled(settings.runtime_config))


def make_sealers(settings: ServerSettings, clock: Clock) -> ConfiguredSealers | None:
    """Return what seals objects at rest; None: nothing does.

    Raises:
        EncryptionConfigError: its configuration is of no use.
    """
    if settings.encryption_config_file is None:
        return None
    # Whoever encrypts nothing need not load it.
    from apiserver.encryption.sealers import load_sealers  # noqa: PLC0415

    return load_sealers(settings.encryption_config_file, clock.monotonic_s)


def store_options(
    settings: ServerSettings, catalog: Catalog, sealers: Sealers | None
) -> StoreOptions:
    """Return how the replica is to be kept."""
    indexes = {
        resource.storage: resource.hooks.indexed
        for resource in catalog.stored()
        if resource.hooks.indexed
    }
    storage = settings.storage
    return StoreOptions(
        memory_path=settings.memory_dir,
        data_path=settings.data_dir,
        partitions=_with_claims(storage.partitions),
        indexes=indexes,
        checkpoint_seconds=storage.checkpoint_interval_s,
        retention=Retention(storage.compaction_age_s, storage.compaction_revisions_max),
        map_bytes=storage.map_bytes_max,
        plain_bytes_max=storage.plain_bytes_max,
        sealers=sealers,
    )


def _with_claims(partitions: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Put what is written along where that is which it goes with: claims of ports, and of names."""
    known = PartitionMap(partitions)
    homes = {PORT_CLAIMS: known.of("services")}
    if DEFINITIONS in known.by_resource:
        homes[NAMES] = known.of(DEFINITIONS)
    return {
        name: (*resources, *(own for own, home in homes.items() if home == name))
        for name, resources in partitions.items()
    }


def quotas(settings: ServerSettings) -> Quotas:
    """Return the limits of storage."""
    storage = settings.storage
    return Quotas(
        memory_bytes=storage.quota_memory_bytes,
        objects=storage.quota_objects,
        objects_of=storage.quota_objects_of,
        log_bytes=storage.quota_log_bytes,
        memory_reserve_bytes=storage.memory_reserve_bytes,
        log_reserve_bytes=storage.log_reserve_bytes,
        checkpoint_interval_s=storage.checkpoint_interval_s,
    )


async def open_store(store: StoreView, clock: Clock) -> None:
    """Recover the replica, as soon as there is a journal; return when it has caught up."""
    while True:
        try:
            await store.start()
            break
        except JournalUnavailable as error:
            _log.warning("waiting for the journal: %s", error)
            await clock.sleep(_RETRY_S)
    await store.wait_ready()


def make_watch(
    settings: ServerSettings, store: StoreView, journal: Journal, clock: Clock
) -> SpaceWatch:
    """Return who looks at what is left."""
    paths = Paths(settings.memory_dir, settings.data_dir)
    return SpaceWatch(store, journal, paths, quotas(settings), clock)


def make_server(
    settings: ServerSettings, store: StoreView, catalog: Catalog, watch: SpaceWatch, clock: Clock
) -> Server:
    """Return what the verbs work with."""
    gate = QuotaGate(store, watch, settings.workers)
    server = Server(settings, store, catalog, clock, Metrics(), gate)
    server.metrics.gauges.append(StorageMetrics(store, watch, gate).collect)
    services = catalog.by_storage["services"]
    addresses = catalog.by_storage["networking.k8s.io/ipaddresses"]
    server.companions["services"] = ServiceClaims(store, services, addresses, settings)
    for resource in catalog.stored():
        if resource.hooks.twin is not None:
            server.twins[resource.storage] = Twins(resource, resource.hooks.twin)
    return server


def make_authorizers(server: Server, rbac: RbacAuthorizer) -> Authorizers:
    """Return who decides what users may do; the server's guards of writes go by the same.

    Raises:
        ConfigurationUseless, AccessError: the server must not start.
    """
    auth = server.settings.auth
    local: dict[str, Judge] = {"Node": NodeAuthorizer(server.store), "RBAC": rbac}
    authorizers = Authorizers(auth.authorization, auth.authorization_file, local, server.clock)
    authorizer = authorizers.authorizer
    server.authorizer = authorizer
    server.permit = authorizer.ask
    server.guards.update(make_guards(rbac, authorizer))
    facts = Facts(server.store)
    server.admission = make_chain(server, authorizer, facts, ServerItself())
    server.twin_profiles = TwinProfiles(server, facts)
    return authorizers


class Authentication(NamedTuple):
    """Who finds the users of requests, and what has to run for that."""

    authenticator: Authenticator
    tokens: ServiceAccountTokens
    issuers: Issuers
    impersonation: ImpersonationFigures


def make_authentication(
    settings: ServerSettings, store: StoreView, clock: Clock, authorizer: Authorizer
) -> Authentication:
    """Return who finds the user of a request.

    Raises:
        ConfigurationUseless, KeyUseless, TokenFileError, OSError: the server must not start.
    """
    auth = settings.auth
    known = read_token_file(settings.token_file) if settings.token_file is not None else {}
    more = [path.read_bytes() for path in auth.service_account_key_files]
    keys = SigningKeys(settings.service_account_key_file.read_bytes(), more)
    issuer = settings.service_account_issuer
    tokens = ServiceAccountTokens(keys, issuer, store, clock)
    judges: list[TokenJudge] = [tokens]
    if auth.bootstrap_tokens:
        judges.append(BootstrapTokens((issuer,), store, clock))
    issuers = Issuers(auth.authentication, auth.authentication_file, (issuer,), clock)
    judges.append(issuers)
    impersonator = Impersonator(authorizer, clock)
    authenticator = Authenticator(
        known,
        judges,
        impersonator.impersonate,
        api_audiences=(issuer,),
        anonymous=issuers.anonymous or AnonymousRule(auth.anonymous),
    )
    return Authentication(authenticator, tokens, issuers, impersonator.figures)


def make_audit(
    settings: ServerSettings, authorizer: Authorizer, clock: Clock
) -> tuple[Auditor, AuditLog] | None:
    """Return who puts requests on record, and where; None: nobody does.

    Raises:
        PolicyUseless: the server must not start.
    """
    audit = settings.audit
    path = audit.path_of(settings.worker_index)
    if path is None:
        return None
    limits = LogLimits(audit.log_bytes_max, audit.log_backups_max, audit.log_age_days_max)
    log = AuditLog(path, limits, clock)
    return Auditor(parse_policy(audit.policy), log.put, authorizer, clock), log


def make_verbs(
    reviews: Reviews,
    tokens: ServiceAccountTokens,
    node_parts: NodeParts,
) -> Verbs:
    """Return the handlers of all verbs."""
    main: dict[str, Handler] = {
        "create": post,
        "delete": delete,
        "deletecollection": delete_collection,
        "get": get,
        "list": list_,
        "patch": patch,
        "update": put,
        "watch": watch,
    }
    parts: dict[tuple[str, str, str], Handler] = {
        ("*", "status", "get"): get,
        ("*", "status", "patch"): patch,
        ("*", "status", "update"): put,
        ("*", "scale", "get"): get_scale,
        ("*", "scale", "patch"): write_scale,
        ("*", "scale", "update"): write_scale,
        ("pods", "binding", "create"): bind,
        ("pods", "eviction", "create"): evict,
        ("serviceaccounts", "token", "create"): TokenRequests(tokens).create,
    }
    for (storage, name), rules in PARTS.items():
        writer = partial(write_part, rules=rules)
        parts[storage, name, "get"] = get
        parts[storage, name, "patch"] = writer
        parts[storage, name, "update"] = writer
    parts["pods", "log", "get"] = node_parts.log
    for verb in ("get", "create"):
        for name in ("exec", "attach", "portforward"):
            parts["pods", name, verb] = node_parts.stream
    parts["*", PROXY, ""] = node_parts.proxy
    virtual: dict[tuple[str, str], Handler] = {
        (f"{group}/{name}", "create"): reviews.create
        for group, name in (
            ("authentication.k8s.io", "selfsubjectreviews"),
            ("authentication.k8s.io", "tokenreviews"),
            ("authorization.k8s.io", "localsubjectaccessreviews"),
            ("authorization.k8s.io", "selfsubjectaccessreviews"),
            ("authorization.k8s.io", "selfsubjectrulesreviews"),
            ("authorization.k8s.io", "subjectaccessreviews"),
        )
    }
    virtual["bindings", "create"] = bind
    virtual["componentstatuses", "list"] = component_statuses
    return Verbs(main, parts, virtual)


def make_store(
    settings: ServerSettings,
    options: StoreOptions,
    journal: Journal,
    clock: Clock,
    on_crash: Callable[[TaskCrashed], None],
) -> StoreView:
    """Return the store: one that keeps the replica, or one that maps that of other processes.

    `on_crash` hears when the latter can't follow them any more: to begin anew costs it nothing.
    """
    if settings.is_mapped:
        name = f"apiserver-{settings.worker_index}"
        return MappedStore(journal, options, name, clock=clock, on_crash=on_crash)
    return Store(journal, options, clock=clock)


def cluster_status(store: StoreView, watch: SpaceWatch) -> dict[str, Any]:
    """Return what `ultraplane status` shows: partitions, alarms, the log and what is left."""
    return {
        "partitions": _partitions(store, watch),
        "alarms": [alarm.to_json() for alarm in watch.alarms],
        "journal": watch.journal,
        "disks": {
            "memory": watch.memory._asdict(),
            "data": watch.data._asdict(),
        },
        "quotas": {
            "memory_bytes": watch.quotas.memory_bytes,
            "objects": watch.quotas.objects,
            "objects_of": dict(watch.quotas.objects_of),
            "log_bytes": watch.quotas.log_bytes,
        },
    }


def _partitions(store: StoreView, watch: SpaceWatch) -> list[dict[str, Any]]:
    rows = []
    for name, known in store.status().items():
        objects = known["objects"]
        rows.append(
            {
                "name": name,
                "ready": known["ready"],
                "revision": known["revision"],
                "state_hash": known["state_hash"],
                "objects": sum(
                    count for resource, count in objects.items() if resource not in _OWN
                ),
                "bytes": known["bytes"],
                "spare_bytes": known["spare_bytes"],
                "object_bytes": known["object_bytes"],
                "plain_bytes": known["plain_bytes"],
                "lag": max(0, known["journal_tail"] - known["revision"]),
                "lag_s": round(watch.lag_s.get(name, 0.0), 3),
                "checkpoint": known["checkpoint"],
                "checkpoint_at_ms": known["checkpoint_at_ms"],
                "checkpoint_bytes": known["checkpoint_bytes"],
                "checkpoint_error": known["checkpoint_error"],
                "recovered_from": known["recovered_from"],
                "recovery_s": round(known["recovery_s"], 3),
                "watchers": known.get("watchers_anywhere", known["watchers"]),
                "failure": known["failure"],
            }
        )
    return rows
