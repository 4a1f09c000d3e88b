"""Every hyperparameter, per device. Users edit this file; the comment behind a key is its help text.

`bilstm_ner_cfg` is for GPU and CPU, `bilstm_ner_cfg_ascend` for Ascend. A preset changes some keys of either:
`bilstm_crf` (the default) and `bilstm` are the two networks, `tiny` a small CRF for the quick start and tests.
The brackets at the end of a comment hold the allowed values. Order of precedence: this file < preset < --config_path
FILE.yaml < command line.
"""

from easydict import EasyDict as edict

bilstm_ner_cfg = edict(
    # network
    crf=True,  # score tag sequences with a CRF; false: a softmax at every character
    character_size=100,  # size of the character vectors, or that of --char_vectors [> 0]
    bigram_size=50,  # size of the bigram vectors, two of which join a character's; 0 disables them [>= 0]
    num_hiddens=200,  # LSTM units per direction [> 0]
    num_layers=1,  # LSTM layers [> 0]
    # data
    units="auto",  # what a line of the corpus holds; auto detects it [auto | characters | words]
    on_bad_input="error",  # sentences with unreadable lines or illegal tags [error | skip]
    character_min_count=1,  # characters seen less often in training are unknown [> 0]
    bigram_min_count=2,  # bigrams seen less often in training are unknown [> 0]
    # optimization
    learning_rate=0.002,  # peak rate, after the warm-up [> 0]
    warmup_epochs=1.0,  # epochs of rising rate; it then falls to 0 on half a cosine [>= 0]
    weight_decay=0.0,  # L2 penalty on the weights [>= 0]
    gradient_clip=5.0,  # largest global norm of the gradient; 0 disables clipping [>= 0]
    train_epochs=16,  # passes over the training sentences [> 0]
    batch_size=16,  # sentences per step, over all processes [> 0]
    embedding_dropout=0.4,  # on the columns of the vectors, the same at every step of a sentence [0 <= x < 1]
    dropout=0.4,  # on the LSTM's outputs and between its layers, the same at every step of a sentence [0 <= x < 1]
    character_dropout=0.05,  # share of the training characters that become unknown [0 <= x < 1]
    bigram_dropout=0.2,  # share of the training bigrams that become unknown [0 <= x < 1]
    mention_replacement=0.5,  # share of the training entities replaced by others of their type [0 <= x < 1]
    language_model=0.1,  # weight of the language-model objective; 0 disables it [>= 0]
    language_model_characters=512,  # most frequent characters that it predicts [> 0]
    adversarial_epsilon=0.0,  # adversarial perturbation relative to the vectors' norm; 0 disables it [>= 0]
    weight_average=0.999,  # decay of the moving average of the weights; 0 disables it [0 <= x < 1]
    average_every=8,  # update the weight average every N steps, with the decay compounded to match [> 0]
    amp_opt_level="O0",  # mixed precision on GPU and Ascend; O0 is float32 [O0 | O1 | O2 | O3]
    # running
    seed=1,  # of weights, batches and dropout [>= 0]
    eval_batch_size=128,  # sentences per step of evaluation [> 0]
    early_stop_patience=0,  # validations without a better F1 before training stops; 0 disables it [>= 0]
    validate_steps=0,  # validate every N steps as well as after each epoch; 0 disables it [>= 0]
    save_checkpoint_steps=0,  # save every N steps as well as after each epoch; 0 disables it [>= 0]
    keep_checkpoint_max=2,  # newest training checkpoints to keep; 0 keeps all [>= 0]
    print_steps=50,  # steps between log lines; 0 prints one per epoch [>= 0]
)

bilstm_ner_cfg_ascend = edict(bilstm_ner_cfg)

_tiny = edict(
    character_size=24,
    bigram_size=8,
    num_hiddens=32,
    train_epochs=6,
    learning_rate=0.02,
    embedding_dropout=0.0,
    dropout=0.1,
    weight_average=0.9,
    print_steps=5,
)

presets = {"bilstm_crf": {}, "bilstm": edict(crf=False), "tiny": _tiny}

# What a key that came later means for a checkpoint whose config.yaml lacks it.
added_later = {"units": "characters", "on_bad_input": "error"}
