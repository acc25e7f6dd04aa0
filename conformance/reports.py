"""Results as files: JUnit for CI systems, JSON for programs.

The JUnit file has a case for each spec judged or skipped, named as upstream's are, so the tools
that read upstream's files read these.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import orjson

from conformance.results import Outcome, Result, table, verdicts
from conformance.specs import RELEASE, all_specs, key

JUNIT_FILE: Final = "junit_conformance.xml"
JSON_FILE: Final = "conformance.json"
# What XML has no way to write, not even escaped.
_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MESSAGE_MAX: Final = 20_000


def write_reports(directory: Path, results: Sequence[Result]) -> None:
    """Write both files into `directory`, which is made if it is not there."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / JUNIT_FILE).write_bytes(junit(results))
    (directory / JSON_FILE).write_bytes(as_json(results))


def junit(results: Sequence[Result]) -> bytes:
    """Return results as a JUnit document."""
    suite = ElementTree.Element(
        "testsuite",
        name=f"Kubernetes {RELEASE} conformance",
        tests=str(len(results)),
        failures=str(_count(results, Outcome.FAILED)),
        skipped=str(_count(results, Outcome.SKIPPED)),
        errors="0",
        time=f"{sum(result.seconds for result in results):.3f}",
    )
    for result in results:
        entry = ElementTree.SubElement(
            suite,
            "testcase",
            name=result.name,
            classname=result.source,
            time=f"{result.seconds:.3f}",
        )
        message = _FORBIDDEN.sub("?", result.message[:_MESSAGE_MAX])
        if result.outcome is Outcome.FAILED:
            first = message.partition("\n")[0]
            ElementTree.SubElement(entry, "failure", message=first).text = message
        elif result.outcome is Outcome.SKIPPED:
            ElementTree.SubElement(entry, "skipped", message=message)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def as_json(results: Sequence[Result]) -> bytes:
    """Return the table, and what became of every spec of upstream's list."""
    judged = verdicts(results)
    specs: list[dict[str, Any]] = []
    for spec in all_specs():
        result = judged.get(key(spec.name))
        entry: dict[str, Any] = {"name": spec.name, "needs": spec.needs.value}
        if result is None:
            entry["outcome"] = "not covered"
        else:
            entry |= {
                "outcome": result.outcome.value,
                "source": result.source,
                "local": result.local,
                "seconds": round(result.seconds, 3),
            }
            if result.message:
                entry["message"] = result.message
        specs.append(entry)
    document = {"release": RELEASE, "table": table(results), "specs": specs}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_DATACLASS)


def _count(results: Sequence[Result], outcome: Outcome) -> int:
    return sum(result.outcome is outcome for result in results)
