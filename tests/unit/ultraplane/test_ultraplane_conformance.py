"""What `ultraplane conformance` makes of its flags, and how it shows results."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
from rich.console import Console

from conformance.registry import all_cases
from conformance.results import Outcome, Result
from conformance.specs import Needs, all_specs
from kube.access import read_access
from ultraplane import conformance_command as command
from ultraplane.conformance_command import Wish
from ultraplane.conformance_display import Progress, show_table
from ultraplane.errors import UserError

SECRET = "[sig-node] Secrets should patch a secret [Conformance]"


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (Wish(focus=("(",)), "is no regular expression"),
        (Wish(focus=("no such spec",)), "no case is selected"),
        (Wish(only_binary=True), "--only-binary is for --e2e-binary FILE"),
    ],
)
def test_a_wish_that_means_nothing_is_refused_before_anything_starts(
    wish: Wish, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        command.run(wish, Console(file=io.StringIO()))


def test_all_cases_are_chosen_but_where_the_binary_runs_alone() -> None:
    assert command.choose(Wish()) == list(all_cases())
    assert command.choose(Wish(binary=Path("e2e.test"), only_binary=True)) == []


def test_a_server_by_its_url_is_reached_as_by_a_kubeconfig(tmp_path: Path) -> None:
    async def reached() -> tuple[str, str, int]:
        wish = Wish(server="http://127.0.0.1:8080", token="secret")
        async with command._kubeconfig(wish, Console(file=io.StringIO())) as path:
            access = read_access(path)
            return access.server, access.token, path.stat().st_mode & 0o777

    assert asyncio.run(reached()) == ("http://127.0.0.1:8080", "secret", 0o600)


def test_a_server_that_is_not_there_is_told_before_the_first_case() -> None:
    wish = Wish(server="http://127.0.0.1:1", focus=("Lease",))
    with pytest.raises(UserError, match=r"http://127\.0\.0\.1:1 cannot be tested"):
        command.run(wish, Console(file=io.StringIO()))


def test_results_are_shown_with_their_reasons_and_added_up() -> None:
    output = io.StringIO()
    console = Console(file=output, width=80)
    failed = Result(SECRET, Outcome.FAILED, 0.5, "expected [1], got 2\n  at a.py:1")
    Progress(console, 1).show(failed)
    show_table(console, [failed])
    text = output.getvalue()
    assert SECRET in text
    assert "    expected [1], got 2\n" in text
    assert text.count("…") == 0, "no column is cut off at 80 characters"
    row = next(line.split() for line in text.splitlines() if line.split()[:1] == ["sig-node"])
    containers = [spec.sig for spec in all_specs() if spec.needs is Needs.CONTAINERS]
    assert row == ["sig-node", "104", "0", "0", "1", "103", str(containers.count("sig-node"))]


def test_a_spec_that_the_binary_does_not_know_is_shown_with_its_group() -> None:
    output = io.StringIO()
    command.show_missing(Console(file=output, width=40), [SECRET])
    assert output.getvalue() == f"not run by the binary: {SECRET}\n"
