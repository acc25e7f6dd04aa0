"""A real headless Chromium, driven by the DevTools protocol over a websocket.

It is the machine's own (Debian's package `chromium`), with a profile that is thrown away. Waits
are for facts of the page, asked for again until they hold.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket

START_S_MAX = 30.0
WAIT_S_MAX = 20.0
_POLL_S = 0.05
_FLAGS = (
    *(
        "--headless=new",
        "--no-first-run",
        "--disable-extensions",
        "--disable-background-networking",
    ),
    *("--disable-component-update", "--disable-default-apps", "--disable-sync", "--mute-audio"),
    *("--disable-dev-shm-usage", "--hide-scrollbars", "--password-store=basic"),
    *("--ignore-certificate-errors", "--remote-debugging-port=0", "--no-proxy-server"),
)


class PageFailed(AssertionError):
    """What the page ran has thrown, or what was waited for did not come."""


class Page:
    """One page of a browser.

    Attributes:
        log: what it wrote to its console, and what its policy has refused.
        asked: URLs of all requests that it made.
    """

    def __init__(self, address: str) -> None:
        self._socket = websocket.create_connection(address, timeout=WAIT_S_MAX)
        self._number = 0
        self.log: list[str] = []
        self.asked: list[str] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol; events that come meanwhile are noted."""
        self._number += 1
        number = self._number
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == number:
                if "error" in message:
                    raise PageFailed(f"{method}: {message['error']}")
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        told = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.asked.append(told["request"]["url"])
            case "Runtime.consoleAPICalled":
                self.log.append(" ".join(str(one.get("value")) for one in told["args"]))
            case "Runtime.exceptionThrown":
                self.log.append(json.dumps(told["exceptionDetails"])[:2000])
            case "Log.entryAdded":
                self.log.append(told["entry"]["text"])
            case _:
                pass

    def open(self, url: str) -> None:
        """Go to an address."""
        answer = self.call("Page.navigate", url=url)
        assert not answer.get("errorText"), answer

    def run(self, script: str) -> Any:
        """Return what an expression, which may be a promise, comes to.

        Raises:
            PageFailed: it throws.
        """
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise PageFailed(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, script: str) -> Any:
        """Return what an expression comes to, when that is something.

        Raises:
            PageFailed: it does not in time.
        """
        deadline_s = time.monotonic() + WAIT_S_MAX
        while time.monotonic() < deadline_s:
            if found := self.run(script):
                return found
            time.sleep(_POLL_S)
        raise PageFailed(f"{script} did not hold within {WAIT_S_MAX} s; the page told: {self.log}")

    def size(self, width: int, height: int, *, dark: bool = False) -> None:
        """Set the size of the window, and which colours its user prefers."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        preferred = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[preferred])

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """Move, press, release or turn the mouse: mouseMoved, mousePressed, mouseWheel, ..."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def screenshot(self) -> bytes:
        """Return a picture of the page, PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])


@contextmanager
def run_browser() -> Iterator[Page]:
    """Run Chromium until the block ends; gives a page of it."""
    program = shutil.which("chromium")
    assert program is not None, "there is no chromium on PATH"
    profile = Path(tempfile.mkdtemp(prefix="ultraplane-browser-"))
    flags = [*_FLAGS, f"--user-data-dir={profile}"]
    if os.geteuid() == 0:
        flags.append("--no-sandbox")  # it refuses to run as root with one
    process = subprocess.Popen(
        [program, *flags, "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(profile)},
    )
    try:
        page = Page(_address(profile, process))
        try:
            yield page
        finally:
            page.close()
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(profile, ignore_errors=True)


def _address(profile: Path, process: subprocess.Popen[bytes]) -> str:
    """Return the address of the first page's websocket, once there is one."""
    told = profile / "DevToolsActivePort"
    deadline_s = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline_s:
        assert process.poll() is None, f"chromium ended with {process.returncode}"
        lines = told.read_text().splitlines() if told.exists() else []
        if len(lines) == 2:
            port, path = lines
            return _page_of(f"ws://127.0.0.1:{port}{path}", int(port))
        time.sleep(_POLL_S)
    raise PageFailed(f"chromium does not answer after {START_S_MAX} s")


def _page_of(browser: str, port: int) -> str:
    connection = websocket.create_connection(browser, timeout=START_S_MAX)
    try:
        connection.send(json.dumps({"id": 1, "method": "Target.getTargets"}))
        while True:
            message = json.loads(connection.recv())
            if message.get("id") == 1:
                targets = message["result"]["targetInfos"]
                page = next(one for one in targets if one["type"] == "page")
                return f"ws://127.0.0.1:{port}/devtools/page/{page['targetId']}"
    finally:
        connection.close()
