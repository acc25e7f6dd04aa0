"""Definitions and objects that other projects publish: all are served, and come back whole.

The corpus is no part of the project (test_corpus.py); without it nothing is tried, and that is
said aloud.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.integration.cluster import Cluster
from tests.integration.definitions import API, CORPUS, await_condition, remove
from tests.integration.round_trip import Place, Wire, completed, lost, places_of
from tests.integration.test_corpus import corpus, say

_UNKNOWN = re.compile(r'unknown field \\"(.+?)\\"')


def definitions() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the corpus's definitions, each name once."""
    seen = set()
    for path in sorted((CORPUS / "crds").glob("*/*.yaml"), reverse=True):
        for obj in yaml.safe_load_all(path.read_text()):
            name = obj["metadata"]["name"]
            if name not in seen:
                seen.add(name)
                yield path.parent.name, obj


@pytest.fixture(scope="module")
def installed(cluster: Cluster) -> Iterator[list[dict[str, Any]]]:
    """All definitions of the corpus, established."""
    made = []
    for project, obj in definitions():
        answer = cluster.call("POST", API, obj)
        assert answer.code == 201, (project, answer.body)
        made.append(obj)
    for obj in made:
        await_condition(cluster, obj["metadata"]["name"], "Established", "True")
    yield made
    for obj in made:
        remove(cluster, obj["metadata"]["name"])


def test_every_definition_of_the_corpus_is_served_discovered_and_described(
    cluster: Cluster, installed: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    if not installed:
        say(capsys, f"corpus: NO definition was tried, there is none in {CORPUS}/crds")
        return
    index = cluster.call("GET", "/openapi/v3").json["paths"]
    swagger = cluster.call("GET", "/openapi/v2").json["definitions"]
    for obj in installed:
        spec = obj["spec"]
        for version in spec["versions"]:
            if version["served"]:
                group, plural, name = spec["group"], spec["names"]["plural"], version["name"]
                assert cluster.call("GET", f"/apis/{group}/{name}/{plural}").code == 200
                resources = cluster.call("GET", f"/apis/{group}/{name}").json["resources"]
                assert plural in [one["name"] for one in resources]
                key = ".".join([*reversed(group.split(".")), name, spec["names"]["kind"]])
                assert key in swagger
                document = cluster.call("GET", index[f"apis/{group}/{name}"]["serverRelativeURL"])
                assert key in document.json["components"]["schemas"]
    say(capsys, f"corpus: {len(installed)} definitions are served")


def test_every_custom_object_of_the_corpus_goes_in_and_comes_back(
    cluster: Cluster,
    installed: list[dict[str, Any]],
    namespace: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    groups = {obj["spec"]["group"] for obj in installed}
    wire = Wire(cluster)
    places = places_of(wire)
    tried: Counter[str] = Counter()
    refused: list[str] = []
    faults: list[str] = []
    for label, obj in corpus():
        place = places.get((obj["apiVersion"], obj["kind"]))
        if place is None or obj["apiVersion"].partition("/")[0] not in groups:
            continue
        metadata = {k: v for k, v in obj["metadata"].items() if k != "namespace"}
        tried[place.plural] += 1
        refusal = _try(wire, place, {**obj, "metadata": metadata}, namespace, faults, label)
        if refusal:
            refused.append(f"{label}: {refusal}")
    wire.close()
    if not tried:
        say(capsys, f"corpus: NO custom object was tried, there is none in {CORPUS}/objects")
        return
    say(
        capsys,
        f"corpus: {tried.total()} custom objects of {len(tried)} types were tried, "
        f"{len(refused)} were refused",
    )
    assert not faults, "\n".join(faults)
    assert len(refused) < tried.total() / 4, "\n".join(refused)


def _try(
    wire: Wire, place: Place, obj: dict[str, Any], namespace: str, faults: list[str], label: str
) -> str:
    """Take an object through its life; return why it was refused, "" if it was not."""
    path = place.path(namespace)
    created = wire.call("POST", path, obj)
    if created.code != 201:
        if not 400 <= created.code < 500:
            faults.append(f"{label}: {created.code} {created.body!r}")
        return str(created.json["message"])
    one = f"{path}/{created.json['metadata']['name']}"
    read = wire.call("GET", one)
    if read.json != created.json:
        faults.append(f"{label}: create answered {created.body!r}, get {read.body!r}")
    dropped = set(_UNKNOWN.findall(created.headers["Warning"] or ""))
    gone = [where for where in lost(completed(obj, place), read.json) if where not in dropped]
    faults += (f"{label}: lost {where}" for where in gone)
    updated = wire.call("PUT", one, read.json)
    if updated.code != 200 or updated.json != read.json:
        faults.append(f"{label}: a PUT of what was read answered {updated.body!r}")
    if wire.call("DELETE", one).code != 200:
        faults.append(f"{label}: not deleted")
    return ""
