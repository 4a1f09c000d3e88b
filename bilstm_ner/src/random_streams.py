"""Numbers that keep the random draws of one seed apart. They never change: with them, every result would."""

# behind [seed, epoch]; the order of the sentences has none
REPLACED_MENTIONS = 2
UNKNOWN_REPLACEMENT = 3  # behind [seed, epoch, step]

# behind [seed]; the layers of the LSTM have 0, 1 ...
CHARACTER_TABLE = 300
BIGRAM_TABLE = 301
EMBEDDING_DROPOUT = 302
OUTPUT_DROPOUT = 303
TAG_SCORES = 304
LANGUAGE_MODEL = 305
