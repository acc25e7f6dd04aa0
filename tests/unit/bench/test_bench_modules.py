"""Measurements are run by hand: nobody else would see that one no longer starts."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

_FOLDER = Path(__file__).resolve().parents[2] / "bench"
_MODULES = sorted(path.stem for path in _FOLDER.glob("*.py"))


@pytest.mark.parametrize("name", _MODULES)
def test_each_measurement_finds_what_it_measures(name: str) -> None:
    assert importlib.import_module(f"tests.bench.{name}").__doc__
