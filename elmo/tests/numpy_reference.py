"""The biLM in NumPy float64, written from the formulas and straight from a published weight file: the tests' oracle."""

from __future__ import annotations

import h5py
import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def read(path) -> dict[str, np.ndarray]:
    """Return every data set of an HDF5 file, float64."""
    arrays = {}
    with h5py.File(path, "r") as file:
        file.visititems(
            lambda name, item: (
                arrays.update({name: item[...].astype(np.float64)}) if isinstance(item, h5py.Dataset) else None
            )
        )
    return arrays


def char_ids(word: str, width: int) -> list[int]:
    """Return the character ids of a word by hand."""
    inner = {"<S>": [256], "</S>": [257]}.get(word, list(word.encode())[: width - 2])
    return [258, *inner, 259] + [260] * (width - 2 - len(inner))


def word_vector(word: str, weights: dict, options) -> np.ndarray:
    """Return the vector (P,) of one word, at full width."""
    characters = weights["char_embed"][char_ids(word, options.max_characters_per_token)]  # (W, D)
    activation = np.tanh if options.activation == "tanh" else lambda x: np.maximum(x, 0)
    pooled = []
    for k, (width, number) in enumerate(options.filters):
        kernel, best = weights[f"CNN/W_cnn_{k}"][0], np.full(number, -np.inf)  # (width, D, number)
        for start in range(len(characters) - width + 1):
            best = np.maximum(best, np.einsum("wd,wdn->n", characters[start : start + width], kernel))
        pooled.append(activation(best + weights[f"CNN/b_cnn_{k}"]))
    x = np.concatenate(pooled)
    for k in range(options.n_highway):
        part = {name: weights[f"CNN_high_{k}/{name}"] for name in ("W_carry", "b_carry", "W_transform", "b_transform")}
        gate = sigmoid(x @ part["W_carry"] + part["b_carry"])
        x = gate * np.maximum(x @ part["W_transform"] + part["b_transform"], 0) + (1 - gate) * x
    return x @ weights["CNN_proj/W_proj"] + weights["CNN_proj/b_proj"]


def clip(x, limit):
    return np.clip(x, -limit, limit) if limit else x


def direction(x: np.ndarray, number: int, weights: dict, options, state=None):
    """Return the layers (L, T, P) of vectors (T, P) in reading order, and the state after them, [(h, c)] by layer."""
    states, layers = [], []
    for k in range(options.n_layers):
        group = f"RNN_{number}/RNN/MultiRNNCell/Cell{k}/LSTMCell"
        h, c = state[k] if state else (np.zeros(options.projection_dim), np.zeros(options.lstm_dim))
        outputs = []
        for row in x:
            i, j, f, o = np.split(np.concatenate([row, h]) @ weights[f"{group}/W_0"] + weights[f"{group}/B"], 4)
            c = clip(sigmoid(f + 1) * c + sigmoid(i) * np.tanh(j), options.cell_clip)
            h = clip((sigmoid(o) * np.tanh(c)) @ weights[f"{group}/W_P_0"], options.proj_clip)
            outputs.append(h + row if options.use_skip_connections and k else h)
        x = np.array(outputs)
        layers.append(x)
        states.append((h, c))
    return np.array(layers), states


def embed(words: list[str], weights: dict, options, state=None):
    """Return the layers (L + 1, words, 2P) of a sentence, and the state of both directions after it."""
    x = np.array([word_vector(word, weights, options) for word in ("<S>", *words, "</S>")])
    forward, ahead = direction(x, 0, weights, options, state and state[0])
    backward, back = direction(x[::-1], 1, weights, options, state and state[1])
    layers = np.concatenate([forward, backward[:, ::-1]], 2)
    return np.concatenate([np.concatenate([x, x], 1)[None], layers])[:, 1:-1], (ahead, back)
