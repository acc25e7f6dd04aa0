"""Which controllers keep endpoints, as whom they write, and which informers they share."""

from __future__ import annotations

from typing import Final

from controllers.network import service_cidrs
from controllers.network.backends import SERVICES
from controllers.network.endpoint_slices import EndpointSlicesController, index_by_service
from controllers.network.endpoints import ENDPOINTS, EndpointsController
from controllers.network.mirroring import MirroringController
from controllers.network.nodes import NODES, Zones
from controllers.network.service_cidrs import ServiceCidrController
from controllers.network.slice_writer import SLICE
from controllers.parts import Context, Controller, Part
from kube.informers.informer import Informer

_ENDPOINTS: Final = "endpoint-controller"
_SLICES: Final = "endpointslice-controller"
_MIRRORING: Final = "endpointslicemirroring-controller"
_CIDRS: Final = "service-cidrs-controller"


def _pieces(context: Context) -> Informer:
    return context.informers.of(SLICE.collection, indexers={"service": index_by_service})


def _endpoints(context: Context) -> Controller:
    informers = context.informers
    return EndpointsController(
        context.writer(_ENDPOINTS),
        context.recorder(_ENDPOINTS),
        informers.of(SERVICES),
        informers.of(ENDPOINTS.collection),
        context.groups(),
    )


def _slices(context: Context) -> Controller:
    zones = Zones()
    context.informers.of(NODES).on_changes(zones.take)
    return EndpointSlicesController(
        context.writer(_SLICES),
        context.recorder(_SLICES, "endpoint-slice-controller"),
        context.informers.of(SERVICES),
        _pieces(context),
        context.groups(),
        zones,
    )


def _mirroring(context: Context) -> Controller:
    informers = context.informers
    return MirroringController(
        context.writer(_MIRRORING),
        context.recorder(_MIRRORING, "endpoint-slice-mirroring-controller"),
        informers.of(SERVICES),
        informers.of(ENDPOINTS.collection),
        _pieces(context),
    )


def _service_cidrs(context: Context) -> Controller:
    informers = context.informers
    return ServiceCidrController(
        context.writer(_CIDRS),
        context.recorder(_CIDRS, service_cidrs.CONTROLLER),
        informers.of(service_cidrs.PATH),
        informers.of(service_cidrs.ADDRESSES),
    )


PARTS: Final = (
    Part("endpoints-controller", (_ENDPOINTS,), _endpoints),
    Part(_SLICES, (_SLICES,), _slices),
    Part("endpointslice-mirroring-controller", (_MIRRORING,), _mirroring),
    Part("service-cidr-controller", (_CIDRS,), _service_cidrs),
)
