"""The page in a real browser: every tab asks the program of a trained model, and shows its answer."""

from __future__ import annotations

import importlib.util
import lzma
import re
import shutil
import signal
import subprocess
import sys
import wave
from array import array
from math import sin
from pathlib import Path

import pytest
from browser import CHROMIUM, VISIBLE, Browser
from models import ROOT
from stand_in import FOLDER, Served

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt install chromium")
needs_mindspore = pytest.mark.skipif(
    importlib.util.find_spec("mindspore") is None, reason="needs MindSpore: pip install -r requirements.txt"
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """A recording of half a second."""
    path = tmp_path_factory.mktemp("sound") / "two tones.wav"
    samples = array("h", (int(9000 * sin(0.05 * i) * sin(0.001 * i)) for i in range(8000)))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(samples.tobytes())
    return path


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> list[Path]:
    """The small checkpoints that the models' own tests have, of an earlier release."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for path in (ROOT / "gru_seq2seq/tests/data/trained_by_1_0").iterdir():
        if path.suffix == ".xz":
            (folder / path.stem).write_bytes(lzma.decompress(path.read_bytes()))
        else:
            shutil.copy(path, folder)
    released = [
        next((ROOT / model).glob("tests/data/release_1_0/*_best.ckpt"))
        for model in ("lstm", "bilstm_ner", "ctc_lstm", "elmo")
    ]
    return [*released, folder / "gru_seq2seq_best.ckpt"]


@pytest.fixture(scope="module")
def page(checkpoints, sound, tmp_path_factory):
    """A browser at the page of a demo of all five models; its microphone hears the recording."""
    text = ROOT / "elmo/tests/data/release_1_0/text.txt"
    command = [sys.executable, str(FOLDER / "demo.py"), "--no_browser", "--text", str(text), *map(str, checkpoints)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    address = re.search(r"http://\S+", process.stdout.readline())[0]
    microphone = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    browser = Browser(tmp_path_factory.mktemp("profile"), *microphone, f"--use-file-for-fake-audio-capture={sound}")
    browser.open(address)
    for title in ("Sentiment", "Entities", "Translation", "Words in context", "Speech"):
        browser.click(title)  # all programs start side by side
    yield browser
    outside = [url for url in browser.requests if not url.startswith((address, "data:", "blob:"))]
    problems = browser.problems
    browser.close()
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    process.stdout.close()
    assert outside == [] and problems == []


def ask(page: Browser, text: str) -> str:
    page.answer()  # to the example, with which a tab begins
    page.type(text)
    page.click("Ask")
    return page.answer()


@needs_mindspore
def test_sentiment_colours_the_words_of_the_text_as_it_was_typed(page):
    page.click("Sentiment")
    text = "It is Superb, isn't it? A fine <b>film</b>, Zzyzx!"
    answer = ask(page, text)
    assert re.match(r"(positive|negative) \d+\.\d %\n", answer)
    assert page.run(VISIBLE + ".querySelector('.text').textContent") == text
    words = page.run(f"[...{VISIBLE}.querySelectorAll('.text span')].map((each) => each.textContent)")
    assert words[:6] == ["It", "is", "Superb", ",", "is", "n't"]
    shades = page.run(f"[...{VISIBLE}.querySelectorAll('.text span')].map((each) => each.style.background)")
    assert len(set(shades)) > 3 and any("0.75" in shade for shade in shades), "the word that counts most is the darkest"
    assert "empty: no word to read" in ask(page, "")


@needs_mindspore
def test_entities_are_marked_with_their_n_best(page):
    page.click("Entities")
    text = "😀王伟先生，中国国籍，现任天津通信集团总经理。"
    answer = ask(page, text)
    assert "Next best answers" in answer and "score of the best" in answer
    marks = page.run(f"[...{VISIBLE}.querySelectorAll('.text mark')].map((each) => each.firstChild.textContent)")
    rows = page.run(
        f"[...{VISIBLE}.querySelector('.answer table').rows].slice(1).map((row) => row.cells[0].textContent)"
    )
    assert marks == rows and marks and all(mark in text for mark in marks)


@needs_mindspore
def test_translation_shows_n_best_and_a_row_of_attention_for_each_piece(page):
    page.click("Translation")
    answer = ask(page, "Ein Hund sieht einen Ball.")
    assert "The 5 best" in answer
    shape = page.run(f"[...{VISIBLE}.querySelectorAll('.attention tr')].map((row) => row.cells.length)")
    assert len(shape) > 1 and len(set(shape)) == 1
    sums = page.run(
        f"[...{VISIBLE}.querySelectorAll('.attention tbody tr')].map((row) =>"
        " [...row.querySelectorAll('div')].reduce((sum, each) => sum + Number(each.style.opacity), 0))"
    )
    assert sums == pytest.approx([1] * len(sums), abs=0.02)


@needs_mindspore
def test_speech_of_a_file_and_of_the_microphone(page, sound, tmp_path):
    page.click("Speech")
    (tmp_path / "no sound.wav").write_text("no sound")
    page.choose_file(tmp_path / "no sound.wav")
    assert "no_sound: unreadable audio" in page.answer() and "Traceback" not in page.answer()
    for name in ("two_tones", "microphone"):
        if name == "two_tones":
            page.choose_file(sound)
        else:
            page.click("Record")
            page.wait(f"[...{VISIBLE}.querySelectorAll('button')].some((each) => each.textContent.startsWith('Stop'))")
            page.run("new Promise((done) => setTimeout(done, 700))")
            page.click("Stop and recognise")
        page.wait(f"{VISIBLE}.querySelector('a[download]')?.download === '{name}.TextGrid'")
        grid = page.run(f"fetch({VISIBLE}.querySelector('a[download]').href).then((file) => file.text())")
        assert grid.startswith('File type = "ooTextFile"')
        assert page.wait(f"{VISIBLE}.querySelector('img').naturalWidth") > 500
        seconds = float(re.search(r"xmax = ([\d.]+)", grid)[1])
        assert seconds == 0.5 if name == "two_tones" else 0.3 < seconds < 5


@needs_mindspore
def test_words_in_context_are_ranked_and_a_sentence_without_a_mark_is_explained(page):
    page.click("Words in context")
    answer = ask(page, "A fine *story* .")
    cosines = [float(value) for value in re.findall(r"^(\d\.\d{3})", answer, re.MULTILINE)]
    assert cosines == sorted(cosines, reverse=True) and cosines
    assert "put asterisks around one word" in ask(page, "no mark <here> *")
    page.type("They play well .")
    page.click("play")
    assert "Nearest contexts" in page.answer()
    assert page.run(VISIBLE + ".querySelector('textarea').value") == "They *play* well ."


def test_a_model_without_a_checkpoint_is_trained_with_its_progress_shown(tmp_path):
    quick_start = """
        [ -e "$(dirname "$0")/again" ] || { touch "$(dirname "$0")/again"; echo 'error: the disk is full' >&2; exit 2; }
        printf '%s\\n' 'configuration: num_epochs 4' 'steps per epoch: 10' 'epoch: 3 step: 10, loss is 0.1'
        sleep 1; cd "$(dirname "$0")"; mkdir -p "quickstart/$1/outputs"; touch "quickstart/$1/outputs/$1_best.ckpt"
    """
    served, browser = Served(tmp_path / "root", quick_start), Browser(tmp_path / "profile")
    try:
        browser.open(f"http://127.0.0.1:{served.port}/")
        browser.click("Entities")
        assert "No checkpoint of this model was found" in browser.run(VISIBLE + ".innerText")
        browser.click("Train the tiny preset")
        browser.wait(f"{VISIBLE}.querySelector('.wrong')?.textContent === 'error: the disk is full'", 20)
        browser.click("Train the tiny preset")
        browser.wait(f"{VISIBLE}.querySelector('progress')?.value === 0.75", 20)
        assert "loss is 0.1" in browser.run(VISIBLE + ".querySelector('pre').textContent")
        assert browser.answer(20).startswith("王伟先生"), "then it is asked at once"
        assert not browser.problems
    finally:
        browser.close()
        served.close()
