"""Flame graphs: from samples of stacks to blocks and shares; a profiler that a test plays."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from scaletest.profiles import Profiler, ProfilerMissing
from scaletest.report.flames import area_of, flame_graph, read_stacks, shares_table

_TEXT = """\
_run_code (<frozen runpy>:88);main (ultraplane/serve.py:32);post (apiserver/verbs/post.py:50) 30
_run_code (<frozen runpy>:88);main (ultraplane/serve.py:33);post (apiserver/verbs/post.py:77) 10
main (ultraplane/serve.py:32);put <x> (apiserver/verbs/put.py:9);loads (orjson) 59
main (ultraplane/serve.py:32);rare\0 (storage/record.py:1) 1
no stack at all
"""
_MAIN = "main  ultraplane/serve.py"
_POST = "post  apiserver/verbs/post.py"
_SVG = "{http://www.w3.org/2000/svg}"


def test_lines_of_one_function_are_one() -> None:
    assert read_stacks(_TEXT) == {
        (_MAIN, _POST): 40,
        (_MAIN, "put <x>  apiserver/verbs/put.py", "loads  orjson"): 59,
        (_MAIN, "rare  storage/record.py"): 1,
    }


def test_functions_are_of_the_part_that_their_file_is_in() -> None:
    assert area_of(_POST) == "apiserver"
    assert area_of("loads  orjson") == area_of("run  asyncio/runners.py") == "libraries"


def test_blocks_are_as_wide_as_their_share_and_lie_below_who_calls_them() -> None:
    root = ElementTree.fromstring(flame_graph("a & b", read_stacks(_TEXT)))
    assert root.findall(f"{_SVG}text")[0].text == "a & b"
    found = {}
    for block in root.iter(f"{_SVG}g"):
        title, rect = block.find(f"{_SVG}title"), block.find(f"{_SVG}rect")
        assert title is not None
        assert title.text is not None
        assert rect is not None
        found[title.text] = (float(rect.attrib["x"]), float(rect.attrib["y"]))
    assert set(found) == {
        f"{_MAIN}: 100.0%",
        f"{_POST}: 40.0%",
        "put <x>  apiserver/verbs/put.py: 59.0%",
        "loads  orjson: 59.0%",
        "rare  storage/record.py: 1.0%",
    }
    left, top = found["put <x>  apiserver/verbs/put.py: 59.0%"]
    assert left == 0.4 * 1200, "behind the first forty of a hundred"
    assert top > found[f"{_MAIN}: 100.0%"][1]
    assert found["loads  orjson: 59.0%"] == (left, 2 * top - found[f"{_MAIN}: 100.0%"][1])


def test_a_table_tells_parts_and_functions_apart() -> None:
    text = shares_table("api", read_stacks(_TEXT), 200)
    assert "### api: busy 50% of the time" in text
    assert "By part: libraries 59%, apiserver 40%, storage 1%." in text
    assert f"| `{_POST}` | 40.0% |" in text


def _played(directory: Path, body: str) -> None:
    program = directory / "py-spy"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)


def test_each_process_that_was_at_work_gets_a_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = 'for a; do case $a in --output=*api*) echo "f (kube/a.py:1) 3" > "${a#*=}";; esac; done'
    _played(tmp_path, body)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    profiler = Profiler(tmp_path / "out", seconds=1)
    profiler.start({"api/0": os.getpid(), "gone": os.getpid()})
    assert profiler.finish() == ["api/0"]
    assert "f  kube/a.py" in (tmp_path / "out" / "api-0.svg").read_text()
    assert "### api/0" in (tmp_path / "out" / "shares.md").read_text()


def test_without_py_spy_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scaletest.profiles.shutil.which", lambda *_, **__: None)
    with pytest.raises(ProfilerMissing, match="pip install py-spy"):
        Profiler(Path())
