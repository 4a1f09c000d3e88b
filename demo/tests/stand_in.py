"""A demo whose models are a few lines of Python, served by a process of its own."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1]
# Stands for predict.py: answers a line by JSON, leaves out "bad", ends with its error at "end", and writes its id.
PROGRAM = """
import json, os, sys, time
print("warning: something at the start", file=sys.stderr)
for line in sys.stdin:
    text = line.rstrip("\\n")
    if text == "bad":
        print("warning: left out bad: put it otherwise", file=sys.stderr, flush=True)
    elif text == "end":
        sys.exit(print("error: no more than this", file=sys.stderr) or 2)
    elif text == "end slowly":
        print("error: no more than this", file=sys.stderr, flush=True)
        os.close(1), os.close(2), time.sleep(0.5), os._exit(2)
    elif text == "fault":
        raise ValueError("a fault of the program")
    else:
        print(json.dumps({"text": text, "entities": [], "process": os.getpid()}), flush=True)
"""


class Served:
    """A demo whose only model is the stand-in above; its quick start is a line of bash."""

    def __init__(self, folder: Path, quick_start: str = "sleep 60 & echo $!; wait"):
        (folder / "lstm/outputs").mkdir(parents=True)
        (folder / "lstm/outputs/lstm_best.ckpt").touch()
        (folder / "lstm/predict.py").write_text(PROGRAM, encoding="utf-8")
        (folder / "quickstart.sh").write_text(quick_start, encoding="utf-8")
        for model in ("bilstm_ner", "gru_seq2seq"):
            (folder / model).mkdir()
            (folder / model / "predict.py").write_text(PROGRAM, encoding="utf-8")
        code = (
            f"import sys, models, demo, server; sys.path.insert(0, {str(FOLDER)!r}); from pathlib import Path;"
            f"root = Path({str(folder)!r}); made = server.Demo;"
            "demo.tabs_of = lambda given: models.tabs_of(given, root);"
            "demo.Demo = lambda tabs, text: made(tabs, text, root); server.ALONE = 0.3; server.SHOWN = 0.05;"
            "sys.exit(demo.main(['--no_browser']))"
        )
        environment = {**os.environ, "PYTHONPATH": str(FOLDER)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
        )
        self.port = int(re.search(r"http://127\.0\.0\.1:(\d+)/", self.process.stdout.readline())[1])

    def request(self, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, dict]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, path, body and body.encode(), headers)
        response = connection.getresponse()
        content = response.read().decode()
        connection.close()
        return response.status, json.loads(content) if content.startswith("{") else {"content": content}

    def page(self) -> http.client.HTTPResponse:
        """An open page: the stream of what the tabs show."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", "/events")
        return connection.getresponse()

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
