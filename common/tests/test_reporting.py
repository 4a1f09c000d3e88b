"""metrics.jsonl, curves.png, and the result of a program as JSON or as a table."""

from __future__ import annotations

import json

from src.model_utils.reporting import MetricsFile, draw_curves, messages_to_stderr, print_result


def test_metrics_file_starts_anew_without_resume(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"global_step": 5}\n', encoding="utf-8")
    assert MetricsFile(path, 0).records == [] and path.read_text(encoding="utf-8") == ""


def test_metrics_of_resumed_training_end_at_the_checkpoint(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = (
        b'{"global_step": 5}\n',
        b'{"global_step": 9}\n',
        b"3\n",
        b"{}\n",
        b"[" * 100_000,
        b'\n{"global_step": 4, "\xff',
    )
    path.write_bytes(b"".join(lines))  # the last as a kill leaves it
    metrics = MetricsFile(path, 5)
    metrics.add(global_step=6, loss=0.5)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert (
        [json.loads(line) for line in lines] == metrics.records == [{"global_step": 5}, {"global_step": 6, "loss": 0.5}]
    )


def test_curves_are_drawn_of_what_there_is(tmp_path):
    path = tmp_path / "curves.png"
    draw_curves([], path, "valid_f1")
    assert not path.exists()
    draw_curves([{"global_step": 1, "loss": 2.0}, {"global_step": 2, "valid_f1": 0.5}], path, "valid_f1")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_json_stands_alone_on_standard_output(capsys):
    for as_json in (True, False):
        with messages_to_stderr(as_json):
            print("a message")
        print_result({"f1": 0.5, "worst": "常"}, as_json, lambda result: print(f"F1 {result['f1']}"))
        out, err = capsys.readouterr()
        if as_json:
            assert out == '{"f1": 0.5, "worst": "常"}\n' and err == "a message\n"
        else:
            assert out == "a message\nF1 0.5\n" and not err
