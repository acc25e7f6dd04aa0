"""Real objects go in and come back: the samples, and the corpus of other projects' manifests.

The corpus (environment ULTRAPLANE_CORPUS, else ../shared/corpus beside the repository) is no part
of the project; without it the samples alone are tried. How much was tried is said aloud.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
import yaml

from tests.integration.cluster import ROOT, Cluster
from tests.integration.round_trip import Life, Wire, completed, lost, places_of, release

CORPUS: Final = Path(os.environ.get("ULTRAPLANE_CORPUS", ROOT.parent / "shared" / "corpus"))
SAMPLES_MIN: Final = 20
Source = tuple[str, dict[str, Any]]


def samples() -> list[Source]:
    """Return the project's own manifests."""
    return [
        (f"{path.name} {obj['kind']}", obj)
        for path in sorted((ROOT / "samples").glob("*.yaml"))
        for obj in yaml.safe_load_all(path.read_text())
    ]


def corpus() -> Iterator[Source]:
    """Yield the manifests of the corpus, none if it is not there."""
    for path in sorted((CORPUS / "objects").glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            entry = orjson.loads(line)
            obj = entry["obj"]
            yield f"{entry['src']} {obj['kind']} {(obj.get('metadata') or {}).get('name')}", obj


class Trial:
    """All objects of a source, one after the other, each in the namespace it names."""

    def __init__(self, wire: Wire, own_namespace: str) -> None:
        self._wire = wire
        self._own = own_namespace
        self._places = places_of(wire)
        self._made: dict[str, bool] = {own_namespace: False}
        self.tried: Counter[str] = Counter()
        self.unserved: Counter[str] = Counter()
        self.refused: list[str] = []
        self.faults: list[str] = []

    def run(self, sources: list[Source]) -> None:
        """Try them all; those that are namespaces last, as others live in them meanwhile."""
        for label, obj in sorted(sources, key=lambda one: one[1]["kind"] == "Namespace"):
            place = self._places.get((obj["apiVersion"], obj["kind"]))
            if place is None:
                self.unserved[f"{obj['apiVersion']} {obj['kind']}"] += 1
                continue
            if obj["kind"] == "Namespace":
                self._sweep(obj["metadata"]["name"])
            namespace = (obj.get("metadata") or {}).get("namespace") or self._own
            if place.namespaced:
                self._ensure(namespace)
            life = Life(self._wire, place, obj, namespace)
            life.lead()
            self.tried[place.plural] += 1
            if life.refusal:
                self.refused.append(f"{label}: {life.refusal}")
            self.faults += (f"{label}: {fault}" for fault in life.faults)
        for name in list(self._made):
            self._sweep(name)

    def _ensure(self, name: str) -> None:
        if name not in self._made:
            body = {"metadata": {"name": name}}
            answer = self._wire.call("POST", "/api/v1/namespaces", body)
            assert answer.code in (201, 409), answer.body
            self._made[name] = answer.code == 201

    def _sweep(self, name: str) -> None:
        """Remove a namespace that was made for objects; nothing is in it any more."""
        if self._made.pop(name, False):
            path = f"/api/v1/namespaces/{name}"
            assert self._wire.call("DELETE", path).code == 200
            release(self._wire, path, self._wire.call("GET", path).json)


@pytest.fixture(scope="module")
def cluster(bare_cluster: Cluster) -> Cluster:
    """Nobody but the test writes its objects."""
    return bare_cluster


@pytest.fixture
def trial(cluster: Cluster, namespace: str) -> Iterator[Trial]:
    """A trial that has not begun."""
    wire = Wire(cluster)
    yield Trial(wire, namespace)
    wire.close()


def say(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """Print past pytest's capture: nobody shall take an untried corpus for a tried one."""
    with capsys.disabled():
        print(f"\n!!! {text}")


def _apart(obj: dict[str, Any], namespace: str) -> dict[str, Any]:
    """Return an object under a name of this test's own: others apply the samples as they are."""
    metadata = dict(obj["metadata"])
    if "namespace" in metadata:
        metadata["namespace"] = namespace
    else:
        metadata["name"] = f"{metadata['name']}-{namespace}"
    apart = {**obj, "metadata": metadata}
    if obj["kind"] == "Service":
        # A node port is the whole cluster's: let the server pick one.
        ports = [
            {k: v for k, v in port.items() if k != "nodePort"}
            for port in obj["spec"].get("ports", [])
        ]
        apart["spec"] = {**obj["spec"], "ports": ports}
    return apart


def test_every_sample_goes_in_and_comes_back(
    trial: Trial, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = [(label, _apart(obj, namespace)) for label, obj in samples()]
    trial.run(sources)
    say(capsys, f"samples: {trial.tried.total()} objects of {len(trial.tried)} types were tried")
    assert not trial.faults, "\n".join(trial.faults)
    assert trial.refused == []
    assert trial.tried.total() == len(sources) >= SAMPLES_MIN


def test_every_built_in_object_of_the_corpus_goes_in_and_comes_back(
    trial: Trial, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = list(corpus())
    if not sources:
        say(capsys, f"corpus: NONE of it was tried, there is nothing in {CORPUS}/objects")
        return
    trial.run(sources)
    say(
        capsys,
        f"corpus: {trial.tried.total()} of {len(sources)} objects, of {len(trial.tried)} types, "
        f"were tried; {len(trial.refused)} were refused as upstream does; "
        f"{trial.unserved.total()} are of {len(trial.unserved)} kinds that are not built in",
    )
    assert not trial.faults, "\n".join(trial.faults)
    assert trial.tried.total() + trial.unserved.total() == len(sources)
    assert len(trial.refused) < trial.tried.total() / 4


def test_what_is_lost_is_noticed() -> None:
    sent = {"a": {"b": [1, {"c": "1000m", "d": "x"}]}, "e": None, "f": [1, 2], "g": {"h": ""}}
    got = {"a": {"b": [1, {"c": "1", "d": "y"}]}, "f": [1]}
    assert list(lost(sent, got)) == ["a.b[1].d", "f"]


def test_a_secret_in_plain_text_is_looked_for_in_its_data(cluster: Cluster) -> None:
    wire = Wire(cluster)
    place = places_of(wire)["v1", "Secret"]
    wire.close()
    obj = {"metadata": {"name": "a", "uid": "mine"}, "stringData": {"k": "v"}, "status": {"x": 1}}
    assert completed(obj, place) == {"metadata": {"name": "a"}, "data": {"k": "dg=="}}
