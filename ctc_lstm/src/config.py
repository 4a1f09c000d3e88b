"""Every hyperparameter, per device. Edit this file to change a default; the comment behind a key is its help text.

`ctc_cfg` is for GPU and CPU, `ctc_cfg_ascend` for Ascend. A preset changes some keys of either: `default` is the recipe
for the full TIMIT corpus, `timit_sample` that for its public sample, `fsdd` that for strings of spoken digits, `tiny` a
small network for the quick start and tests. Order of precedence: this file < preset < --config_path FILE.yaml < command
line.
"""

from easydict import EasyDict as edict

ctc_cfg = edict(
    # features
    features="fbank",  # kind: log mel filter bank or MFCC [fbank | mfcc]
    sample_rate=16000,  # samples per second; other recordings are resampled [>= 1]
    num_mels=40,  # mel bins [>= 1]
    num_ceps=13,  # cepstra of mfcc [>= 1]
    energy=True,  # add the log energy of the frame
    deltas=2,  # order of the derivatives over time [0 | 1 | 2]
    frame_length_ms=25.0,  # window of a frame, milliseconds [> 0]
    frame_shift_ms=10.0,  # distance between frames, milliseconds [> 0]
    cmvn="speaker",  # over which frames mean and variance are normalised [speaker | utterance | none]
    speed_perturbation="1.0",  # speeds of the training copies, such as 0.9,1.0,1.1
    num_workers=0,  # processes that compute features; 0 takes all cores [>= 0]
    # data
    phone_set="48",  # which phones of TIMIT to train; none takes labels of any kind as they are [61 | 48 | 39 | none]
    validation_fraction=0.15,  # share of the training speakers to hold out, if there is no valid split [0 <= x < 1]
    split_seed=0,  # seed of that split, independent of --seed so that runs can be compared [>= 0]
    max_seconds=60.0,  # longest recording that is read; 0 accepts any length [>= 0]
    on_bad_input="error",  # unreadable, silent, cut, too long or too short recordings [error | skip]
    # network
    front_end="stack-3",  # none, stack-2 to stack-9 (frames side by side), or conv
    conv_channels=128,  # channels of the front end conv [>= 1]
    hidden_size=384,  # LSTM units per direction [>= 1]
    num_layers=4,  # LSTM layers [>= 1]
    bidirectional=True,  # read the utterance in both directions
    batch_norm=True,  # normalise the inputs of all layers but the first, over the real steps of a batch
    dropout=0.3,  # on the outputs of every LSTM layer [0 <= x < 1]
    intermediate_ctc=0.0,  # share of the loss that is the CTC loss of the lower layers; 0 disables it [0 <= x < 1]
    # optimization
    num_epoches=40,  # passes over the training utterances [>= 1]
    batch_size=16,  # largest number of utterances per step, over all processes [>= 1]
    batch_frames=6000,  # largest number of frames per step, with padding, over all processes [>= 1]
    num_buckets=8,  # length buckets [>= 1]
    pad_to_bucket=True,  # false pads to the longest utterance: slower, one compilation without the project's kernels
    learning_rate=0.001,  # peak rate [> 0]
    lr_shape="cosine",  # after the warm-up; step multiplies by lr_decay [cosine | linear | step]
    lr_decay=0.5,  # factor of lr_shape step [> 0]
    lr_decay_epochs=5,  # epochs between two such decays [>= 1]
    warmup_epochs=1.0,  # epochs over which the rate rises [>= 0]
    weight_decay=0.0,  # L2 penalty on the weights [>= 0]
    gradient_clip=5.0,  # largest global norm of the gradient; 0 disables it [>= 0]
    weight_average=0.0,  # decay of the moving average of the weights; 0 disables it [0 <= x < 1]
    feature_noise=0.0,  # standard deviation of noise on the normalised features [>= 0]
    freq_masks=1,  # SpecAugment: masked frequency bands [>= 0]
    freq_mask_width=8,  # largest width of a frequency mask in mel bins [>= 0]
    time_masks=1,  # SpecAugment: masked time spans [>= 0]
    time_mask_width=15,  # largest width of a time mask in frames [>= 0]
    amp_level="O0",  # mixed precision on GPU and Ascend; O0 is float32 [O0 | O1 | O2 | O3]
    # decoding
    decoder="greedy",  # greedy, or a prefix beam search; validation is always greedy [greedy | beam]
    beam_width=16,  # prefixes kept by the beam search [>= 1]
    beam_prune=0.001,  # skip labels below this share of the most probable; 0 tries all [0 <= x < 1]
    ngram_order=3,  # order of the n-gram model of the training labels; 0 disables it [>= 0]
    lm_weight=0.5,  # weight of the n-gram model in the beam search [>= 0]
    label_bonus=0.0,  # added for each label in the beam search [any]
    # running
    seed=1,  # of initial weights, batches and dropout [>= 0]
    eval_frames=12000,  # largest number of frames per step of evaluation [>= 1]
    early_stop_patience=0,  # stop after N validations without a lower error rate; 0 disables it [>= 0]
    validate_steps=0,  # also validate every N steps within an epoch; 0 disables it [>= 0]
    save_checkpoint_steps=0,  # also save every N steps within an epoch; 0 disables it [>= 0]
    keep_checkpoint_max=3,  # newest training checkpoints to keep; 0 keeps all [>= 0]
    print_steps=50,  # steps between log lines [>= 0]
)

ctc_cfg_ascend = edict(ctc_cfg, keep_checkpoint_max=10)

_small_corpus = edict(
    hidden_size=128,
    learning_rate=0.002,
    weight_average=0.998,
    feature_noise=0.3,
    freq_masks=2,
    time_masks=2,
)

_timit_sample = edict(
    _small_corpus,
    speed_perturbation="0.9,1.0,1.1",
    num_layers=3,
    dropout=0.5,
    intermediate_ctc=0.5,
    num_epoches=50,
    batch_size=4,
    num_buckets=4,
    warmup_epochs=2.0,
)

_fsdd = edict(
    _small_corpus,
    sample_rate=8000,
    deltas=1,
    cmvn="utterance",
    phone_set="none",
    num_layers=2,
    num_epoches=12,
    num_buckets=6,
    ngram_order=0,
)

_tiny = edict(
    num_mels=20,
    deltas=0,
    phone_set="39",
    hidden_size=32,
    num_layers=2,
    dropout=0.1,
    num_epoches=12,
    batch_size=4,
    num_buckets=2,
    learning_rate=0.01,
    weight_average=0.9,
    validation_fraction=0.25,
    freq_masks=0,
    time_masks=0,
    print_steps=5,
)

presets = {"default": {}, "timit_sample": _timit_sample, "fsdd": _fsdd, "tiny": _tiny}
added_later = {}  # keys that the checkpoints of older versions lack, and what their training meant
