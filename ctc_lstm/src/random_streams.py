"""The numbers that keep the random streams of one seed apart. They never change: with them, every result would.

The weights and the dropout of LSTM layer k are drawn from [seed, k], the order of an epoch from [seed, epoch], the
augmentation of an utterance from [seed, epoch, its dropout key + DROPOUT_KEYS].
"""

# behind [seed]
CONVOLUTION_1 = 401
CONVOLUTION_2 = 402
OUTPUT = 403

DROPOUT_KEYS = 2**31  # added to the keys, which are int32, as seeds must not be negative
