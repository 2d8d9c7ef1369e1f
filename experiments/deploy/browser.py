"""Chromium without a window, told by its own debugging protocol what to open and do; and a file server."""

from __future__ import annotations

import base64
import functools
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def chromium() -> str | None:
    """The browser that is there, if any."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which a plain file server gives `folder`."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Browser:
    """One page of a headless Chromium; messages of the DevTools protocol through two pipes."""

    def __init__(self, *flags: str) -> None:
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()

        def pipes() -> None:
            os.dup2(to_read, 3)
            os.dup2(to_write, 4)

        fixed = (
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        )
        command = [str(chromium()), *fixed, *flags, f"--user-data-dir={self._profile.name}"]
        self._process = subprocess.Popen(
            [*command, "--remote-debugging-pipe", "about:blank"],
            preexec_fn=pipes,
            pass_fds=(3, 4, to_read, to_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self._number, self._session, self._left = 0, None, b""
        self.requests: list[str] = []
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self("Network.enable")
        self("Page.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *failure: object) -> None:
        self._process.terminate()
        self._process.wait()
        os.close(self._write)
        os.close(self._read)
        self._profile.cleanup()

    def __call__(self, method: str, **parameters: Any) -> Any:
        """The result of one command of the protocol; addresses that the page asks for go to `requests`."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("method") == "Network.requestWillBeSent":
                self.requests.append(answer["params"]["request"]["url"])
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def _next(self) -> Any:
        while b"\0" not in self._left:
            data = os.read(self._read, 1 << 20)
            if not data:
                raise RuntimeError("the browser has ended")
            self._left += data
        message, _, self._left = self._left.partition(b"\0")
        return json.loads(message)

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page, awaited."""
        found = self("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(json.dumps(found["exceptionDetails"]))
        return found["result"].get("value")

    def open(
        self, address: str, size: tuple[int, int] = (1280, 860), dots: float = 1, phone: bool = False
    ) -> str:
        """Open a web folder's page and wait for its sample; the line that it then shows."""
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": dots, "mobile": phone}
        self("Emulation.setDeviceMetricsOverride", **metrics)
        self("Page.navigate", url=address)
        return self.settled()

    def settled(self) -> str:
        """Wait for the page to have found people or to say what is wrong; what it says."""
        return str(
            self.evaluate(
                "new Promise(done => { const look = () => /done|error/.test(document.body?.dataset.state)"
                " ? done(document.getElementById('status').textContent) : setTimeout(look, 50); look(); })"
            )
        )

    def people(self, picture: Path) -> Any:
        """What the page finds in a picture file: [{score, joints}, ...]."""
        root = self("DOM.getDocument")["root"]["nodeId"]
        node = self("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
        self.evaluate("document.body.dataset.state = 'busy'")
        self("DOM.setFileInputFiles", files=[str(picture)], nodeId=node)
        self.settled()
        return self.evaluate("import('./app.js').then(page => page.shown.people)")

    def screenshot(self, path: Path) -> None:
        """The page as it is, as a PNG."""
        path.write_bytes(base64.b64decode(self("Page.captureScreenshot", captureBeyondViewport=True)["data"]))
