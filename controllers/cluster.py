"""The controllers of what every cluster has: namespaces, accounts, roles, certificates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from controllers import resource_quota, storage_protection, storage_versions
from controllers.admission_policies import PATH as POLICIES
from controllers.admission_policies import AdmissionPolicyController
from controllers.certificates import PATH as SIGNING_REQUESTS
from controllers.certificates import CertificateController
from controllers.cluster_roles import PATH as CLUSTER_ROLES
from controllers.cluster_roles import ClusterRoleController
from controllers.namespaces import NamespaceController
from controllers.parts import Context, Controller, Part
from controllers.service_accounts import ACCOUNT, ROOT_CA, ServiceAccountController

_NAMESPACES: Final = "/api/v1/namespaces"


def _namespaces(context: Context) -> Controller:
    made = NamespaceController(context.writer("namespace-controller"))
    context.informers.of(_NAMESPACES).on_each(made.observe)
    return made


def _accounts(context: Context) -> Controller:
    writers = [context.writer(name) for name in ("service-account-controller", _PUBLISHER)]
    made = ServiceAccountController(*writers)
    informers = context.informers
    informers.of(_NAMESPACES).on_each(made.observe_namespace)
    for resource, name, observe in (
        ("serviceaccounts", ACCOUNT, made.observe_account),
        ("configmaps", ROOT_CA, made.observe_root_ca),
    ):
        query = {"fieldSelector": f"metadata.name={name}"}
        informers.of(f"/api/v1/{resource}", query=query).on_each(observe)
    return made


def _cluster_roles(context: Context) -> Controller:
    made = ClusterRoleController(context.writer("clusterrole-aggregation-controller"))
    context.informers.of(CLUSTER_ROLES).on_each(made.observe)
    return made


def _certificates(context: Context) -> Controller:
    writer = context.writer("certificate-controller")
    made = CertificateController(writer, context.authority, context.client.clock)
    context.informers.of(SIGNING_REQUESTS).on_each(made.observe)
    return made


def _quotas(context: Context) -> Controller:
    made = resource_quota.ResourceQuotaController(context.writer("resourcequota-controller"))
    context.informers.of(resource_quota.QUOTAS).on_each(made.observe)
    for path in resource_quota.REGISTERING:
        context.informers.of(path, metadata_only=True).on_each(made.observe_types)
    return made


def _protection(account: str, *paths: str) -> Callable[[Context], Controller]:
    def make(context: Context) -> Controller:
        made = storage_protection.StorageProtectionController(context.writer(account))
        for path in paths:
            context.informers.of(path).on_each(made.observe)
        return made

    return make


def _policies(context: Context) -> Controller:
    made = AdmissionPolicyController(context.writer(_POLICY_STATUS))
    context.informers.of(POLICIES).on_each(made.observe)
    return made


def _storage_versions(context: Context) -> Controller:
    informers = context.informers
    return storage_versions.StorageVersionController(
        context.writer(_STORAGE_VERSIONS),
        informers.of(storage_versions.LEASES, query=storage_versions.OF_SERVERS),
        informers.of(storage_versions.VERSIONS),
    )


_STORAGE_VERSIONS: Final = "storage-version-garbage-collector"
_POLICY_STATUS: Final = "validatingadmissionpolicy-status-controller"
_PUBLISHER: Final = "root-ca-cert-publisher"
PARTS: Final = (
    Part("namespace-controller", ("namespace-controller",), _namespaces),
    Part("serviceaccount-controller", ("service-account-controller", _PUBLISHER), _accounts),
    Part(
        "clusterrole-aggregation-controller",
        ("clusterrole-aggregation-controller",),
        _cluster_roles,
    ),
    Part(
        "certificatesigningrequest-signing-controller", ("certificate-controller",), _certificates
    ),
    Part("resourcequota-controller", ("resourcequota-controller",), _quotas),
    Part("storageversion-garbage-collector-controller", (_STORAGE_VERSIONS,), _storage_versions),
    *(
        Part(f"{what}-protection-controller", (account,), _protection(account, path))
        for what, account, path in (
            ("persistentvolumeclaim", "pvc-protection-controller", storage_protection.CLAIMS),
            ("persistentvolume", "pv-protection-controller", storage_protection.VOLUMES),
            (
                "volumeattributesclass",
                "volumeattributesclass-protection-controller",
                storage_protection.CLASSES,
            ),
        )
    ),
    Part(_POLICY_STATUS, (_POLICY_STATUS,), _policies),
)
