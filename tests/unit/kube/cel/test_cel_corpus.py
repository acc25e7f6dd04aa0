"""Rules that real projects publish compile, cost what is allowed, and let their objects pass.

The corpus (environment ULTRAPLANE_CORPUS, else ../shared/corpus beside the repository) is no part
of the repository.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from kube.cel.rules import check_rules, compile_rules

ROOT = Path(__file__).resolve().parents[4]
CORPUS = Path(os.environ.get("ULTRAPLANE_CORPUS", ROOT.parent / "shared" / "corpus"))
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not there")


def definitions() -> Iterator[dict[str, Any]]:
    for path in sorted(CORPUS.glob("crds/*/*.y*ml")):
        for document in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader):
            if document and document.get("kind") == "CustomResourceDefinition":
                yield document


def schemas() -> dict[tuple[str, str], dict[str, Any]]:
    found = {}
    for crd in definitions():
        for version in crd["spec"]["versions"]:
            schema = (version.get("schema") or {}).get("openAPIV3Schema")
            if schema:
                kind = crd["spec"]["names"]["kind"]
                found[f"{crd['spec']['group']}/{version['name']}", kind] = schema
    return found


def fill_defaults(schema: Any, value: Any) -> None:
    """Fill in what a server would: rules judge objects that have their defaults."""
    if isinstance(value, list):
        for item in value:
            fill_defaults(schema.get("items") or {}, item)
    elif isinstance(value, dict):
        properties = schema.get("properties") or {}
        for name, child in properties.items():
            if "default" in child:
                value.setdefault(name, copy.deepcopy(child["default"]))
        for name, item in value.items():
            below = properties.get(name, schema.get("additionalProperties"))
            if isinstance(below, dict):
                fill_defaults(below, item)


def test_all_rules_of_the_corpus_compile_and_are_affordable() -> None:
    faults = [
        f"{name}: {error}" for name, schema in schemas().items() for error in check_rules(schema)
    ]
    assert not faults, "\n".join(faults)


def test_objects_of_the_corpus_break_no_rule_in_a_way_of_our_own() -> None:
    known = schemas()
    compiled = {name: compile_rules(schema) for name, schema in known.items()}
    judged = 0
    for path in sorted(CORPUS.glob("objects/*.jsonl")):
        for line in path.read_text().splitlines():
            obj = orjson.loads(line)["obj"]
            name = (obj.get("apiVersion", ""), obj.get("kind", ""))
            rules = compiled.get(name)
            if rules is None:
                continue
            judged += 1
            fill_defaults(known[name], obj)
            for error in rules.validate(obj):
                # Some are meant to be refused, but no rule may fail to be evaluated.
                assert " evaluating rule: " not in str(error), (path.name, str(error))
                assert "no such overload" not in str(error), (path.name, str(error))
    assert judged > 0
