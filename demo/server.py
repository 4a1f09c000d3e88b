"""The page and what it asks for, by HTTP on this machine alone."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from models import EXAMPLES, ROOT, TITLES, Tab, command_of, find_checkpoint, recordings_of
from programs import Program, Refused, Training, quick_start

PAGE = Path(__file__).with_name("page")
FILES = {"/": PAGE / "index.html", **{f"/{path.name}": path for path in PAGE.iterdir()}}
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
POLICY = (
    "default-src 'self'; connect-src 'self' blob:; img-src 'self' data:; media-src 'self' blob:;"
    " style-src 'self' 'unsafe-inline'"
)
LONGEST_TEXT, LONGEST_RECORDING = 2**16, 2**26  # bytes
SHOWN = 0.5  # seconds between two looks at what a training has printed
ALONE = 5  # seconds without a page after which its processes end; a page that is loaded again is back before


class Demo:
    """The tabs of the page, with the process of each."""

    def __init__(self, tabs: Sequence[Tab], text: Path | None = None, root: Path = ROOT):
        self.tabs, self.text, self.root = list(tabs), text, root
        self.lock = threading.Lock()
        self.programs: dict[int, Program] = {}
        self.trainings: dict[int, Training] = {}
        self.pages = 0

    def shown(self) -> list[dict]:
        """Return what the page shows of each tab before anything is asked."""
        models = [tab.model for tab in self.tabs]
        rows = []
        for number, (model, checkpoint) in enumerate(self.tabs):
            title = TITLES[model] + (f" {models[: number + 1].count(model)}" if models.count(model) > 1 else "")
            training = self.trainings.get(number)
            rows.append(
                {
                    "model": model,
                    "title": title,
                    "checkpoint": str(checkpoint) if checkpoint else None,
                    "examples": EXAMPLES[model],
                    "recordings": [path.name for path in recordings_of(checkpoint)] if checkpoint else [],
                    "training": training.state() if training else None,
                }
            )
        return rows

    def ask(self, number: int, line: str) -> dict:
        """Return the program's answer to a line; Refused with its own line where it has none."""
        return self._program(number).ask(line)

    def recognize(self, number: int, name: str, content: bytes) -> dict:
        """Return the answer to an audio file, with its TextGrid and the picture, as a PNG in base64.

        The file is gone when this returns. All files of one name are the same file to the program, which refuses two
        whose answers would go to one place.
        """
        program = self._program(number)
        name = re.sub(r"[^\w-]+", "_", Path(name).stem)[:60] or "recording"
        with program.files:
            program.folder.mkdir(exist_ok=True)
            paths = [program.folder / name, *(program.folder / f"{name}{end}" for end in (".png", ".TextGrid"))]
            try:
                paths[0].write_bytes(content)
                answer = program.ask(name)
                picture, grid = (path.read_bytes() for path in paths[1:])
            finally:
                for path in paths:
                    path.unlink(missing_ok=True)
        return {**answer, "picture": base64.b64encode(picture).decode(), "textgrid": grid.decode()}

    def train(self, number: int) -> None:
        """Begin to train the tiny preset of a tab's model, unless that is under way."""
        with self.lock:
            training = self.trainings.get(number)
            if training is None or not training.state()["running"]:
                self.trainings[number] = Training(quick_start(self.tabs[number].model, self.root))

    def look(self) -> None:
        """Give a tab the checkpoint that its training has left."""
        for number, training in list(self.trainings.items()):
            tab = self.tabs[number]
            if tab.checkpoint is None and training.state()["code"] == 0:
                self.tabs[number] = tab._replace(checkpoint=find_checkpoint(tab.model, self.root))

    def stop_training(self, number: int) -> None:
        """End the training of a tab."""
        if training := self.trainings.pop(number, None):
            training.close()

    def close(self) -> None:
        """End all processes; a later question starts them again."""
        with self.lock:
            running = [*self.programs.values(), *self.trainings.values()]
            self.programs, self.trainings = {}, {}
        for each in running:
            each.close()

    def page_opens(self) -> None:
        """Count a page that has been opened."""
        with self.lock:
            self.pages += 1

    def page_closes(self) -> None:
        """Count a page that has been closed; some seconds after the last one all processes end."""

        def end_unless_a_page_is_back() -> None:
            if not self.pages:
                self.close()

        with self.lock:
            self.pages -= 1
        timer = threading.Timer(ALONE, end_unless_a_page_is_back)
        timer.daemon = True
        timer.start()

    def _program(self, number: int) -> Program:
        model, checkpoint = self.tabs[number]
        if checkpoint is None:
            raise Refused("this tab has no checkpoint")
        with self.lock:
            if number not in self.programs:
                self.programs[number] = Program(command_of(model, checkpoint, self.text, self.root))
            return self.programs[number]


