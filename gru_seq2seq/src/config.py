"""Every hyperparameter, per device. Users edit this file; the comment behind a key is its help text, and its range.

`gru_seq2seq_cfg` is for GPU and CPU, `gru_seq2seq_cfg_ascend` for Ascend. A preset changes some keys of either:
`default` is the recipe for Multi30k, `tiny` a small network for the quick start and tests. Order of precedence: this
file < preset < --config_path FILE.yaml < command line.
"""

from easydict import EasyDict as edict

gru_seq2seq_cfg = edict(
    # data
    source="de",  # language to translate: the ending of its files
    target="en",  # language to translate into: the ending of its files
    tokenizer="sentencepiece",  # one subword model for both languages, or words of each [sentencepiece | spacy]
    vocab_size=6000,  # pieces of the SentencePiece model, including the four special ones [> 0]
    tokenizer_pairs=250000,  # pairs that the SentencePiece model learns from, drawn at random; 0 takes all [>= 0]
    min_count=2,  # spaCy words seen less often in training are unknown [> 0]
    lossless=True,  # keep every character and blank; false: NFKC and single blanks, as in version 1.0
    lowercase=False,  # read and write lower-case text only
    subword_sampling=0.0,  # alpha of segmentations drawn anew for each batch; 0 always takes the best one [>= 0]
    max_length=50,  # pairs with a source or target of more tokens, its end included, are left out of training [>= 2]
    buckets=8,  # shapes that batches are padded to, each compiled once [> 0]
    on_bad_input="error",  # pairs with an empty line, or one that is not UTF-8 text [error | skip]
    workers=0,  # processes that split texts into tokens; 0 takes all cores [>= 0]
    # network
    embed_size=256,  # size of the token vectors [> 0]
    hidden_size=512,  # GRU units, of both directions together in the encoder [> 0]
    encoder_layers=1,  # bidirectional GRU layers that read the source [> 0]
    decoder_layers=2,  # GRU layers that write the target [> 0]
    attention="luong",  # behind a decoder that runs over all steps at once, or feeding it [luong | bahdanau]
    dropout=0.4,  # of embeddings, between layers, and before the output [0 <= x < 1]
    tied_embeddings="all",  # target vectors are the output matrix, too, or all tables one [none | decoder | all]
    layer_norm=False,  # normalise the outputs of the GRU layers
    # optimization
    num_epochs=16,  # passes over the training pairs [> 0]
    batch_size=128,  # pairs a step, over all processes [> 0]
    learning_rate=0.0014,  # peak rate [> 0]
    lr_shape="cosine",  # after the warm-up [cosine | linear]
    warmup_epochs=1.0,  # epochs over which the rate rises [>= 0]
    weight_decay=0.0,  # L2 penalty on the weights [>= 0]
    gradient_clip=1.0,  # largest global norm of the gradient; 0 disables it [>= 0]
    label_smoothing=0.1,  # share of the target spread over all tokens [0 <= x < 1]
    weight_average=0.998,  # decay of the moving average of the weights; 0 disables it [0 <= x < 1]
    average_every=8,  # update the weight average every N steps, with the decay compounded to match [> 0]
    amp_level="O0",  # mixed precision on GPU and Ascend; O0 is float32 [O0 | O1 | O2 | O3]
    # decoding
    beam_size=5,  # hypotheses that the beam search keeps; 1 is greedy [> 0]
    valid_beam_size=1,  # the same for the validations of a training [> 0]
    length_penalty=0.6,  # alpha of the length that divides a hypothesis's score; 0 disables it [>= 0]
    max_length_ratio=1.5,  # maximum output length = ratio x source length + extra, in tokens [>= 0]
    max_length_extra=10,  # see max_length_ratio [>= 0]
    unknown_words="copy",  # copy: the source word that it attends to most [keep | forbid | copy]
    # running
    seed=1,  # of weights, batches, segmentations and dropout [>= 0]
    early_stop_patience=0,  # validations without a better BLEU until training stops; 0 disables it [>= 0]
    validate_steps=0,  # validate every N steps besides the end of each epoch; 0 disables it [>= 0]
    save_checkpoint_steps=0,  # save every N steps besides the end of each epoch; 0 disables it [>= 0]
    keep_checkpoint_max=5,  # newest training checkpoints to keep; 0 keeps all [>= 0]
    print_steps=50,  # steps between log lines; 0 prints only at the end of each epoch [>= 0]
)

gru_seq2seq_cfg_ascend = edict(gru_seq2seq_cfg, keep_checkpoint_max=10)

_tiny = edict(
    vocab_size=150,
    buckets=1,
    embed_size=48,
    hidden_size=64,
    dropout=0.1,
    num_epochs=10,
    batch_size=32,
    learning_rate=0.01,
    label_smoothing=0.0,
    weight_average=0.9,
    average_every=1,
    print_steps=5,
)

presets = {"default": {}, "tiny": _tiny}

added_later = {
    "lossless": False,
    "tokenizer_pairs": 0,
}  # keys that an older checkpoint lacks, with the value that it was trained with
