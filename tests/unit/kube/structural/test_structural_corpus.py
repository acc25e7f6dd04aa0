"""Real custom objects fit the real schemas of their projects, and are left as they are.

The corpus (environment ULTRAPLANE_CORPUS, else ../shared/corpus beside the repository) is no part
of the project; without it there is nothing to try.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
import yaml

from kube.json_types import JsonObject
from kube.structural.custom import CustomSchema
from kube.structural.structure import conversion_fault, structural_errors

ROOT: Final = Path(__file__).resolve().parents[4]
CORPUS: Final = Path(os.environ.get("ULTRAPLANE_CORPUS", ROOT.parent / "shared" / "corpus"))
# Made to be refused, or written for a definition with more fields than the published one.
REFUSED: Final = ("invalid", "duplicate", "missing-", "no-hostname", "unusable")
EXPERIMENTAL: Final = ("retries", "externalauth")

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason=f"there is nothing in {CORPUS}")


def definitions() -> Iterator[JsonObject]:
    for path in sorted((CORPUS / "crds").glob("*/*.yaml")):
        for document in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader):
            if document and document.get("kind") == "CustomResourceDefinition":
                yield document["spec"]


@cache
def schemas() -> dict[tuple[str, str], JsonObject]:
    return {
        (f"{spec['group']}/{version['name']}", spec["names"]["kind"]): version["schema"][
            "openAPIV3Schema"
        ]
        for spec in definitions()
        for version in spec["versions"]
    }


def objects() -> Iterator[tuple[CustomSchema, JsonObject]]:
    made: dict[Any, CustomSchema] = {}
    for path in sorted((CORPUS / "objects").glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            obj = orjson.loads(line)["obj"]
            key = (obj.get("apiVersion"), obj.get("kind"))
            schema = schemas().get(key)
            if schema is not None:
                yield made.setdefault(key, CustomSchema(schema)), obj


def is_meant_to_fail(obj: JsonObject) -> bool:
    name = str((obj.get("metadata") or {}).get("name", "")).lower()
    text = orjson.dumps(obj).decode()
    return any(word in name for word in (*REFUSED, *EXPERIMENTAL)) or any(
        # Templates, to be filled in before use, and an example that lacks its selector.
        word in text
        for word in ("PLACEHOLDER", "{GATEWAY_CONTROLLER_NAME}", '"scrapeClass":"istio-mtls"')
    )


def test_every_schema_of_the_corpus_is_structural() -> None:
    assert len(schemas()) > 40
    for key, schema in schemas().items():
        assert conversion_fault(schema) is None, key
        assert structural_errors(schema, "") == [], key


def test_every_object_of_the_corpus_keeps_its_fields_and_fits() -> None:
    tried = 0
    for schema, obj in objects():
        if is_meant_to_fail(obj):
            continue
        sent = copy.deepcopy(obj)
        assert schema.prune(obj) == [], sent
        assert obj == sent
        schema.default(obj)
        assert schema.validate(obj) == [], sent
        again = copy.deepcopy(obj)
        schema.default(again)
        assert again == obj
        assert schema.validate_update(obj, sent) == []
        tried += 1
    assert tried > 500


def test_what_is_meant_to_fail_fails_somewhere() -> None:
    refused = 0
    for schema, obj in objects():
        if is_meant_to_fail(obj):
            unknown = schema.prune(obj)
            schema.default(obj)
            refused += bool(unknown or schema.validate(obj))
    assert refused > 20
