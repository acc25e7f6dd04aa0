"""What a node refuses, as a kubelet's predicates do (pkg/kubelet/lifecycle/predicate.go)."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.fleet.admission import refusal_of
from controllers.fleet.fleet_node import DISK_PRESSURE, Node
from controllers.fleet.lives import Life
from controllers.fleet.pod_life import Pod
from controllers.fleet.shapes import CRITICAL, shape_of


def _pod(uid: str, *ports: dict[str, Any], inits: tuple[str, ...] = (), **spec: Any) -> Pod:
    main = {"name": "main", "image": "nginx", "ports": list(ports)}
    if inits:
        init = {"name": "init", "image": "nginx", "ports": list(ports)}
        policies = [{"restartPolicy": policy} if policy else {} for policy in inits]
        spec["initContainers"] = [{**init, **policy} for policy in policies]
        main["ports"] = []
    return Pod(f"ns/{uid}", uid, shape_of({"containers": [main], **spec}), Life(), 0.0)


def _on(node: Node, *pods: Pod) -> Node:
    node.pods.update(pods)
    return node


WANTED = {"hostPort": 80, "protocol": "TCP"}


@pytest.mark.parametrize(
    ("taken", "clashes"),
    [
        ({"hostPort": 80, "protocol": "TCP"}, True),
        ({"hostPort": 80, "protocol": "TCP", "hostIP": "127.0.0.1"}, True),
        ({"hostPort": 80, "protocol": "UDP"}, False),
        ({"hostPort": 81, "protocol": "TCP"}, False),
        ({"containerPort": 80, "protocol": "TCP"}, False),
    ],
)
def test_a_port_of_the_node_is_given_to_one_pod(taken: dict[str, Any], *, clashes: bool) -> None:
    node = _on(Node("node-0"), _pod("first", taken))
    verdict = refusal_of(_pod("second", WANTED), node)
    assert (verdict is not None and verdict.reason == "NodePorts") is clashes


def test_ports_on_different_addresses_are_different_ports() -> None:
    node = _on(Node("node-0"), _pod("first", {**WANTED, "hostIP": "127.0.0.1"}))
    assert refusal_of(_pod("second", {**WANTED, "hostIP": "127.0.0.2"}), node) is None
    assert refusal_of(_pod("third", {**WANTED, "hostIP": "0.0.0.0"}), node) is not None


def test_what_is_told_of_a_refusal_is_what_a_kubelet_says() -> None:
    node = _on(Node("node-0"), _pod("first", WANTED))
    verdict = refusal_of(_pod("second", WANTED), node)
    assert verdict is not None
    assert verdict.message == (
        "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the "
        "requested pod ports"
    )


def test_a_pod_that_is_over_has_no_ports_and_one_does_not_refuse_itself() -> None:
    over, again = _pod("over", WANTED), _pod("again", WANTED)
    over.end(0.0, 0.0)
    over.advance(1.0, 1.0)
    assert over.is_over
    assert refusal_of(again, _on(Node("node-0"), over, again)) is None


@pytest.mark.parametrize(("policy", "clashes"), [("Always", True), ("", False)])
def test_of_init_containers_those_that_stay_have_ports(policy: str, *, clashes: bool) -> None:
    node = _on(Node("node-0"), _pod("first", WANTED, inits=(policy,)))
    assert (refusal_of(_pod("second", WANTED), node) is not None) is clashes


@pytest.mark.parametrize(("priority", "refused"), [(0, True), (CRITICAL, False)])
def test_a_node_short_of_disk_takes_critical_pods_alone(priority: int, *, refused: bool) -> None:
    node = Node("node-0")
    node.faults = (DISK_PRESSURE,)
    assert (refusal_of(_pod("pod", priority=priority), node) is not None) is refused
