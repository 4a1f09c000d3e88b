"""eval.py on the network that was trained for all tests."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import sacrebleu

import eval as evaluation


@pytest.fixture(scope="module")
def common(trained):
    return ["--ckpt_path", trained.best, "--device_target", "CPU"]


def test_json_and_file_of_translations(trained, common, tmp_path, exit_of):
    output = tmp_path / "new" / "test.tsv"
    files = ["--output", output, "--report", tmp_path / "report.html"]
    code, out, error = exit_of(evaluation.main, *common, "--data-dir", trained.corpus, "--json", *files)
    assert code == 0, error
    result = json.loads(out)
    rows = [line.split("\t") for line in output.read_text(encoding="utf-8").splitlines()]
    sources, translations, references = map(list, zip(*rows))
    assert sources == (trained.corpus / "test.de").read_text(encoding="utf-8").splitlines()
    assert references == (trained.corpus / "test.en").read_text(encoding="utf-8").splitlines()
    assert result["bleu"] == pytest.approx(sacrebleu.corpus_bleu(translations, [references]).score)
    assert result["bleu"] > 95 and result["chrf"] > 80 and result["bleu_lowercase"] >= result["bleu"]
    assert 1 < result["perplexity"] < 2 and result["sentences"] == 100 and result["split"] == "test"
    assert sum(group["sentences"] for group in result["bleu_by_length"]) == 100
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    chrf = [sacrebleu.sentence_chrf(*pair).score for pair in zip(translations, [[text] for text in references])]
    assert f">{min(chrf):.1f}, sentence {chrf.index(min(chrf)) + 1}<" in page and "<svg" in page
    assert page.count("<td>source</td>") == 20 and page.index("Worst sentences") < page.index("Best sentences")
    assert "tok:13a" in result["bleu_signature"] and "100 test sentences" in error


def test_texts_in_columns_lose_nothing_but_tabs(tmp_path, capsys):
    evaluation.write_texts(tmp_path / "a.tsv", ["a\tb", "c  d"], ["\u00a0e\u2028f", "g"], ["h", "\u200ci\r"])
    expected = "a b\t\u00a0e\u2028f\th\nc  d\tg\t\u200ci\r\n"
    assert (tmp_path / "a.tsv").read_bytes().decode() == expected
    assert "blanks stand for the tabs within 1 texts" in capsys.readouterr().out


def test_table_for_people(trained, common, exit_of):
    arguments = ["--data_path", trained.corpus, "--split", "val", "--beam_size", "2", "--average", "2"]
    code, out, error = exit_of(evaluation.main, *common, *arguments)
    assert code == 0, error
    assert re.search(r"BLEU +\d+\.\d\d +nrefs:1\|case:mixed", out) and "chrF" in out and "perplexity" in out
    assert "100 val sentences" in out and re.search(r"words of the source +sentences +BLEU\n0 to 9 ", out)
    assert re.search(r"weights: mean of gru_seq2seq-\d+_\d+\.ckpt, gru_seq2seq-\d+_\d+\.ckpt", out)


def test_wrong_use(trained, common, tmp_path, exit_of):
    data = ["--data_dir", trained.corpus]
    shutil.copytree(trained.corpus, tmp_path / "short")
    lines = (trained.corpus / "test.en").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "short" / "test.en").write_text("".join(lines[:-1]), encoding="utf-8")
    (tmp_path / "a.yaml").write_text("hidden_size: 5\n")
    for arguments, message in (
        ([], "--data_dir is missing"),
        (["--data_dir", tmp_path / "nowhere"], "nowhere"),
        (["--data_dir", tmp_path / "short"], "test.de:100"),
        ([*data, "--beam_size", "0"], "beam_size is 0 but must be above 0"),
        ([*data, "--unknown_words", "drop"], "keep, forbid or copy"),
        ([*data, "--beem_size", "3"], "did you mean '--beam_size'"),
        ([*data, "--config_path", tmp_path / "a.yaml"], "hidden_size is 5, but the checkpoint was trained with 64"),
        ([*data, "--average", "99"], "--average 99"),
    ):
        code, _, error = exit_of(evaluation.main, *common, *arguments)
        assert code == 2 and message in error and error.strip().count("\n") == 0, error
