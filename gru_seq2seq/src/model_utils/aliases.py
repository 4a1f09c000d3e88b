"""Words of other programs for options and keys: one table of those that mean the same, and one of those without use."""

from __future__ import annotations

from collections.abc import Collection

ALIASES = (  # in each group one thing; a program has it under one of these names and takes the others for it
    ("data_path", "aclimdb_path", "data_dir", "data_url"),
    ("num_epochs", "num_epoches", "train_epochs", "epoch_num", "epochs", "epoch"),
    ("learning_rate", "lr"),
    ("amp_level", "amp_opt_level", "opt_level"),
    ("num_workers", "workers", "vector_workers"),
    ("print_steps", "print_freq"),
    ("num_hiddens", "hidden_size"),
    ("embed_size", "character_size"),
    ("on_bad_input", "on_bad_file", "on_bad_pair"),
)
REFUSED = {  # options of PyTorch scripts, and what to use instead
    "dist_url": "leave it out; msrun connects the processes, see script/run_distribute_train_*.sh",
    "dist_backend": "leave it out: MindSpore takes the one of the device (HCCL, NCCL, or its own on CPU)",
    "rank": "leave it out: msrun numbers the processes",
    "local_rank": "leave it out: msrun numbers the processes",
    "gpu": "use --device_target GPU --device_id N",
    "use_gpu": "use --device_target GPU",
    "no_cuda": "use --device_target CPU",
    "keep_batchnorm_fp32": "leave it out: normalisation is always computed in float32",
    "loss_scale": "leave it out: the loss scale is dynamic",
    "pin_memory": "leave it out: batches are made in memory",
}


def own_name(word: str, known: Collection[str]) -> str:
    """Return the name among `known` that a word stands for; the word itself where none does.

    A word may have hyphens for underscores. A name that is known stands for itself, whatever group it is in.
    """
    name = word.replace("-", "_")
    if name in known:
        return name
    group = next((group for group in ALIASES if name in group), ())
    return next((other for other in group if other in known), word)
