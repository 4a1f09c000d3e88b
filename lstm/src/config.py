"""Every hyperparameter, per device. Users edit this file.

The comment behind a key is its help text, and ends with the range that is allowed. `lstm_cfg` is for GPU and CPU,
`lstm_cfg_ascend` for Ascend. A preset changes some keys of either: `default` is the best recipe found, `zoo` the recipe
of the MindSpore model zoo's LSTM, `tiny` a small network for the quick start and tests.
Order of precedence: this file < preset < --config_path FILE.yaml < command line.
"""

from easydict import EasyDict as edict

lstm_cfg = edict(
    # network
    num_classes=2,  # classes of the classifier, one for each label of the corpus [>= 2]
    embed_size=300,  # size of the word vectors: 50, 100, 200 or 300 with GloVe [>= 2]
    projection_size=128,  # size of the linear projection of the word vectors before the LSTM; 0 disables it [>= 0]
    trained_words=10000,  # how many of the most frequent words learn an offset to their vector; 0 disables it [>= 0]
    num_hiddens=128,  # LSTM units per direction [>= 1]
    num_layers=1,  # LSTM layers [>= 1]
    bidirectional=True,  # read the review in both directions
    pooling="mean_max",  # summary of the LSTM outputs over time [ends | mean | max | mean_max | attention]
    # data
    max_length=400,  # tokens of a review that are read [>= 1]
    truncation="head_tail",  # part of a longer review that is read; head_tail is half from each end [head | head_tail]
    min_count=5,  # tokens that occur less often are unknown words [>= 1]
    validation_fraction=0.12,  # share of the training reviews, by film, for validation; 0 disables it [0 <= x < 1]
    split_seed=0,  # seed of the validation split, apart from --seed so that seeds can be compared [>= 0]
    on_bad_input="error",  # what becomes of empty, unreadable or badly named files [error | skip]
    vector_epochs=8,  # epochs of the in-domain word vectors, which are trained where no GloVe is given [>= 1]
    vector_window=8,  # window of the in-domain word vectors, in tokens to each side [>= 1]
    vector_workers=0,  # threads of the in-domain word vectors; 0 takes all cores, 1 is reproducible [>= 0]
    vector_seed=1,  # seed of the in-domain word vectors [>= 0]
    # language-model pre-training of the LSTM on all reviews but those of validation and test
    pretrain_epochs=1,  # passes over the reviews; 0 disables it [>= 0]
    pretrain_length=100,  # tokens of a segment; reviews are cut into segments [>= 2]
    pretrain_batch_size=48,  # segments per step, over all processes [>= 1]
    pretrain_learning_rate=0.004,  # peak rate [> 0]
    # optimization
    optimizer="adam",  # method of the update [adam | momentum]
    dynamic_lr=True,  # warm-up and decay; false keeps learning_rate
    learning_rate=0.002,  # constant rate, or the peak with dynamic_lr [> 0]
    lr_shape="cosine",  # shape of the decay, with dynamic_lr [cosine | linear]
    warmup_epochs=0.5,  # epochs over which the rate rises, with dynamic_lr [>= 0]
    momentum=0.9,  # of the momentum optimizer; beta1 of adam [0 <= x < 1]
    weight_decay=0.0,  # L2 penalty on the weights [>= 0]
    gradient_clip=1.0,  # largest global norm of the gradient; 0 disables it [>= 0]
    num_epochs=3,  # passes over the training reviews [>= 1]
    batch_size=64,  # reviews per step, over all processes [>= 1]
    dropout=0.5,  # on the pooled features and between LSTM layers [0 <= x < 1]
    embedding_dropout=0.0,  # on the columns of the word vectors, the same at every step of a review [0 <= x < 1]
    word_dropout=0.15,  # share of the training tokens that are replaced by the unknown word [0 <= x < 1]
    label_smoothing=0.0,  # share of the target that is spread over all classes [0 <= x < 1]
    adversarial_epsilon=0.0,  # adversarial shift of the word vectors, relative to their norm; 0 disables it [>= 0]
    weight_average=0.998,  # decay of the moving average of the weights; 0 disables it [0 <= x < 1]
    amp_level="O0",  # mixed precision on GPU and Ascend; O0 is float32 [O0 | O1 | O2 | O3]
    # running
    seed=1,  # of weights, batches and dropout [>= 0]
    eval_batch_size=128,  # reviews per step of evaluation [>= 1]
    early_stop_patience=0,  # stop after so many validations without a better accuracy; 0 disables it [>= 0]
    validate_steps=0,  # validate every N steps besides the end of each epoch; 0 disables it [>= 0]
    save_checkpoint_steps=0,  # save every N steps besides the end of each epoch; 0 disables it [>= 0]
    keep_checkpoint_max=5,  # how many of the newest training checkpoints are kept; 0 keeps all [>= 0]
    print_steps=50,  # steps between log lines; 0 leaves those at the end of each epoch [>= 0]
)

lstm_cfg_ascend = edict(
    lstm_cfg,
    lr_init=0.0,  # rate at the first step, with dynamic_lr [>= 0]
    lr_max=0.0,  # rate after the warm-up, with dynamic_lr; 0 takes learning_rate [>= 0]
    lr_end=0.0,  # rate after the decay, with dynamic_lr [>= 0]
    lr_adjust_epoch=0,  # epoch at which the decay ends; 0 is the last [>= 0]
    global_step=0,  # step of the schedule at which training starts [>= 0]
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
    _zoo,
    dynamic_lr=True,
    lr_shape="linear",
    lr_init=0.05,
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
    "Ascend": {"default": {}, "zoo": _zoo_ascend, "tiny": _tiny},
}
presets["GPU"] = presets["CPU"]

added_later = {}  # keys that an older checkpoint may lack, and what its training meant
