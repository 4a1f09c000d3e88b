"""A checkpoint of release 1.0 still loads, and gives what the release gave (tests/data/release_1_0/).

It is a biLM with 8 cells, trained for 150 steps on the sample corpus; the embeddings are those of `--stateless`.
"""

from pathlib import Path

import convert_weights
import embed
import h5py
import numpy as np
import pytest

import eval as evaluation
import export
from src.inference import load_model

RELEASE = Path(__file__).parent / "data" / "release_1_0"
CKPT = RELEASE / "elmo_best.ckpt"


def test_evaluation_gives_the_perplexity_of_the_release():
    text = str(RELEASE / "text.txt")
    result = evaluation.main(["--ckpt_path", str(CKPT), "--input_file", text, "--eval_batch_size", "1", "--json"])
    assert (result["tokens"], result["unknown"]) == (25, 2 / 22)
    assert result["perplexity_forward"] == pytest.approx(48.021257, rel=1e-5)
    assert result["perplexity_backward"] == pytest.approx(44.654018, rel=1e-5)


def test_embeddings_are_those_of_the_release(tmp_path):
    lines = [line for line in (RELEASE / "text.txt").read_text(encoding="utf-8").splitlines() if line]
    (tmp_path / "text.txt").write_text("\n".join(lines), encoding="utf-8")
    arguments = ["--ckpt_path", str(CKPT), "--input_file", str(tmp_path / "text.txt"), "--stateless"]
    embed.main([*arguments, "--output_file", str(tmp_path / "out.hdf5")])
    with h5py.File(tmp_path / "out.hdf5") as file, h5py.File(RELEASE / "embeddings.hdf5") as expected:
        assert file["sentence_to_index"][0] == expected["sentence_to_index"][0]
        for number in range(len(lines)):
            np.testing.assert_allclose(file[str(number)][...], expected[str(number)][...], atol=1e-6)


def test_it_is_converted_to_the_same_weights(tmp_path):
    convert_weights.main(["--input", str(CKPT), "--output", str(tmp_path / "weights.hdf5")])
    (network, options), (other, others) = load_model(CKPT), load_model(tmp_path / "weights.hdf5")
    assert options == others
    for one, two in zip(network.get_parameters(), other.get_parameters()):
        np.testing.assert_array_equal(one.asnumpy(), two.asnumpy(), err_msg=one.name)


def test_export_agrees_with_the_checkpoint(tmp_path):
    differences = export.main(["--ckpt_path", str(CKPT), "--output_dir", str(tmp_path)])
    assert set(differences) == {"MINDIR", "ONNX"} and max(differences.values()) <= export.TOLERANCE
    assert (tmp_path / "elmo.mindir").is_file()
