"""Slices of Endpoints that people keep (endpointslicemirroring, reconciler_test.go)."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.network.mirroring import is_mirrored, plan_of


def endpoints(*subsets: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """Return Endpoints of these subsets."""
    return {
        "metadata": {"name": "foo", "namespace": "n", "uid": "e", **metadata},
        "subsets": list(subsets),
    }


def subset(*ips: str, unready: tuple[str, ...] = (), port: int = 80) -> dict[str, Any]:
    """Return a subset of one port."""
    return {
        "addresses": [{"ip": ip} for ip in ips],
        "notReadyAddresses": [{"ip": ip} for ip in unready],
        "ports": [{"port": port}],
    }


def stored(piece: dict[str, Any], name: str = "s") -> dict[str, Any]:
    """Return a slice as the server has it."""
    metadata = {"name": name, "uid": name, "resourceVersion": "1"}
    return {**piece, "metadata": {**piece["metadata"], **metadata}}


def test_a_subset_is_a_slice_for_each_family() -> None:
    plan, invalid, skipped = plan_of(
        endpoints(subset("10.0.0.1", "fd00::1", unready=("10.0.0.2",))), []
    )
    found = {
        one["addressType"]: [
            (*end["addresses"], end["conditions"]["ready"]) for end in one["endpoints"]
        ]
        for one in plan.create
    }
    assert found == {
        "IPv4": [("10.0.0.1", True), ("10.0.0.2", False)],
        "IPv6": [("fd00::1", True)],
    }
    assert (invalid, skipped) == (0, 0)


def test_labels_and_annotations_are_copied_but_for_what_is_of_the_object_alone() -> None:
    notes = {
        "keep": "1",
        "endpoints.kubernetes.io/last-change-trigger-time": "x",
        "kubectl.kubernetes.io/last-applied-configuration": "y",
    }
    found = endpoints(subset("10.0.0.1"), labels={"a": "b"}, annotations=notes)
    metadata = plan_of(found, [])[0].create[0]["metadata"]
    assert metadata["annotations"] == {"keep": "1"}
    assert metadata["labels"] == {
        "a": "b",
        "kubernetes.io/service-name": "foo",
        "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
    }
    assert metadata["ownerReferences"][0]["kind"] == "Endpoints"


def test_what_is_mirrored_already_is_not_written() -> None:
    found = endpoints(subset("10.0.0.1"))
    existing = stored(plan_of(found, [])[0].create[0])
    plan = plan_of(found, [existing])[0]
    assert (plan.create, plan.update, plan.delete, list(plan.kept)) == ([], {}, {}, ["s"])


@pytest.mark.parametrize(
    "changed",
    [
        endpoints(subset("10.0.0.1", "10.0.0.2")),
        endpoints(subset("10.0.0.2")),
        endpoints(subset(unready=("10.0.0.1",))),
        endpoints(subset("10.0.0.1"), labels={"new": "label"}),
        endpoints(subset("10.0.0.1"), annotations={"new": "note"}),
    ],
)
def test_a_change_updates_the_slice_that_is_there(changed: dict[str, Any]) -> None:
    existing = stored(plan_of(endpoints(subset("10.0.0.1")), [])[0].create[0])
    plan = plan_of(changed, [existing])[0]
    assert (plan.create, list(plan.update), plan.delete) == ([], ["s"], {})


def test_slices_of_ports_that_are_no_more_go_and_so_do_those_that_are_one_too_many() -> None:
    first = stored(plan_of(endpoints(subset("10.0.0.1")), [])[0].create[0], "one")
    plan = plan_of(endpoints(subset("10.0.0.1", port=81)), [first])[0]
    assert (len(plan.create), list(plan.delete)) == (1, ["one"])
    plan = plan_of(endpoints(subset("10.0.0.1")), [first, stored(first, "two")])[0]
    assert (list(plan.kept), list(plan.delete)) == (["one"], ["two"])


def test_addresses_that_are_none_are_left_out_and_counted() -> None:
    plan, invalid, skipped = plan_of(endpoints(subset("10.0.0.1", "nonsense")), [])
    assert (len(plan.create[0]["endpoints"]), invalid, skipped) == (1, 1, 1)


def test_no_more_than_a_thousand_addresses_of_a_subset_are_mirrored() -> None:
    ips = [f"10.0.{n // 250}.{n % 250}" for n in range(1200)]
    plan, invalid, skipped = plan_of(endpoints(subset(*ips)), [])
    assert (len(plan.create[0]["endpoints"]), invalid, skipped) == (1000, 0, 200)


def test_endpoints_may_ask_not_to_be_mirrored_and_elections_are_not() -> None:
    assert is_mirrored(endpoints())
    assert not is_mirrored(endpoints(labels={"endpointslice.kubernetes.io/skip-mirror": "true"}))
    assert not is_mirrored(endpoints(annotations={"control-plane.alpha.kubernetes.io/leader": "x"}))
