"""Real definitions are taken as they are, and their CRDs' rules let real objects through.

The corpus (environment ULTRAPLANE_CORPUS, else ../shared/corpus beside the repository) is no part
of the project; without it there is nothing to try.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import yaml
from definition_objects import stored

from apiserver.types.apiextensions import definitions
from apiserver.types.apiextensions.versions import custom_schema
from kube.json_types import JsonObject

ROOT: Final = Path(__file__).resolve().parents[4]
CORPUS: Final = Path(os.environ.get("ULTRAPLANE_CORPUS", ROOT.parent / "shared" / "corpus"))

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason=f"there is nothing in {CORPUS}")


def published() -> Iterator[JsonObject]:
    for path in sorted((CORPUS / "crds").glob("*/*.yaml")):
        for document in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader):
            if document and document.get("kind") == "CustomResourceDefinition":
                yield document


def test_every_definition_of_the_corpus_is_taken_and_may_be_written_again() -> None:
    tried = 0
    for document in published():
        made = stored(document)
        assert definitions.validate(made) == [], document["metadata"]["name"]
        assert definitions.validate_update(copy.deepcopy(made), made) == []
        for version in made["spec"]["versions"]:
            custom_schema(version["schema"]["openAPIV3Schema"])
        tried += 1
    assert tried > 40
