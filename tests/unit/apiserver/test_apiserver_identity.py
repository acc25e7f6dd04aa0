"""Leases of API servers: their names are upstream's, and those of the dead go."""

from __future__ import annotations

from apiserver.identity import DURATION_S, KIND, LABEL, identity_of, is_expired
from kube import times

NOW_S = 1_700_000_000


def test_a_server_is_known_by_its_hosts_name() -> None:
    # As upstream's documentation shows it, of a cluster that kind has made.
    assert identity_of("kind-control-plane") == "apiserver-c4vwjftbvpc5os2vvzle4qg27a"


def test_only_leases_of_servers_that_were_not_renewed_are_expired() -> None:
    def lease(age_s: int, **labels: str) -> dict[str, object]:
        renewed = times.format_micros((NOW_S - age_s) * 1_000_000)
        spec = {"renewTime": renewed, "leaseDurationSeconds": DURATION_S}
        return {"metadata": {"name": "x", "labels": labels}, "spec": spec}

    assert is_expired(lease(DURATION_S + 1, **{LABEL: KIND}), NOW_S)
    assert not is_expired(lease(DURATION_S - 1, **{LABEL: KIND}), NOW_S)
    assert not is_expired(lease(DURATION_S + 1), NOW_S)
