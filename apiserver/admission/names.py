"""The names of all admission plugins in upstream's order, and which of them run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

ORDER: Final = (
    "AlwaysAdmit",
    "NamespaceAutoProvision",
    "NamespaceLifecycle",
    "NamespaceExists",
    "LimitPodHardAntiAffinityTopology",
    "LimitRanger",
    "ServiceAccount",
    "NodeRestriction",
    "TaintNodesByCondition",
    "AlwaysPullImages",
    "ImagePolicyWebhook",
    "PodSecurity",
    "PodNodeSelector",
    "Priority",
    "DefaultTolerationSeconds",
    "PodTolerationRestriction",
    "EventRateLimit",
    "ExtendedResourceToleration",
    "DefaultStorageClass",
    "StorageObjectInUseProtection",
    "PodGroupProtection",
    "OwnerReferencesPermissionEnforcement",
    "PersistentVolumeClaimResize",
    "RuntimeClass",
    "CertificateApproval",
    "CertificateSigning",
    "ClusterTrustBundleAttest",
    "CertificateSubjectRestriction",
    "DefaultIngressClass",
    "DenyServiceExternalIPs",
    "PodTopologyLabels",
    "PodGroupWorkloadExists",
    "NodeDeclaredFeatureValidator",
    "JobValidation",
    "PodResizeValidator",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionWebhook",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
    "ResourceQuota",
    "AlwaysDeny",
)
_OFF: Final = frozenset(
    {
        "AlwaysAdmit",
        "AlwaysDeny",
        "AlwaysPullImages",
        "DenyServiceExternalIPs",
        "EventRateLimit",
        "ExtendedResourceToleration",
        "ImagePolicyWebhook",
        "LimitPodHardAntiAffinityTopology",
        "NamespaceAutoProvision",
        "NamespaceExists",
        "OwnerReferencesPermissionEnforcement",
        "PodNodeSelector",
        "PodTolerationRestriction",
    }
)
"""Off unless asked for. NodeRestriction is on, as wherever the node authorizer is."""


class UnknownPlugin(ValueError):
    """A plugin is named that cannot be switched on or off."""


def enabled(enable: Iterable[str], disable: Iterable[str]) -> frozenset[str]:
    """Return the names of the plugins that run.

    Raises:
        UnknownPlugin: a name is none, or is named in both.
    """
    on, off = frozenset(enable), frozenset(disable)
    for flag, names in (("enable", on), ("disable", off)):
        unknown = sorted(names.difference(ORDER))
        if unknown:
            raise UnknownPlugin(
                f"--{flag}-admission-plugins: plugin {unknown[0]!r} is unknown; there are "
                f"{', '.join(ORDER)}"
            )
    both = sorted(on & off)
    if both:
        raise UnknownPlugin(f"{both[0]} is in both, enable- and disable-admission-plugins")
    return frozenset(ORDER) - _OFF - off | on
