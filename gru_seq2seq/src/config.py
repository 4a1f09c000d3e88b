"""Every hyperparameter, per device. Users edit this file; the comment behind a key is its help text.

`gru_seq2seq_cfg` is for GPU and CPU, `gru_seq2seq_cfg_ascend` for Ascend. A preset changes some keys of either:
`default` is the recipe for Multi30k, `tiny` a small network for the quick start and tests. Order of precedence: this
file < preset < --config_path FILE.yaml < command line.
"""

from easydict import EasyDict as edict

gru_seq2seq_cfg = edict(
    # data
    source="de",  # language that is translated: the ending of its files
    target="en",  # language that it is translated into: the ending of its files
    tokenizer="sentencepiece",  # sentencepiece (one model for both languages) or spacy (words, a vocabulary each)
    vocab_size=6000,  # pieces of the SentencePiece model, the four special ones included
    min_count=2,  # a spaCy word seen less often in training is unknown
    lowercase=False,  # read and write lower-case text only
    subword_sampling=0.0,  # alpha of the segmentations that are drawn anew in each epoch; 0 for the best one always
    max_length=50,  # tokens of a longer source or target, its end included, leave a pair out of training
    buckets=8,  # shapes that batches are padded to, each compiled once
    on_bad_pair="error",  # a pair with an empty line or wrong encoding: error or skip
    workers=2,  # threads that segment texts
    # network
    embed_size=256,  # size of the token vectors
    hidden_size=512,  # GRU units per direction
    encoder_layers=1,  # bidirectional GRU layers that read the source
    decoder_layers=2,  # GRU layers that write the target
    attention="luong",  # luong, after a decoder that runs over all steps at once, or bahdanau, which feeds it
    dropout=0.4,  # of embeddings, of what layers pass on, and before the output
    tied_embeddings="all",  # decoder: target vectors are the output matrix; all: the source vectors too; none
    layer_norm=False,  # normalise what the GRU layers read and the attention gives
    # optimization
    num_epochs=16,  # passes over the training pairs
    batch_size=128,  # pairs a step, over all processes
    learning_rate=0.0014,  # peak rate
    lr_shape="cosine",  # after the warm-up: cosine or linear
    warmup_epochs=1.0,  # epochs over which the rate rises
    weight_decay=0.0,  # L2 penalty on the weights
    gradient_clip=1.0,  # largest global norm of the gradient; 0 for none
    label_smoothing=0.1,  # share of the target spread over all tokens
    weight_average=0.998,  # decay of the moving average of the weights; 0 for none
    average_every=8,  # steps between moves of that average, as far each time as in so many steps
    amp_level="O0",  # mixed precision on GPU and Ascend: O0 (float32), O1, O2 or O3
    # decoding
    beam_size=5,  # hypotheses that the beam search keeps; 1 is greedy
    valid_beam_size=1,  # the same, in the validations of a training
    length_penalty=0.6,  # alpha by which the length divides a hypothesis's score; 0 for not
    max_length_ratio=1.5,  # longest translation: this many tokens a source token
    max_length_extra=10,  # and so many more
    unknown_words="copy",  # keep the unknown token, forbid it, or copy the source word most attended to
    # running
    seed=1,  # of weights, batches, segmentations and dropout
    early_stop_patience=0,  # validations without a better BLEU until training stops; 0 for never
    validate_steps=0,  # validate every N steps besides the end of each epoch; 0 for not
    save_checkpoint_steps=0,  # save every N steps besides the end of each epoch; 0 for not
    keep_checkpoint_max=5,  # newest training checkpoints that are kept; 0 for all
    print_steps=50,  # steps between log lines
)

gru_seq2seq_cfg_ascend = edict(
    gru_seq2seq_cfg,
    keep_checkpoint_max=10,
)

_tiny = edict(
    vocab_size=150,
    buckets=1,
    embed_size=32,
    hidden_size=48,
    dropout=0.1,
    num_epochs=12,
    batch_size=32,
    learning_rate=0.01,
    label_smoothing=0.0,
    weight_average=0.9,
    average_every=1,
    print_steps=5,
)

presets = {"default": {}, "tiny": _tiny}
