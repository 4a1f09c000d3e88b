"""Chromium without a window, driven by its DevTools protocol through a pipe: nothing has to be installed for it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WAIT = 120  # seconds for what a page has to become


class Browser:
    """A page in a browser of its own, whose profile is in `folder`. Call close() at the end."""

    def __init__(self, folder: Path, *options: str):
        self.count, self.requests, self.problems = 0, [], []
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
        command += ["--no-first-run", "--disable-extensions", f"--user-data-dir={folder}", *options, "about:blank"]
        to_browser, self.to = os.pipe()
        self.back, from_browser = os.pipe()
        # bash puts the pipes where the browser looks for them
        shell = ["bash", "-c", f'exec "$@" 3<&{to_browser} 4>&{from_browser}', "bash", *command]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(shell, pass_fds=(to_browser, from_browser), **streams)
        os.close(to_browser)
        os.close(from_browser)
        self.rest, self.session = b"", None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters) -> dict:
        """Send a command of the protocol and return its result."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.rest:
                data = os.read(self.back, 2**20)
                assert data, "the browser has ended"
                self.rest += data
            line, _, self.rest = self.rest.partition(b"\0")
            answer = json.loads(line)
            if answer.get("id") == self.count:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            if answer.get("method") == "Network.requestWillBeSent":
                self.requests.append(answer["params"]["request"]["url"])
            if answer.get("method") == "Runtime.exceptionThrown":
                self.problems.append(answer["params"]["exceptionDetails"])

    def open(self, address: str) -> None:
        """Go to a page."""
        self.call("Page.navigate", url=address)

    def run(self, script: str):
        """Return the value of an expression of JavaScript."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, script: str, seconds: float = WAIT):
        """Return the value of an expression as soon as it is true."""
        deadline = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < deadline, f"waited in vain for {script}; the page:\n" + self.run(
                "document.body?.innerText"
            )
            time.sleep(0.05)
        return value

    def click(self, text: str) -> None:
        """Click where the visible button of a text is."""
        place = self.wait(
            "(() => { const button = [...document.querySelectorAll('button')].find("
            f"(each) => each.textContent === {json.dumps(text)} && each.offsetParent);"
            " button?.scrollIntoView({block: 'center'}); const box = button?.getBoundingClientRect();"
            " return box && [box.x + box.width / 2, box.y + box.height / 2]; })()",
            10,
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def type(self, text: str) -> None:
        """Replace what stands in the visible field by a text, as if typed."""
        self.run(f"{VISIBLE}.querySelector('textarea').select()")
        self.call("Input.insertText", text=text)

    def choose_file(self, path: Path) -> None:
        """Choose a file in the visible file input."""
        found = self.call("Runtime.evaluate", expression=VISIBLE + ".querySelector('input[type=file]')")
        self.call("DOM.setFileInputFiles", files=[str(path)], objectId=found["result"]["objectId"])

    def answer(self, seconds: float = WAIT) -> str:
        """Return the text of the visible answer when it has come."""
        return self.wait(VISIBLE + ".querySelector('.answer[aria-busy=false]')?.innerText", seconds)

    def picture(self, path: Path, width: int = 900, height: int = 700, dark: bool = False) -> None:
        """Write a PNG of the page."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        time.sleep(0.3)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        """End the browser."""
        os.close(self.to)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        os.close(self.back)


VISIBLE = "document.querySelector('section:not([hidden])')"
