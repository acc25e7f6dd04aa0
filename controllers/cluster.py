"""The controllers of what every cluster has: namespaces, accounts, roles, certificates."""

from __future__ import annotations

from typing import Final

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


_PUBLISHER: Final = "root-ca-cert-publisher"
_SIGNING: Final = "certificatesigningrequest-signing-controller"
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
)
