"""Every hyperparameter, per device. Users edit this file; the comment behind a key is its help text.

`ctc_cfg` is for GPU and CPU, `ctc_cfg_ascend` for Ascend. A preset changes some keys of either: `default` is the recipe
for the full TIMIT corpus, `timit_sample` that for its public sample, `fsdd` that for strings of spoken digits, `tiny` a
small network for the quick start and tests. Order of precedence: this file < preset < --config_path FILE.yaml < command
line.
"""

from easydict import EasyDict as edict

ctc_cfg = edict(
    # features
    features="fbank",  # fbank (log mel energies) or mfcc
    sample_rate=16000,  # samples per second; other recordings are resampled
    num_mels=40,  # mel bins
    num_ceps=13,  # cepstra of mfcc
    energy=True,  # the log energy of the frame as a feature
    deltas=2,  # orders of derivatives over time: 0, 1 or 2
    frame_length_ms=25.0,  # window of a frame, milliseconds
    frame_shift_ms=10.0,  # distance of frames, milliseconds
    cmvn="speaker",  # zero mean and unit variance over speaker or utterance, or none
    speed_perturbation="1.0",  # speeds of the training copies, such as 0.9,1.0,1.1
    num_workers=2,  # processes that compute features
    # data
    phone_set="48",  # labels that are trained: 61, 48 or 39 phones of TIMIT, or none for labels as they are
    validation_fraction=0.15,  # share of the training speakers that validates where a corpus has no such split
    split_seed=0,  # seed of that split, apart from --seed so that runs can be compared
    max_seconds=60.0,  # longest recording that is read; 0 for any
    on_bad_file="error",  # unreadable, silent, too long or too short recordings: error or skip
    # network
    front_end="stack-3",  # none, stack-2 to stack-9 (frames side by side), or conv
    conv_channels=128,  # channels of the front end conv
    hidden_size=384,  # LSTM units per direction
    num_layers=4,  # LSTM layers
    bidirectional=True,  # read the utterance in both directions
    batch_norm=True,  # normalise what each layer but the first reads, over the real steps of a batch
    dropout=0.3,  # of the outputs of every LSTM layer
    intermediate_ctc=0.0,  # share of the loss that is the CTC of the layers below the last; 0 for none
    # optimization
    num_epoches=40,  # passes over the training utterances
    batch_size=16,  # most utterances a step, over all processes
    batch_frames=6000,  # most frames a step, padding included, over all processes
    num_buckets=8,  # lengths that batches are padded to
    pad_to_bucket=True,  # full buckets compile once each and run faster; false pads to the longest utterance
    learning_rate=0.001,  # peak rate
    lr_shape="cosine",  # after the warm-up: cosine, linear, or step, which multiplies by lr_decay
    lr_decay=0.5,  # factor of lr_shape step
    lr_decay_epochs=5,  # epochs between two such factors
    warmup_epochs=1.0,  # epochs over which the rate rises
    weight_decay=0.0,  # L2 penalty on the weights
    gradient_clip=5.0,  # largest global norm of the gradient; 0 for none
    weight_average=0.0,  # decay of the moving average of the weights; 0 for none
    feature_noise=0.0,  # standard deviation of noise on the normalised features
    freq_masks=1,  # SpecAugment: bands of frequency that are blanked
    freq_mask_width=8,  # mel bins of such a band at most
    time_masks=1,  # SpecAugment: bands of time that are blanked
    time_mask_width=15,  # frames of such a band at most
    amp_level="O0",  # mixed precision on GPU and Ascend: O0 (float32), O1, O2 or O3
    # decoding
    decoder="greedy",  # greedy, or beam for prefix beam search; validation is always greedy
    beam_width=16,  # prefixes that the beam search keeps
    beam_prune=0.001,  # labels below this share of the most probable are not tried; 0 tries all
    ngram_order=3,  # of the label model that is trained from the training transcripts; 0 for none
    lm_weight=0.5,  # weight of that model in the beam search
    label_bonus=0.0,  # added for each label in the beam search
    # running
    seed=1,  # of weights, batches and dropout
    eval_frames=12000,  # most frames a step of evaluation
    early_stop_patience=0,  # validations without a lower error rate until training stops; 0 for never
    validate_steps=0,  # validate every N steps besides the end of each epoch; 0 for not
    save_checkpoint_steps=0,  # save every N steps besides the end of each epoch; 0 for not
    keep_checkpoint_max=3,  # newest training checkpoints that are kept; 0 for all
    print_steps=50,  # steps between log lines
)

ctc_cfg_ascend = edict(
    ctc_cfg,
    keep_checkpoint_max=10,
)

_timit_sample = edict(
    speed_perturbation="0.9,1.0,1.1",
    hidden_size=128,
    num_layers=3,
    dropout=0.5,
    intermediate_ctc=0.5,
    num_epoches=50,
    batch_size=4,
    num_buckets=4,
    warmup_epochs=2.0,
    learning_rate=0.002,
    weight_average=0.998,
    feature_noise=0.3,
    freq_masks=2,
    time_masks=2,
)

_fsdd = edict(
    sample_rate=8000,
    deltas=1,
    cmvn="utterance",
    phone_set="none",
    hidden_size=128,
    num_layers=2,
    num_epoches=12,
    batch_size=16,
    num_buckets=6,
    learning_rate=0.002,
    weight_average=0.998,
    feature_noise=0.3,
    freq_masks=2,
    time_masks=2,
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
