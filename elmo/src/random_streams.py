"""The numbers that keep the random streams of one seed apart: `default_rng([seed, STREAM, ...])`.

They are part of what a seed means: with another number, the same seed would give another training.
"""

from __future__ import annotations

# starting values
CHAR_ENCODER = 400
HIGHWAY = 401
RECURRENT_LAYERS = 410
SOFTMAX = 430
# dropout masks
RECURRENT_DROPOUT = 420
MIXTURE_DROPOUT = 430
TAGGER_DROPOUT = 431
# data
ORDER_OF_SHARDS = 500
ORDER_OF_DOCUMENTS = 501
# examples/replaced_words.py
WORD_VECTORS = 432
ORDER_OF_SENTENCES = 433
REPLACEMENTS = 434
# third word of a Philox counter whose fourth is the step; dropout keys have 0 there (see layers.py)
SAMPLED_CLASSES = 1
