"""export.py on the network that was trained for all tests, and the ONNX graph of other networks."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import onnxruntime
import pytest
import soundfile
from mindspore import Tensor, nn

import export
import predict
from src.onnx_export import build_onnx
from src.preparation import load_samples


def test_export_is_what_was_trained(trained, audio, tmp_path, exit_of, run_exported):
    common, tmp_path = ["--ckpt_path", trained.best, "--device_target", "CPU"], tmp_path / "export"
    code, out, error = exit_of(export.main, *common, "--output_dir", tmp_path, "--preprocess_path", trained.prepared)
    assert code == 0 and out.count(": ok, differs by") == 2, error
    company = {"vocab.json", "config.yaml", "processing.json", "features.npz"}
    scripts = {"processing.py", "run_onnx.py", "run_mindir.py"}
    assert {path.name for path in tmp_path.iterdir()} == {"ctc_lstm.mindir", "ctc_lstm.onnx", *company, *scripts}
    frames = load_samples(trained.prepared, "test").frames(0)[None, :50]
    loaded = nn.GraphCell(ms.load(str(tmp_path / "ctc_lstm.mindir")))
    one = loaded(Tensor(frames), Tensor(np.array([50], np.int32))).asnumpy()
    session = onnxruntime.InferenceSession(str(tmp_path / "ctc_lstm.onnx"), providers=["CPUExecutionProvider"])
    other = session.run(None, {"frames": frames, "lengths": np.array([50], np.int32)})[0]
    assert one.shape == other.shape == (1, 17, 13)
    np.testing.assert_allclose(one, other, atol=1e-4)
    files = [tmp_path.parent / f"{number}.wav" for number in range(2)]
    for file, path in zip(files, audio):  # which are NIST SPHERE
        samples, rate = soundfile.read(path, dtype="int16")
        soundfile.write(file, samples if file is files[0] else np.stack([samples, samples], 1), rate, subtype="PCM_16")
    code, expected, error = exit_of(predict.main, *files, *common)
    assert code == 0 and expected.count(" sil ") > 1, error
    for script in ("run_onnx.py", "run_mindir.py"):
        assert run_exported(tmp_path, script, *files) == expected


def test_unknown_formats_are_refused(trained, exit_of):
    code, _, error = exit_of(export.main, "--ckpt_path", trained.best, "--formats", "AIR")
    assert code == 2 and "unknown format 'AIR'" in error and error.count("\n") == 1


@pytest.mark.parametrize("front_end,bidirectional,batch_norm", [("conv", True, True), ("none", False, False)])
def test_onnx_of_other_networks(front_end, bidirectional, batch_norm):
    from test_network import SIZE, make_network, tensors, utterances

    network = make_network(front_end, batch_norm=batch_norm, bidirectional=bidirectional)
    frames = utterances([9, 5, 7])
    session = onnxruntime.InferenceSession(
        build_onnx(network, SIZE).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    inputs = tensors(frames, front_end)
    actual = session.run(None, {"frames": inputs[0].asnumpy(), "lengths": inputs[1].asnumpy()})[0]
    expected = network(*inputs).asnumpy()
    for b, each in enumerate(frames):
        steps = -(-len(each) // network.subsampling)
        np.testing.assert_allclose(actual[b, :steps], expected[:steps, b], atol=1e-5)
