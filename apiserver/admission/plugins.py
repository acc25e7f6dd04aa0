"""All plugins in upstream's order, and which of them are switched on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from apiserver.admission import optional
from apiserver.admission.certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
    ClusterTrustBundleAttest,
)
from apiserver.admission.chain import Chain, Plugin
from apiserver.admission.classes import DefaultIngressClass
from apiserver.admission.event_rates import EventRateLimit
from apiserver.admission.facts import Facts
from apiserver.admission.image_policy import ImagePolicyWebhook
from apiserver.admission.lifecycle import NamespaceLifecycle
from apiserver.admission.limit_ranges import LimitRanger
from apiserver.admission.names import ORDER, enabled
from apiserver.admission.namespace_rules import PodNodeSelector, PodTolerationRestriction
from apiserver.admission.node_restriction import NodeRestriction
from apiserver.admission.nodes import (
    NodeDeclaredFeatureValidator,
    PodResizeValidator,
    PodTopologyLabels,
    TaintNodesByCondition,
)
from apiserver.admission.owner_references import OwnerReferencesPermissionEnforcement
from apiserver.admission.pod_groups import PodGroupProtection, PodGroupWorkloadExists
from apiserver.admission.pod_security.configuration import read_configuration
from apiserver.admission.pod_security.plugin import PodSecurity
from apiserver.admission.priority import Priority
from apiserver.admission.quotas import ResourceQuota
from apiserver.admission.runtime_classes import RuntimeClass
from apiserver.admission.service_accounts import ServiceAccount
from apiserver.admission.tolerations import DefaultTolerationSeconds
from apiserver.admission.volumes import (
    DefaultStorageClass,
    PersistentVolumeClaimResize,
    StorageObjectInUseProtection,
)
from apiserver.authz import Authorizer
from apiserver.webhooks.plugins import make_extensible

if TYPE_CHECKING:
    from apiserver.exchange import Caller
    from apiserver.server import Server

_Make = Callable[[], Plugin]


def make_chain(server: Server, authorizer: Authorizer, facts: Facts, caller: Caller) -> Chain:
    """Return the admission of a server, as its settings have it.

    Args:
        server: which one.
        authorizer: who is asked what users may do besides.
        facts: what plugins look at.
        caller: on whose behalf the server itself writes.
    """
    settings = server.settings.admission
    wanted = enabled(settings.enable, settings.disable)
    known = _makers(server, authorizer, facts, caller)
    return Chain([known[name]() for name in ORDER if name in wanted and name in known])


def _makers(
    server: Server, authorizer: Authorizer, facts: Facts, caller: Caller
) -> Mapping[str, _Make]:
    with_facts: Iterable[Callable[[Facts], Plugin]] = _WITH_FACTS
    configurations = server.settings.admission.configurations

    def told(name: str) -> Mapping[str, Any]:
        return configurations.get(name) or {}

    makers: dict[str, _Make] = {
        "CertificateApproval": lambda: CertificateApproval(authorizer),
        "CertificateSigning": lambda: CertificateSigning(authorizer),
        "ClusterTrustBundleAttest": lambda: ClusterTrustBundleAttest(authorizer),
        "NamespaceAutoProvision": lambda: optional.NamespaceAutoProvision(server, caller),
        "NamespaceExists": lambda: optional.NamespaceExists(server),
        "NamespaceLifecycle": lambda: NamespaceLifecycle(server),
        "NodeRestriction": lambda: NodeRestriction(facts, authorizer),
        "OwnerReferencesPermissionEnforcement": lambda: OwnerReferencesPermissionEnforcement(
            authorizer, server.catalog
        ),
        "EventRateLimit": lambda: EventRateLimit(told("EventRateLimit"), server.clock),
        "ImagePolicyWebhook": lambda: ImagePolicyWebhook(told("ImagePolicyWebhook"), server.clock),
        "PodGroupProtection": lambda: PodGroupProtection(server),
        "PodGroupWorkloadExists": lambda: PodGroupWorkloadExists(server),
        "PodNodeSelector": lambda: PodNodeSelector(server, told("PodNodeSelector")),
        "PodSecurity": lambda: PodSecurity(server, read_configuration(told("PodSecurity"))),
        "PodTolerationRestriction": lambda: PodTolerationRestriction(
            server, told("PodTolerationRestriction")
        ),
        "ResourceQuota": lambda: ResourceQuota(server, facts, caller),
        "ServiceAccount": lambda: ServiceAccount(server, facts),
    }
    for extensible in make_extensible(server):
        makers[extensible.name] = partial(_same, extensible)
    for plain in _PLAIN:
        makers[plain.name] = plain
    for kind in with_facts:
        plugin = kind(facts)
        makers[plugin.name] = partial(_same, plugin)
    return makers


def _same(plugin: Plugin) -> Plugin:
    return plugin


_PLAIN: Final[tuple[type[Plugin], ...]] = (
    CertificateSubjectRestriction,
    DefaultTolerationSeconds,
    StorageObjectInUseProtection,
    TaintNodesByCondition,
    optional.AlwaysAdmit,
    optional.AlwaysDeny,
    optional.AlwaysPullImages,
    optional.DenyServiceExternalIPs,
    optional.ExtendedResourceToleration,
    optional.LimitPodHardAntiAffinityTopology,
)
_WITH_FACTS: Final[tuple[Callable[[Facts], Plugin], ...]] = (
    DefaultIngressClass,
    DefaultStorageClass,
    LimitRanger,
    NodeDeclaredFeatureValidator,
    PersistentVolumeClaimResize,
    PodResizeValidator,
    PodTopologyLabels,
    Priority,
    RuntimeClass,
)
