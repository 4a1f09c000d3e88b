"""How a biLM is trained, per device. Users edit this file; the comment behind a key is its help text.

What the biLM is, and the sizes of its batches and samples, is in its options.json (`options_path`), in the published
format. `elmo_cfg` is for GPU and CPU, `elmo_cfg_ascend` for Ascend. A preset changes some keys of either: `default` is
the recipe of bilm-tf, `imdb` that for an hour on a CPU, `tiny` one for the quick start and tests. Order of precedence:
this file < preset < --config_path FILE.yaml < command line.
"""

from easydict import EasyDict as edict

elmo_cfg = edict(
    # network and batches
    options_path="small",  # options.json, or the name of one in options/: original, small, imdb, tiny
    epoch_num=0,  # passes over the text; 0 for n_epochs of options.json
    batch_size=0,  # rows of text a step, over all processes; 0 for batch_size of options.json
    max_steps=0,  # steps after which training ends, whatever epoch_num says; 0 for no such end
    short_words_multiple=128,  # distinct short words of a step are padded to a multiple: each size compiles once
    long_words_multiple=64,  # the same for long words
    # optimization
    optimizer="adagrad",  # of the network: adagrad or adam; the softmax has Adagrad always
    lr=0.2,  # peak rate of the network
    softmax_lr_factor=1.0,  # rate of the softmax, times that of the network
    lr_shape="constant",  # after the warm-up: cosine, linear or constant
    warmup_steps=0,  # steps over which the rate rises
    adagrad_accumulator=1.0,  # where the sums of squares of Adagrad start
    adam_beta2=0.99,  # decay of the mean square of Adam
    loss_factor=20.0,  # of the gradients before clipping; bilm-tf sums the loss over unroll_steps
    # running
    seed=1,  # of weights, batches, samples and dropout
    eval_batch_size=64,  # rows of text a step of evaluation
    early_stop_patience=0,  # validations without a lower perplexity until training stops; 0 for never
    validate_steps=0,  # validate every N steps besides the end of each epoch; 0 for not
    save_checkpoint_steps=0,  # save every N steps besides the end of each epoch; 0 for not
    keep_checkpoint_max=2,  # newest training checkpoints that are kept; 0 for all
    print_steps=50,  # steps between log lines
)

elmo_cfg_ascend = edict(
    elmo_cfg,
    keep_checkpoint_max=5,
)

_imdb = edict(
    options_path="imdb",
    optimizer="adam",
    lr=0.002,
    softmax_lr_factor=50.0,
    lr_shape="cosine",
    warmup_steps=200,
    adagrad_accumulator=1e-6,
    loss_factor=1.0,
    validate_steps=1000,
    save_checkpoint_steps=500,
)

_tiny = edict(
    options_path="tiny",
    optimizer="adam",
    lr=0.01,
    softmax_lr_factor=10.0,
    lr_shape="linear",
    warmup_steps=10,
    adagrad_accumulator=1e-6,
    loss_factor=1.0,
    short_words_multiple=64,
    long_words_multiple=16,
    eval_batch_size=4,
    print_steps=20,
)

presets = {"default": {}, "imdb": _imdb, "tiny": _tiny}
