"""A configuration of the form that every model has, for the tests of what reads it."""

from easydict import EasyDict as edict

example_cfg = edict(
    num_hiddens=8,  # units [>= 1]
    pooling="mean",  # over time [mean | max]
    deltas=2,  # orders of derivatives [0 | 1 | 2]
    bidirectional=True,  # read in both directions
    name="a",  # any word
    learning_rate=0.1,  # peak rate, 5 % of all [> 0]
    dropout=0.5,  # on the features [0 <= x < 1]
    label_bonus=0.0,  # added for each label [any]
    speed=1.0,  # of the copies [0.5 <= x <= 2]
    num_epochs=3,  # passes over the samples [>= 1]
    batch_size=4,  # samples a step [>= 1]
    amp_level="O0",  # mixed precision [O0 | O1 | O2 | O3]
    on_bad_input="error",  # bad samples [error | skip]
    print_steps=10,  # steps between log lines [>= 0]
    eval_batch_size=4,  # samples a step of evaluation [>= 1]
)

example_cfg_ascend = edict(
    example_cfg,
    lr_end=0.0,  # rate after the decay [>= 0]
    print_steps=20,
)

presets = {"default": {}, "tiny": edict(num_hiddens=2, batch_size=2)}
added_later = {"on_bad_input": "error", "speed": 2.0, "lr_end": 0.5}
