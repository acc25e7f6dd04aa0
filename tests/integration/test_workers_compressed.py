"""Workers read values that the storage process compresses while they map them."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator
from typing import Any, Final

import orjson
import pytest

from kube import codec_cbor
from tests.integration.cluster import Cluster, run_cluster
from tests.integration.worker_links import WorkerLink, link_all

pytestmark = pytest.mark.slow

_WORKERS: Final = 2
_COUNT: Final = 400
_PATH: Final = "/api/v1/namespaces/default/configmaps"
_SELECTED: Final = "labelSelector=n"
_GOES_ON_S: Final = 30.0
_CONFIG: Final[dict[str, Any]] = {
    "server": {"workers": _WORKERS},
    "storage": {"compression_threshold_mib": 1, "checkpoint_interval_s": 1},
    "supervisor": {"restart_delay_s_max": 0, "controllers": False},
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that compresses early."""
    with run_cluster(tmp_path_factory.mktemp("cluster"), _CONFIG) as running:
        yield running


def _made(number: int) -> dict[str, Any]:
    secret = random.Random(number).randbytes(8).hex()
    data = {"a": f"{secret} " + "the quick brown fox " * 250}
    return {"metadata": {"name": f"c{number:03}", "labels": {"n": str(number % 3)}}, "data": data}


def _sizes(cluster: Cluster) -> tuple[int, int]:
    """Return the bytes of the objects as they are, and those of their pages."""
    status = cluster.call("GET", "/ultraplane/status").json
    default = next(one for one in status["partitions"] if one["name"] == "default")
    return default["plain_bytes"], default["object_bytes"]


def _data(document: Any) -> dict[str, str]:
    return {
        item["metadata"]["name"]: item["data"]["a"]
        for item in document["items"]
        if item["metadata"]["name"].startswith("c")
    }


def _check_lists(cluster: Cluster, link: WorkerLink, query: str, wanted: dict[str, str]) -> None:
    """Read all of it in JSON, in CBOR and in pages."""
    assert _data(link.call("GET", f"{_PATH}?{query}")[1]) == wanted
    answer = cluster.call("GET", f"{_PATH}?{query}", headers={"Accept": "application/cbor"})
    assert _data(codec_cbor.decode(answer.body)) == wanted
    found: dict[str, str] = {}
    page = link.call("GET", f"{_PATH}?limit=150&{query}")[1]
    while True:
        found |= _data(page)
        token = page["metadata"].get("continue", "")
        if not token:
            break
        page = link.call("GET", f"{_PATH}?limit=150&{_SELECTED}&continue={token}")[1]
    assert found == wanted


def test_what_is_compressed_meanwhile_is_read_the_same_through_every_worker(
    cluster: Cluster,
) -> None:
    links = link_all(cluster, _WORKERS)
    made = [_made(number) for number in range(_COUNT)]
    start = links[0].call("GET", _PATH)[1]["metadata"]["resourceVersion"]
    for body, link in zip(made, itertools.cycle(links), strict=False):
        assert link.call("POST", _PATH, body)[0] == 201
    wanted = {body["metadata"]["name"]: body["data"]["a"] for body in made}
    revision = links[0].call("GET", f"{_PATH}?limit=1")[1]["metadata"]["resourceVersion"]
    deadline_s = time.monotonic() + _GOES_ON_S
    while True:
        for link in links:
            assert _data(link.call("GET", f"{_PATH}?{_SELECTED}")[1]) == wanted
        plain_bytes, stored_bytes = _sizes(cluster)
        if plain_bytes > 1 << 20 and stored_bytes < plain_bytes / 4:
            break
        assert time.monotonic() < deadline_s, "nothing is compressed"
    # Changes of compressed values: their history has both.
    for number, link in zip(range(20), itertools.cycle(links), strict=False):
        patched = {**made[number], "data": {"a": f"changed {number}"}}
        assert link.call("PUT", f"{_PATH}/c{number:03}", patched)[0] == 200
    changed = wanted | {f"c{number:03}": f"changed {number}" for number in range(20)}
    for link in links:
        _check_lists(cluster, link, _SELECTED, changed)
        exact = f"resourceVersion={revision}&resourceVersionMatch=Exact"
        _check_lists(cluster, link, f"{_SELECTED}&{exact}", wanted)
        answer = link.open("GET", f"{_PATH}?watch=1&{_SELECTED}&resourceVersion={start}")
        events = [orjson.loads(line) for line in itertools.islice(answer, _COUNT + 20)]
        assert _data({"items": [event["object"] for event in events[:_COUNT]]}) == wanted
        assert [event["type"] for event in events] == ["ADDED"] * _COUNT + ["MODIFIED"] * 20
        link.close()
    # Another keeper finds its dictionaries in the files, and workers go on.
    cluster.kill("storage")
    cluster.wait_ready()
    after = cluster.call("GET", f"{_PATH}?{_SELECTED}").json
    assert _data(after) == changed