class Server(ThreadingHTTPServer):
    """Serves a Demo on the loopback interface, at a port that is free unless one is given."""

    daemon_threads = True

    def __init__(self, demo: Demo, port: int = 0):
        super().__init__(("127.0.0.1", port), Handler)
        self.demo = demo
        self.address = f"http://127.0.0.1:{self.server_port}/"
        self.hosts = {f"{host}:{self.server_port}" for host in ("127.0.0.1", "localhost")}


class Handler(BaseHTTPRequestHandler):
    """Answers one request to a Server."""

    @property
    def owner(self) -> Server:
        """The Server whose request this is."""
        assert isinstance(self.server, Server)
        return self.server

    def do_GET(self) -> None:
        """Send a file of the page, a recording to begin with, or what changes, as it changes."""
        if not self._is_ours():
            return
        if self.path in FILES:
            path = FILES[self.path]
            self._send(path.read_bytes(), TYPES[path.suffix])
        elif self.path == "/events":
            self._send_events()
        elif found := re.fullmatch(r"/recording/(\d+)/(\d+)", self.path):
            number, which = map(int, found.groups())
            tabs = self.owner.demo.tabs
            checkpoint = tabs[number].checkpoint if number < len(tabs) else None
            paths = recordings_of(checkpoint) if checkpoint else []
            if which < len(paths):
                self._send(paths[which].read_bytes(), "application/octet-stream")
            else:
                self._send_json({"error": "no such recording"}, HTTPStatus.NOT_FOUND)
        else:
            self._send_json({"error": "no such page"}, HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """Ask the program of a tab, or begin or stop a training."""
        found = re.fullmatch(r"/(ask|train|stop)/(\d+)", self.path)
        demo = self.owner.demo
        if not self._is_ours():
            return
        if not found or int(found[2]) >= len(demo.tabs):
            return self._send_json({"error": "no such page"}, HTTPStatus.NOT_FOUND)
        what, number = found[1], int(found[2])
        sound = what == "ask" and demo.tabs[number].model == "ctc_lstm"
        length, longest = int(self.headers.get("Content-Length") or 0), LONGEST_RECORDING if sound else LONGEST_TEXT
        if length > longest:
            self.close_connection = True
            words = f"longer than {longest} bytes; cut it into parts"
            return self._send_json({"error": words}, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        content = self.rfile.read(length)
        try:
            if what != "ask":
                demo.train(number) if what == "train" else demo.stop_training(number)
                answer = {}
            elif sound:
                answer = demo.recognize(number, unquote(self.headers.get("X-Name", "")), content)
            else:
                answer = demo.ask(number, re.sub(r"[\r\n]", " ", content.decode("utf-8", "replace")))
        except (Refused, OSError) as error:  # the latter for a full disk
            return self._send_json({"error": str(error)}, HTTPStatus.UNPROCESSABLE_ENTITY)
        self._send_json(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing of a request."""

    def _is_ours(self) -> bool:
        """Whether the page itself asks: a page of another host, whose name leads here, is refused."""
        origin = self.headers.get("Origin")
        if self.headers.get("Host") in self.owner.hosts and (
            origin is None or origin.removeprefix("http://") in self.owner.hosts
        ):
            return True
        self.close_connection = True
        self._send_json({"error": f"open {self.owner.address} on this machine"}, HTTPStatus.FORBIDDEN)
        return False

    def _send_json(self, content: object, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json.dumps(content, ensure_ascii=False).encode("utf-8", "replace"), "application/json", status)

    def _send(self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Security-Policy", POLICY)
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(content)
        except ConnectionError:  # the page has been closed
            self.close_connection = True

    def _send_events(self) -> None:
        """Send what the tabs show whenever it changes, until the page is closed."""
        demo, last = self.owner.demo, b""
        demo.page_opens()
        try:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            while True:
                demo.look()
                state = json.dumps(demo.shown(), ensure_ascii=False).encode("utf-8", "replace")
                self.wfile.write(b":\n\n" if state == last else b"data: " + state + b"\n\n")
                last = state
                time.sleep(SHOWN)
        except ConnectionError:
            pass
        finally:
            self.close_connection = True
            demo.page_closes()
