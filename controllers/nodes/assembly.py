"""Which controllers look after nodes, as whom they write, and which informers they share."""

from __future__ import annotations

from typing import Final

from controllers.nodes.evictions import Evictions
from controllers.nodes.ipam import RangeAllocator, cidr_sets
from controllers.nodes.lifecycle import NodeLifecycle
from controllers.nodes.lost_pods import NODE_INDEX, LostPods, node_of
from controllers.nodes.marks import NODES, Marks
from controllers.nodes.monitor import Tools
from controllers.nodes.taint_eviction import TaintEviction
from controllers.parts import PODS, Context, Controller, Part
from kube.informers.informer import Informer

_ACCOUNT: Final = "node-controller"


def _pods(context: Context) -> Informer:
    return context.informers.of(PODS, indexers={NODE_INDEX: node_of})


def _lifecycle(context: Context) -> Controller:
    client, recorder = context.writer(_ACCOUNT), context.recorder(_ACCOUNT)
    nodes = context.informers.of(NODES).store
    tools = Tools(
        client=client,
        recorder=recorder,
        nodes=nodes,
        book=context.nodes(),
        marks=Marks(client, nodes),
        lost_pods=LostPods(client, recorder, _pods(context).store),
    )
    made = NodeLifecycle(tools, context.node_options, context.pods())
    made.watch_leases(context.informers)
    return made


def _taint_eviction(context: Context) -> Controller:
    client = context.writer(_ACCOUNT)
    evictions = Evictions(client, context.recorder(_ACCOUNT, "taint-eviction-controller"))
    return TaintEviction(client.clock, evictions, context.nodes(), _pods(context))


def _ipam(context: Context) -> Controller:
    return RangeAllocator(
        context.writer(_ACCOUNT),
        context.recorder(_ACCOUNT, "cidrAllocator"),
        context.nodes(),
        cidr_sets(context.node_options),
    )


PARTS: Final = (
    Part("node-lifecycle-controller", (_ACCOUNT,), _lifecycle),
    Part("taint-eviction-controller", (_ACCOUNT,), _taint_eviction),
    Part("node-ipam-controller", (_ACCOUNT,), _ipam),
)
