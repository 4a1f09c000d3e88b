"""Phoneme and digit recognition with bidirectional LSTMs and CTC."""
