"""Which changes of pods matter to which services, and since when (endpointslice/util)."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.network.backends import TriggerTimes, families_of, selector_of, to_update
from controllers.workloads.pods import canonical_ip
from tests.unit.controllers.network.network_objects import NOW_S, pod, service

OLD, NEW = frozenset({"n/a", "n/b"}), frozenset({"n/b", "n/c"})
OTHER = frozenset({("app", "bar")})


@pytest.mark.parametrize(
    "changes",
    [
        {"is_deleting": True},
        {"ready_s": None},
        {"phase": "Failed"},
        {"network": {"ips": ("10.0.0.9",)}},
        {"network": {"ips": ("10.0.0.9", "fd00::1")}},
    ],
)
def test_a_change_of_what_endpoints_say_concerns_all_services_of_a_pod(
    changes: dict[str, Any],
) -> None:
    assert to_update(pod(1), pod(1, **changes), OLD, OLD) == OLD


@pytest.mark.parametrize("changes", [{"restarts": (3, 0)}, {"cost": 7}, {"created_s": 1}])
def test_what_endpoints_do_not_say_concerns_nobody(changes: dict[str, Any]) -> None:
    assert to_update(pod(1), pod(1, **changes), OLD, OLD) == frozenset()


def test_other_labels_concern_services_that_win_or_lose_the_pod() -> None:
    assert to_update(pod(1), pod(1, labels=OTHER), OLD, NEW) == frozenset({"n/a", "n/c"})


def test_other_labels_and_another_state_concern_all() -> None:
    assert to_update(pod(1), pod(1, ready=False, labels=OTHER), OLD, NEW) == OLD | NEW


def test_another_hostname_concerns_all_services_of_a_pod() -> None:
    assert to_update(pod(1), pod(1, network={"hostname": "h"}), OLD, OLD) == OLD


def test_a_pod_that_comes_or_goes_concerns_the_services_that_select_it() -> None:
    assert to_update(None, pod(1), frozenset(), NEW) == NEW
    assert to_update(pod(1), None, OLD, frozenset()) == OLD


@pytest.mark.parametrize(
    ("spec", "families"),
    [
        ({"ipFamilies": ["IPv6", "IPv4"]}, ("IPv6", "IPv4")),
        ({"ipFamilies": None, "clusterIP": "10.0.0.1"}, ("IPv4",)),
        ({"ipFamilies": None, "clusterIP": "fd00::1"}, ("IPv6",)),
        ({"ipFamilies": None, "clusterIP": "None"}, ("IPv4", "IPv6")),
    ],
)
def test_families_of_a_service_that_names_none_follow_from_its_address(
    spec: dict[str, Any], families: tuple[str, ...]
) -> None:
    assert families_of(service(**spec)) == families


@pytest.mark.parametrize("spec", [{"selector": None}, {"selector": {}}, {"type": "ExternalName"}])
def test_endpoints_of_a_service_without_selector_or_with_an_external_name_are_not_kept(
    spec: dict[str, Any],
) -> None:
    assert selector_of(service(**spec)) is None


def test_the_first_sync_of_a_service_dates_from_its_creation() -> None:
    times = TriggerTimes()
    times.note(frozenset({"n/a"}), None, pod(1))
    assert times.take("n/a", 100) == 100
    assert times.take("n/a", 100) == 0


def test_a_later_sync_dates_from_the_earliest_change_since_the_last_one() -> None:
    times = TriggerTimes()
    times.take("n/a", 100)
    for number, at_s in ((1, NOW_S + 5), (2, NOW_S + 2), (3, NOW_S + 9)):
        later = pod(number, network={"ready_change_s": at_s})
        times.note(frozenset({"n/a"}), pod(number), later)
    assert times.take("n/a", 100) == NOW_S + 2
    assert times.take("n/a", 100) == 0


def test_a_change_that_is_not_one_of_readiness_dates_nothing() -> None:
    times = TriggerTimes()
    times.take("n/a", 100)
    times.note(frozenset({"n/a"}), pod(1), pod(1, network={"hostname": "h"}))
    assert times.take("n/a", 100) == 0


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("010.001.000.3", "10.1.0.3"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("nonsense", "nonsense"),
    ],
)
def test_addresses_are_written_as_usual(text: str, canonical: str) -> None:
    assert canonical_ip(text) == canonical
