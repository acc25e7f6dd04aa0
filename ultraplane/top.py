"""`ultraplane top`: a cluster as it is this second, in the terminal.

It reads the stream that the web console reads, as the user of a kubeconfig. On a terminal it draws
anew each second; elsewhere it writes a line each second, and with `--once` what there is, once.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import termios
import tty
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

import typer
from rich.console import Console
from rich.live import Live

from kube.access import AccessError, read_access
from kube.client import ApiClient, Unreachable
from kube.status import StatusError
from runtime.tasks import TaskScope
from ultraplane.config import Config
from ultraplane.errors import UserError
from ultraplane.run_state import read_state, state_path
from ultraplane.top_display import SORTS, line, render
from ultraplane.top_figures import View, Window

PATH: Final = "/console/api/live"
_SILENCE_S_MAX: Final = 15.0
_ONCE_TICKS_MAX: Final = 60
"""So long `--once` waits until all nodes and pods are counted; then it shows those that are."""
_RETRY_S: Final = 1.0
_CTRL_C: Final = "\x03"
_KEYS_MAX: Final = 64
_QUERY: Final = {"cells": "false"}


@dataclass(slots=True)
class Wish:
    """What is to be shown, and how.

    Attributes:
        kubeconfig: whose cluster, and as whom.
        once: show it once, and end.
        is_json: for programs.
    """

    kubeconfig: Path
    once: bool
    is_json: bool


def choose_kubeconfig(config: Config, given: Path | None) -> Path:
    """Return which kubeconfig to use.

    Raises:
        UserError: nothing was started in the data directory, and no other is named.
    """
    if given is not None:
        return given
    state = read_state(state_path(config.data_dir))
    path = Path(state.kubeconfig) if state is not None else config.data_dir / "kubeconfig"
    if not path.is_file():
        raise UserError(
            f"there is no cluster in {config.data_dir}; start one: ultraplane up, or name one: "
            "--kubeconfig FILE"
        )
    return path


def run_top(wish: Wish, console: Console) -> None:
    """Show a cluster until `q` or Ctrl-C.

    Raises:
        UserError: it cannot be reached, or what is asked for may not be seen.
    """
    try:
        asyncio.run(_run(wish, console))
    except KeyboardInterrupt:
        pass
    except AccessError as error:
        raise UserError(str(error)) from error


async def _run(wish: Wish, console: Console) -> None:
    access = read_access(wish.kubeconfig)
    async with ApiClient(access, user_agent="ultraplane-top") as client:
        if console.is_terminal and not wish.once and not wish.is_json:
            await _show_live(client, console)
        else:
            await _write(client, wish, console)


async def views(client: ApiClient) -> AsyncIterator[tuple[View, bool]]:
    """Yield what there is each second, and whether that is all: it may still be counted.

    A connection that breaks is made anew; only the first must succeed.

    Raises:
        UserError: the server refuses, or nobody is there.
    """
    is_first = True
    while True:
        try:
            async with client.stream(PATH, _QUERY, read_timeout_s=_SILENCE_S_MAX) as batches:
                window = Window(())
                async for lines in batches:
                    for text in lines:
                        told = json.loads(text)
                        if told["type"] == "hello":
                            window = Window(told["bounds_s"])
                        elif told["type"] == "tick":
                            window.take(told)
                            is_first = False
                            yield window.view(), window.is_complete
        except StatusError as error:
            raise UserError(_refusal(error, client)) from error
        except Unreachable as error:
            if is_first:
                raise UserError(
                    f"no API server answers at {client.access.server}: {error}. Does it run? See: "
                    "ultraplane status"
                ) from error
        await client.clock.sleep(_RETRY_S)


def _refusal(error: StatusError, client: ApiClient) -> str:
    server = client.access.server
    if error.code == 404:
        return f"{server} has no console: it is switched off there (server.console), or too old"
    if error.code in (401, 403):
        return f"{server} refuses: {error.message}. Who is to see it needs `get` on {PATH}"
    return f"{server} refuses: {error.message}"


async def _write(client: ApiClient, wish: Wish, console: Console) -> None:
    """Write what there is, once or each second."""
    seen = 0
    async for view, is_complete in views(client):
        seen += 1
        if wish.once and not is_complete and seen < _ONCE_TICKS_MAX:
            continue
        if wish.is_json:
            typer.echo(json.dumps(view.to_json()))
        elif wish.once:
            console.print(render(view, client.access.server, SORTS[0], is_live=False))
        elif seen > 1:
            typer.echo(line(view))
        if wish.once:
            return


class _Screen:
    """The picture on a terminal, and what keys do to it."""

    def __init__(self, live: Live, server: str) -> None:
        self.ended = asyncio.Event()
        self.refusal: UserError | None = None
        self._live = live
        self._server = server
        self._sort = 0
        self._view: View | None = None

    async def run(self, client: ApiClient) -> None:
        """Draw each second, until the server refuses."""
        try:
            async for view, _ in views(client):
                self._view = view
                self._draw()
        except UserError as error:
            self.refusal = error
        self.ended.set()

    def press(self, key: str) -> None:
        """Do what a key stands for."""
        if key in ("q", "Q", _CTRL_C):
            self.ended.set()
        elif key == "s":
            self._sort = (self._sort + 1) % len(SORTS)
            self._draw()

    def _draw(self) -> None:
        if self._view is not None:
            picture = render(self._view, self._server, SORTS[self._sort], is_live=True)
            self._live.update(picture, refresh=True)


async def _show_live(client: ApiClient, console: Console) -> None:
    with Live(console=console, screen=True, auto_refresh=False) as live:
        screen = _Screen(live, client.access.server)
        with _heard_keys(sys.stdin, screen.press):
            async with TaskScope("top") as scope:
                drawing = scope.spawn(screen.run(client), name="picture")
                await screen.ended.wait()
                drawing.cancel()
    if screen.refusal is not None:
        raise screen.refusal


@contextmanager
def _heard_keys(source: TextIO, press: Callable[[str], None]) -> Iterator[None]:
    """Call `press` with each key for the time of the block, at once and unseen."""
    if not source.isatty():
        yield
        return
    descriptor, loop = source.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(descriptor)

    def read() -> None:
        for key in os.read(descriptor, _KEYS_MAX).decode(errors="replace"):
            press(key)

    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, read)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
