"""How a biLM is trained, per device. Users edit this file.

The comment behind a key is its help text, and the range in brackets is what its value is checked against. The network,
and the sizes of its batches and samples, are described by its options.json (`options_path`) in the published format.
`elmo_cfg` is for GPU and CPU, `elmo_cfg_ascend` for Ascend. A preset changes some keys of either: `default` is the
recipe of bilm-tf, `imdb` one for an hour on a CPU, `tiny` one for the quick start and the tests. Order of precedence:
this file < preset < --config_path FILE.yaml < command line.
"""

from easydict import EasyDict as edict

elmo_cfg = edict(
    # network and batches
    options_path="small",  # options.json, or the name of one in options/: original, small, imdb, tiny
    epoch_num=0,  # passes over the text; 0: n_epochs of options.json [>= 0]
    batch_size=0,  # rows of text in a step, over all processes; 0: batch_size of options.json [>= 0]
    max_steps=0,  # steps after which training ends, whatever epoch_num is; 0 disables it [>= 0]
    short_words_multiple=128,  # pad the distinct short words of a step to a multiple: each size compiles once [> 0]
    long_words_multiple=64,  # the same for long words [> 0]
    # optimization
    optimizer="adagrad",  # of the network; the softmax always has Adagrad [adam | adagrad]
    lr=0.2,  # peak learning rate of the network [> 0]
    softmax_lr_factor=1.0,  # learning rate of the softmax = this x that of the network [> 0]
    lr_shape="constant",  # of the learning rate after the warm-up [cosine | linear | constant]
    warmup_steps=0,  # steps over which the learning rate rises; 0 disables it [>= 0]
    adagrad_accumulator=1.0,  # initial sum of squares of Adagrad [> 0]
    adam_beta2=0.99,  # decay of Adam's mean square [0 <= x < 1]
    loss_factor=20.0,  # of the gradients before clipping; bilm-tf sums the loss over unroll_steps [> 0]
    # running
    seed=1,  # of weights, order of the text, samples and dropout [>= 0]
    eval_batch_size=64,  # rows of text in a step of evaluation [> 0]
    early_stop_patience=0,  # stop after N validations without a lower perplexity; 0 disables it [>= 0]
    validate_steps=0,  # validate every N steps besides the end of each epoch; 0 disables it [>= 0]
    save_checkpoint_steps=0,  # save every N steps besides the end of each epoch; 0 disables it [>= 0]
    keep_checkpoint_max=2,  # newest training checkpoints to keep; 0 keeps all [>= 0]
    print_steps=50,  # steps between log lines; 0 leaves only the last of each epoch [>= 0]
)

elmo_cfg_ascend = edict(elmo_cfg, keep_checkpoint_max=5)

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

added_later: dict = {}  # keys that older checkpoints do not know, with the values that they meant
presets = {"default": {}, "imdb": _imdb, "tiny": _tiny}
