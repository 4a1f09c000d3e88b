"""Every hyperparameter, per device. Users edit this file; the comment behind a key is its help text.

`bilstm_ner_cfg` is for GPU and CPU, `bilstm_ner_cfg_ascend` for Ascend. A preset changes some keys of either:
`bilstm_crf` (the default) and `bilstm` are the two networks, `tiny` a small CRF for the quick start and tests.
Order of precedence: this file < preset < --config_path FILE.yaml < command line.
"""

from easydict import EasyDict as edict

bilstm_ner_cfg = edict(
    # network
    crf=True,  # score tag sequences by a CRF; false for a softmax at every character
    character_size=100,  # size of the character vectors; that of --char_vectors where given
    bigram_size=50,  # size of the bigram vectors, of which a character gets two; 0 for none
    num_hiddens=200,  # LSTM units per direction
    num_layers=1,  # LSTM layers
    # data
    character_min_count=1,  # a character seen less often in training is unknown
    bigram_min_count=2,  # a bigram seen less often in training is unknown
    # optimization
    learning_rate=0.002,  # peak rate, after the warm-up
    warmup_epochs=1.0,  # epochs over which the rate rises; it then falls to 0 on half a cosine
    weight_decay=0.0,  # L2 penalty on the weights
    gradient_clip=5.0,  # largest global norm of the gradient; 0 for none
    train_epochs=16,  # passes over the training sentences
    batch_size=16,  # sentences a step, over all processes
    embedding_dropout=0.4,  # on the columns of the vectors, the same at every step of a sentence
    dropout=0.4,  # on the outputs of the LSTM and between LSTM layers, the same at every step of a sentence
    character_dropout=0.05,  # share of the training characters that become unknown
    bigram_dropout=0.2,  # share of the training bigrams that become unknown
    mention_replacement=0.5,  # share of the training entities that are replaced by others of their type
    language_model=0.1,  # weight of the language-model objective; 0 for none
    language_model_characters=512,  # most frequent characters that it predicts
    adversarial_epsilon=0.0,  # adversarial move of the vectors relative to their norm; 0 for none
    weight_average=0.999,  # decay of the moving average of the weights; 0 for none
    average_every=8,  # steps between moves of that average, as far each time as in so many steps
    amp_opt_level="O0",  # mixed precision on GPU and Ascend: O0 (float32), O1, O2 or O3
    # running
    seed=1,  # of weights, batches and dropout
    eval_batch_size=128,  # sentences a step of evaluation
    early_stop_patience=0,  # validations without a better F1 until training stops; 0 for never
    validate_steps=0,  # validate every N steps besides the end of each epoch; 0 for not
    save_checkpoint_steps=0,  # save every N steps besides the end of each epoch; 0 for not
    keep_checkpoint_max=2,  # newest training checkpoints that are kept; 0 for all
    print_steps=50,  # steps between log lines
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
