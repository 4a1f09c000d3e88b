"""No content of a file that a user may have ends in anything but an answer or one line of complaint."""

import shutil

import pytest
from damaged_files import read_damaged

from src.model_utils.runtime import UserError
from src.multi30k import read_pairs
from src.tokenization import SPECIAL_TOKENS, WordTokenizer
from src.tokenizer_files import load_tokenizers, save_tokenizers


@pytest.mark.parametrize("on_bad_input", ["error", "skip"])
def test_text(corpus, tmp_path, on_bad_input):
    for name in ("val.de", "val.en"):
        shutil.copy(corpus / name, tmp_path)
    read = lambda: read_pairs(tmp_path, "val", "de", "en", on_bad_input)  # noqa: E731
    assert read_damaged(tmp_path / "val.de", read) > 10
    assert read_damaged(tmp_path / "val.en", read) > 10


def test_pieces(trained, tmp_path):
    for name in ("tokenizer.json", "sentencepiece.model"):
        shutil.copy(trained.outputs / name, tmp_path)
    assert read_damaged(tmp_path / "tokenizer.json", lambda: load_tokenizers(tmp_path)) > 20
    assert read_damaged(tmp_path / "sentencepiece.model", lambda: load_tokenizers(tmp_path)) > 20


def test_a_model_of_pieces_that_has_changed_is_refused(trained, tmp_path):
    for name in ("tokenizer.json", "sentencepiece.model"):
        shutil.copy(trained.outputs / name, tmp_path)
    path = tmp_path / "sentencepiece.model"
    for content in (b"", path.read_bytes().replace(b"H", b"\xff", 1), path.read_bytes().replace(b"H", b"Q", 1)):
        path.write_bytes(content)
        with pytest.raises(UserError, match="sentencepiece.model: damaged; restore it"):
            load_tokenizers(tmp_path)


def test_words(corpus, tmp_path):
    words = sorted(set((corpus / "val.en").read_text().split()))
    both = (WordTokenizer(language, [*SPECIAL_TOKENS, *words], False, True) for language in ("de", "en"))
    save_tokenizers(tmp_path, tuple(both))
    assert read_damaged(tmp_path / "vocab.de.json", lambda: load_tokenizers(tmp_path)) > 20
