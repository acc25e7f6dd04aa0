"""House rules that no linter knows; each message says what to do instead."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
FILE_LINES_MAX: Final = 500
FUNCTION_LINES_MAX: Final = 70
# What each package may import from outside the standard library and this project. A new name here
# is a decision: it costs start-up time, memory and trust.
ALLOWED: Final[dict[str, frozenset[str]]] = {
    "runtime": frozenset({"uvloop"}),
    "journal": frozenset({"cryptography", "google_crc32c", "nats", "orjson", "uvloop"}),
    "storage": frozenset({"cryptography", "lmdb", "orjson", "xxhash", "zstandard"}),
    "kube": frozenset(
        {
            "aiohttp",
            "cbor2",
            "cel_expr_python",
            "httptools",
            "kubernetes_validate",
            "orjson",
            "re2",
            "yaml",
        }
    ),
    "apiserver": frozenset(
        {
            "aiohttp",
            "cbor2",
            "cryptography",
            "fastapi",
            "httptools",
            "isal",
            "jwt",
            "orjson",
            "prometheus_client",
            "pydantic",
            "re2",
            "starlette",
            "uvicorn",
            "uvloop",
        }
    ),
    "controllers": frozenset(
        {"aiohttp", "cbor2", "cryptography", "numpy", "orjson", "prometheus_client", "uvloop"}
    ),
    "scaletest": frozenset({"orjson"}),
    "conformance": frozenset({"aiohttp", "cryptography", "orjson", "yaml"}),
    "ultraplane": frozenset(
        {"annotated_types", "cryptography", "pydantic", "rich", "typer", "uvloop", "yaml"}
    ),
}
_SKIPPED: Final = frozenset({".venv", "build", ".cache"})


def sources(*folders: str) -> list[Path]:
    """Return the Python files in `folders` of the project, all of its own if none is named."""
    return [
        path
        for folder in folders or (*ALLOWED, "tests")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if _SKIPPED.isdisjoint(path.parts)
    ]


def long_file(text: str) -> str:
    """Return what is wrong with a file's length."""
    lines = text.count("\n")
    if lines <= FILE_LINES_MAX:
        return ""
    return f"has {lines} lines: split it by the state its parts own, below {FILE_LINES_MAX}"


def long_functions(tree: ast.Module) -> Iterator[str]:
    """Yield the functions that nobody can read at a glance."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield (
                    f":{node.lineno} {node.name} has {lines} lines: give its steps names of their "
                    f"own, below {FUNCTION_LINES_MAX}"
                )


def missing_docstring(tree: ast.Module) -> str:
    """Return what is wrong with a file's head."""
    if ast.get_docstring(tree) is not None:
        return ""
    return "has no docstring: begin with what it is for and what always holds in it"


def foreign_imports(tree: ast.Module, allowed: frozenset[str]) -> Iterator[str]:
    """Yield imports from outside the project that are not in the package's list."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        for name in names:
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names | ALLOWED.keys() | allowed:
                yield (
                    f":{node.lineno} imports {top}: use what the package has already, or add it "
                    "to ALLOWED in tests/unit/test_tidy.py with pyproject.toml"
                )


def prints(tree: ast.Module) -> Iterator[str]:
    """Yield calls of print."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "print"
        ):
            yield f":{node.lineno} prints: use logging, or typer.echo in the command line"


def names_of_tests(tree: ast.Module) -> list[str]:
    """Return the names of a test file's tests."""
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    ]


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _report(faults: list[str]) -> None:
    assert not faults, "\n" + "\n".join(faults)


def _named(path: Path, fault: str) -> str:
    gap = "" if fault.startswith(":") else " "
    return f"{path.relative_to(ROOT)}{gap}{fault}"


def test_files_are_short_enough_to_read() -> None:
    faults = [(path, long_file(path.read_text(encoding="utf-8"))) for path in sources()]
    _report([_named(path, fault) for path, fault in faults if fault])


def test_functions_are_short_enough_to_see() -> None:
    _report([_named(path, fault) for path in sources() for fault in long_functions(_tree(path))])


def test_modules_begin_with_a_docstring() -> None:
    faults = [(path, missing_docstring(_tree(path))) for path in sources()]
    _report([_named(path, fault) for path, fault in faults if fault])


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_packages_import_only_what_they_may(package: str) -> None:
    _report(
        [
            _named(path, fault)
            for path in sources(package)
            for fault in foreign_imports(_tree(path), ALLOWED[package])
        ]
    )


def test_nothing_prints() -> None:
    _report([_named(path, fault) for path in sources(*ALLOWED) for fault in prints(_tree(path))])


def test_tests_have_names_of_their_own() -> None:
    faults = []
    files = Counter(path.name for path in sources("tests") if path.name.startswith("test_"))
    faults += [
        f"{name} is the name of {count} files: name each for its package and module"
        for name, count in files.items()
        if count > 1
    ]
    for path in sources("tests"):
        names = Counter(names_of_tests(_tree(path)))
        faults += [
            _named(path, f"has {count} tests named {name}: only the last would run")
            for name, count in names.items()
            if count > 1
        ]
    _report(faults)


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "LICENSE"])
def test_newcomers_find_their_page(name: str) -> None:
    path = ROOT / name
    assert path.is_file(), f"{name} is missing: newcomers, and packages, look for it"


def test_lock_files_name_no_index_and_pin_with_hashes() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "://" not in text, f"{name} names an address: make it with `make lock`"
        assert "--index-url" not in text, f"{name} names an index: make it with `make lock`"
        pins = [line for line in text.splitlines() if line and line[0].isalnum()]
        loose = [line for line in pins if "==" not in line or not line.endswith("\\")]
        assert loose == [], f"{name} has no hashes: make it with `make lock`"


# The rules' own tests: a rule that finds nothing anywhere is no rule.


def test_long_file_is_found() -> None:
    assert long_file("\n" * FILE_LINES_MAX) == ""
    assert "has 501 lines" in long_file("\n" * (FILE_LINES_MAX + 1))


def test_long_function_is_found() -> None:
    body = "\n".join(["    pass"] * FUNCTION_LINES_MAX)
    assert len(list(long_functions(ast.parse(f"def f():\n{body}")))) == 1
    assert list(long_functions(ast.parse("def f():\n    pass"))) == []


def test_missing_docstring_is_found() -> None:
    assert missing_docstring(ast.parse("x = 1"))
    assert not missing_docstring(ast.parse('"""Says what it is for."""'))


def test_foreign_import_is_found_wherever_it_stands() -> None:
    tree = ast.parse("import os, kube\ndef f():\n    from numpy.linalg import norm\n")
    assert len(list(foreign_imports(tree, frozenset()))) == 1
    assert list(foreign_imports(tree, frozenset({"numpy"}))) == []


def test_print_is_found() -> None:
    assert len(list(prints(ast.parse("print(1)\nconsole.print(2)")))) == 1
