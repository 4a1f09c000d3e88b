"""Every hyperparameter, per device. Users edit this file; the comment behind a key is its help text.

`lstm_cfg` is for GPU and CPU, `lstm_cfg_ascend` for Ascend. A preset changes some keys of either: `default` is the best
recipe found, `zoo` the recipe of the MindSpore model zoo's LSTM, `tiny` a small network for the quick start and tests.
Order of precedence: this file < preset < --config_path FILE.yaml < command line.
"""

from easydict import EasyDict as edict

lstm_cfg = edict(
    # network
    num_classes=2,  # classes of the classifier
    embed_size=300,  # size of the word vectors: 50, 100, 200 or 300 with GloVe
    projection_size=128,  # size of the linear projection of the word vectors before the LSTM; 0 disables it
    trained_words=10000,  # how many of the most frequent words learn an offset to their vector; 0 disables it
    num_hiddens=128,  # LSTM units per direction
    num_layers=1,  # LSTM layers
    bidirectional=True,  # read the review in both directions
    pooling="mean_max",  # summary of the LSTM outputs over time: ends, mean, max, mean_max or attention
    # data
    max_length=400,  # tokens of a review that are read
    truncation="head_tail",  # which tokens of a longer review: head, or head_tail for half from each end
    min_count=5,  # tokens that occur less often are unknown words
    validation_fraction=0.12,  # share of the training reviews, by film, that selects the best checkpoint; 0 disables it
    split_seed=0,  # seed of the validation split; it is not --seed, so that runs with different seeds are comparable
    on_bad_file="error",  # empty, unreadable or badly named files: error or skip
    vector_epochs=8,  # epochs of the in-domain word vectors, which are trained where no GloVe is given
    vector_window=8,  # window of the in-domain word vectors, in tokens to each side
    vector_workers=2,  # threads of the in-domain word vectors; with 1 they are reproducible
    vector_seed=1,  # seed of the in-domain word vectors
    # language-model pre-training of the LSTM on all reviews but those of validation and test
    pretrain_epochs=1,  # passes over the reviews; 0 disables it
    pretrain_length=100,  # tokens of a segment; reviews are cut into segments
    pretrain_batch_size=48,  # segments per step, over all processes
    pretrain_learning_rate=0.004,  # peak rate
    # optimization
    optimizer="adam",  # adam or momentum
    dynamic_lr=True,  # warm-up and decay; false keeps learning_rate
    learning_rate=0.002,  # constant rate, or the peak with dynamic_lr
    lr_shape="cosine",  # decay with dynamic_lr: cosine or linear
    warmup_epochs=0.5,  # epochs over which the rate rises, with dynamic_lr
    momentum=0.9,  # of the momentum optimizer; beta1 of adam
    weight_decay=0.0,  # L2 penalty on the weights
    gradient_clip=1.0,  # largest global norm of the gradient; 0 disables it
    num_epochs=3,  # passes over the training reviews
    batch_size=64,  # reviews per step, over all processes
    dropout=0.5,  # on the pooled features and between LSTM layers
    embedding_dropout=0.0,  # on the columns of the word vectors, the same at every step of a review
    word_dropout=0.15,  # share of the training tokens that are replaced by the unknown word
    label_smoothing=0.0,  # share of the target that is spread over all classes
    adversarial_epsilon=0.0,  # adversarial shift of the word vectors, relative to their norm; 0 disables it
    weight_average=0.998,  # decay of the moving average of the weights; 0 disables it
    amp_level="O0",  # mixed precision on GPU and Ascend: O0 (float32), O1, O2 or O3
    # running
    seed=1,  # of weights, batches and dropout
    eval_batch_size=128,  # reviews per step of evaluation
    early_stop_patience=0,  # stop after so many validations without a better accuracy; 0 disables it
    validate_steps=0,  # validate every N steps besides the end of each epoch; 0 disables it
    save_checkpoint_steps=0,  # save every N steps besides the end of each epoch; 0 disables it
    keep_checkpoint_max=5,  # how many of the newest training checkpoints are kept; 0 keeps all
    print_steps=50,  # steps between log lines; 0 leaves one line per epoch
)

lstm_cfg_ascend = edict(
    lstm_cfg,
    lr_init=0.0,  # rate at the first step, with dynamic_lr
    lr_max=0.002,  # rate after the warm-up, with dynamic_lr
    lr_end=0.0,  # rate after the decay, with dynamic_lr
    lr_adjust_epoch=0,  # epoch at which the decay ends; 0 is the last
    global_step=0,  # step of the schedule at which training starts
    keep_checkpoint_max=10,
)

_zoo = edict(
    pretrain_epochs=0,
    projection_size=0,
    trained_words=0,
    num_hiddens=100,
    num_layers=2,
    pooling="ends",
    max_length=500,
    truncation="head",
    validation_fraction=0.0,
    optimizer="momentum",
    dynamic_lr=False,
    learning_rate=0.1,
    gradient_clip=0.0,
    num_epochs=20,
    dropout=0.0,
    word_dropout=0.0,
    weight_average=0.0,
)

_zoo_ascend = edict(
    dynamic_lr=True,
    lr_shape="linear",
    lr_init=0.05,
    lr_max=0.1,
    lr_end=0.01,
    lr_adjust_epoch=6,
    warmup_epochs=1.0,
)

_tiny = edict(
    pretrain_length=50,
    pretrain_batch_size=16,
    embed_size=50,
    projection_size=32,
    num_hiddens=32,
    min_count=2,
    vector_epochs=10,
    batch_size=16,
    num_epochs=8,
    learning_rate=0.01,
    dropout=0.1,
    word_dropout=0.05,
    weight_average=0.9,
    validation_fraction=0.2,
    print_steps=5,
)

presets = {
    "CPU": {"default": {}, "zoo": _zoo, "tiny": _tiny},
    "Ascend": {"default": {}, "zoo": edict(_zoo, **_zoo_ascend), "tiny": edict(_tiny, lr_max=0.01)},
}
presets["GPU"] = presets["CPU"]
